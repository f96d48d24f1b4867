"""Analysis folders: exact there and back, and nothing of the user's is harmed."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from render_samples import clip_report, error_result, make_track, picture_result
from support import small_files
from unmask.base.errors import DataError, OutputError, UsageError
from unmask.render.folder import load_analysis, save_analysis
from unmask.report import Evidence, Report, Result


def same(one: Result, two: Result) -> bool:
    return one.report == two.report and all(
        a.subject == b.subject
        and a.time_s == b.time_s
        and a.square == b.square
        and a.p_fake == b.p_fake
        and a.crop.dtype == b.crop.dtype
        and a.map.dtype == b.map.dtype
        and np.array_equal(a.crop, b.crop)
        and np.array_equal(a.map, b.map, equal_nan=True)
        for a, b in zip(one.evidence, two.evidence, strict=True)
    )


@pytest.mark.parametrize(
    "result", [picture_result(), Result(clip_report(make_track())), error_result(), picture_result(boxes=())]
)
def test_there_and_back(tmp_path: Path, result: Result) -> None:
    folder = save_analysis(result, tmp_path / "a" / "photo.jpg")
    assert same(load_analysis(folder), result)
    assert Report.model_validate_json((folder / "report.json").read_text()) == result.report


finite = st.floats(allow_nan=False, allow_infinity=False)
evidence = st.builds(
    Evidence,
    st.integers(0, 1000),
    finite,
    st.tuples(finite, finite, finite, finite),
    st.integers(1, 9).flatmap(lambda n: stn.arrays(np.uint8, (n, n, 3))),
    stn.arrays(np.float32, stn.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.floats(0, 1),
)
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
reports = st.builds(
    lambda path, p, warnings, facts: Report(
        path=path, verdict="inconclusive", p_fake=p, warnings=warnings, provenance=facts
    ),
    text,
    st.none() | st.floats(0, 1),
    st.lists(text, max_size=3),
    st.dictionaries(text, text | st.integers(-(2**53), 2**53) | st.lists(text, max_size=2), max_size=4),
)


@settings(max_examples=40, deadline=None)
@given(reports, st.lists(evidence, max_size=3))
def test_any_result_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, report: Report, found: list[Evidence]
) -> None:
    result = Result(report, found)
    assert same(load_analysis(save_analysis(result, tmp_path_factory.mktemp("x") / "y")), result)


def test_saved_again_over_an_older_one(tmp_path: Path) -> None:
    folder = save_analysis(picture_result(boxes=((0, 0, 50, 50), (60, 0, 110, 50))), tmp_path / "a")
    (folder / "notes.txt").write_text("mine")
    save_analysis(picture_result(), folder)
    assert same(load_analysis(folder), picture_result())
    assert (folder / "notes.txt").read_text() == "mine"
    assert sorted(file.name for file in (folder / "maps").iterdir()) == ["0000.npy"]


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "mine.png").write_text("x")
    with pytest.raises(UsageError):
        save_analysis(picture_result(), tmp_path)
    assert (tmp_path / "crops" / "mine.png").exists()


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    result = picture_result()
    bad = Result(
        result.report, [Evidence(0, 0.0, (0, 0, 1, 1), np.zeros((3, 3, 7), np.uint8), result.evidence[0].map, 1)]
    )
    with pytest.raises((TypeError, ValueError)):
        save_analysis(bad, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_files(2000), pytest.raises(OutputError, match="cannot be written") as caught:
        save_analysis(picture_result(), tmp_path / "kept")
    assert caught.value.path == str(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_no_folder_or_a_half_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"report\.json is missing"):
        load_analysis(tmp_path)
    folder = save_analysis(picture_result(), tmp_path / "a")
    (folder / "maps" / "0000.npy").unlink()
    with pytest.raises(DataError, match="damaged"):
        load_analysis(folder)


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def forged_header() -> bytes:
    """Says 2^30 x 2^30 floats and holds none."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (1 << 30, 1 << 30)})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        pickle.dumps([1]),
        npy(np.array([[object()]], dtype=object), allow_pickle=True),
        npy(np.zeros((3, 3), np.float64)),
        npy(np.zeros(3, np.float32)),
        npy(np.zeros((3, 3), np.float32))[:-4],
        forged_header(),
    ],
)
def test_forged_maps_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = save_analysis(picture_result(), tmp_path / "a")
    (folder / "maps" / "0000.npy").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_analysis(folder)


@pytest.mark.parametrize("name", ["report.json", "evidence.json"])
def test_forged_json_is_refused(tmp_path: Path, name: str) -> None:
    folder = save_analysis(picture_result(), tmp_path / "a")
    for content in ("", "[", "{}", json.dumps([{"subject": 1, "crop": "../../x"}]), "[" * 100_000):
        (folder / name).write_text(content)
        with pytest.raises(DataError):
            load_analysis(folder)


def test_what_a_user_put_into_the_folder_stays(tmp_path: Path) -> None:
    folder = save_analysis(picture_result(), tmp_path / "a")
    (folder / "crops" / "mine.raw").write_text("mine")
    with pytest.raises(UsageError, match="other files"):
        save_analysis(picture_result(), folder)
    assert (folder / "crops" / "mine.raw").read_text() == "mine"
    (folder / "crops" / "mine.raw").unlink()
    assert same(load_analysis(save_analysis(picture_result(), folder)), picture_result())


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    folder = save_analysis(Result(Report(path="bad\udcff.jpg", verdict="no_face")), tmp_path / "a")
    assert json.loads((folder / "report.json").read_text())["path"] == "bad\udcff.jpg"
