from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the extra [train]")

from unmask.base.errors import DataError, UsageError
from unmask.train.recipe import load_recipe, packaged_recipes


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_is_valid_and_bears_its_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_changes_are_applied_and_numbers_may_be_written_as_people_do() -> None:
    recipe = load_recipe("default", ["schedule.lr=1e-4", "crop.size=192", "schedule.minutes=null", "schedule.sizes=[]"])
    assert (recipe.schedule.lr, recipe.crop.size, recipe.schedule.minutes) == (1e-4, 192, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("schedule.lr", "not of the form key=value"),
        ("schedule.speed=3", "schedule.speed"),
        ("schedule.lr=fast", "schedule.lr"),
        ("schedule.batch=7", "schedule.batch"),
        ("name.x=1", "holds a value"),
        ("crop.size=[1", "not valid YAML"),
        ("crop.size=100", "multiple of 32"),
        ("schedule.sizes=[[0.5, 100]]", "multiple of 32"),
        ("schedule.sizes=[[0.5, 0]]", "below 32 px"),
        ("augment.quality=[90, 10]", "rising, within 1 ... 100"),
        ("augment.quality=[0, 10]", "within 1 ... 100"),
        ("augment.quality=[50, 101]", "within 1 ... 100"),
        ("augment.margin=[1.5, 1.1]", "rising"),
        ("augment.margin=[0, 1.1]", "above 0"),
        ("augment.margin=[1.5, 2.3]", r"more than the 2\.2 box sides"),
        ("augment={margin: [1.5, 2.1], zoom: 0.1}", r"zoomed out to 2\.31"),
        ("crop.margin=2.3", r"at most 2\.2 box sides"),
    ],
)
def test_wrong_changes_are_named(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("default", [change])


def test_what_a_file_says_wrongly_is_no_matter_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: mine\nschedule: {lr: fast, speed: 3}\n", encoding="utf-8")
    for changes in ([], ["schedule.batch=8"], ["crop.size=64"]):
        with pytest.raises(DataError, match=r"schedule\.(lr|speed)"):
            load_recipe(str(tmp_path / "r.yaml"), changes)
    with pytest.raises(UsageError, match=r"schedule\.lr"):
        load_recipe(str(tmp_path / "r.yaml"), ["schedule.lr=quick"])


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Packaged recipes: .*default"):
        load_recipe("no-such-recipe")


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no mapping"):
        load_recipe(str(tmp_path / "r.yaml"))


def test_crops_grow_with_the_schedule() -> None:
    recipe = load_recipe("default", ["schedule.sizes=[[0.5, 160], [0.75, 192]]"])
    assert [recipe.size_at(part) for part in (0.0, 0.49, 0.5, 0.8, 1.0)] == [160, 160, 192, 224, 224]
    assert recipe.sizes == [160, 192, 224]


def test_no_crop_is_larger_than_the_last_ones() -> None:
    recipe = load_recipe("own", ["crop.size=160"])
    assert {recipe.size_at(part / 20) for part in range(21)} == {160}
    assert recipe.sizes == [160]


def test_the_largest_margin_is_what_is_kept() -> None:
    recipe = load_recipe("own", ["crop.margin=2.2", "augment.margin=[2.0, 2.2]"])
    assert recipe.crop.margin == recipe.augment.margin[1] == 2.2
