"""JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from render_samples import HOSTILE, MODEL, clip_report, error_result, make_track, picture_result
from support import small_files
from unmask.base.errors import OutputError, UsageError
from unmask.render.sinks import COLUMNS, Csv, JsonLines
from unmask.report import Report, Result


class CountingStream(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[str] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


def test_each_json_line_is_flushed_when_it_is_ready() -> None:
    stream = CountingStream()
    with JsonLines(stream) as sink:
        sink.write(picture_result("a.jpg"))
        assert stream.flushed[-1].count("\n") == 1
        sink.write(error_result())
        assert stream.flushed[-1].count("\n") == 2
    assert not stream.closed
    first, second = stream.getvalue().splitlines()
    assert Report.model_validate_json(first) == picture_result("a.jpg").report
    assert json.loads(second)["error"]["code"] == "media"


@given(st.text(max_size=40))
def test_a_json_line_is_one_line(name: str) -> None:
    stream = io.StringIO()
    with JsonLines(stream) as sink:
        sink.write(picture_result(name))
    assert len(stream.getvalue().splitlines()) >= 1
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["path"] == name


@pytest.mark.parametrize("make", [JsonLines, Csv])
def test_an_interrupt_keeps_what_is_done(tmp_path: Path, make: type[JsonLines] | type[Csv]) -> None:
    path = tmp_path / "sub" / "out.txt"

    def work() -> None:
        with make(path) as sink:
            sink.write(picture_result("a.jpg"))
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert "a.jpg" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("make", [JsonLines, Csv])
def test_an_older_file_stays_until_the_end(tmp_path: Path, make: type[JsonLines] | type[Csv]) -> None:
    path = tmp_path / "out.txt"
    path.write_text("older")
    with make(path) as sink:
        sink.write(picture_result("a.jpg"))
        assert path.read_text() == "older"
    assert "a.jpg" in path.read_text()


@pytest.mark.parametrize("make", [JsonLines, Csv])
def test_a_folder_is_no_file(tmp_path: Path, make: type[JsonLines] | type[Csv]) -> None:
    with pytest.raises(UsageError):
        make(tmp_path)


@pytest.mark.parametrize("make", [JsonLines, Csv])
def test_a_full_disk_leaves_whole_records(tmp_path: Path, make: type[JsonLines] | type[Csv]) -> None:
    path = tmp_path / "out.txt"
    written = 0
    with small_files(5000):

        def work() -> None:
            nonlocal written
            with make(path) as sink:
                for _ in range(100):
                    sink.write(picture_result("a.jpg", boxes=((0, 0, 50, 50), (60, 0, 110, 50))))
                    written += 1

        with pytest.raises(OutputError, match="cannot be written") as caught:
            work()
    assert caught.value.path == str(path)
    assert "Make room" in caught.value.hint
    text = path.read_text()
    if make is JsonLines:
        assert [Report.model_validate_json(line).path for line in text.splitlines()] == ["a.jpg"] * written
    else:
        assert len(read_csv(path)) == 2 * written
        assert text.endswith("\n")
    assert 0 < written < 100
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("make", [JsonLines, Csv])
def test_a_file_of_the_users_is_no_temporary_file(tmp_path: Path, make: type[JsonLines] | type[Csv]) -> None:
    mine = tmp_path / "out.txt.part"
    mine.write_text("mine")
    with make(tmp_path / "out.txt") as sink, make(tmp_path / "out.txt"):
        sink.write(picture_result("a.jpg"))
        assert mine.read_text() == "mine"
    assert mine.read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.txt", "out.txt.part"]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_face_or_track(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with Csv(path) as sink:
        sink.write(picture_result("two.jpg", boxes=((0, 0, 50, 50), (60, 0, 110, 50))))
        sink.write(Result(clip_report(make_track())))
        sink.write(error_result())
        sink.write(picture_result("empty.jpg", boxes=()))
    table = read_csv(path)
    assert list(table[0]) == list(COLUMNS)
    assert [row["path"] for row in table] == ["two.jpg", "two.jpg", "clip.mp4", "broken.jpg", "empty.jpg"]
    assert [row["subject"] for row in table] == ["face", "face", "track", "", ""]
    assert (table[1]["x0"], table[1]["id"], table[1]["subject_p_fake"]) == ("60.0", "1", "0.93")
    assert table[2]["segments"] == "1-2"
    assert table[3]["error_code"] == "media"
    assert table[3]["p_fake"] == table[4]["p_fake"] == ""


@given(name=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"), max_size=40))
def test_csv_gives_names_back(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    with Csv(path) as sink:
        sink.write(picture_result(name))
    assert read_csv(path)[0]["path"].removeprefix("./") == name.removeprefix("./")


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with Csv(path) as sink:
        for name in ("=cmd|' /C calc'!A0.jpg", "+1.jpg", "-1.jpg", "@x.jpg", HOSTILE):
            sink.write(picture_result(name))
    for row in read_csv(path):
        assert row["path"][0] not in "=+-@"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])
def test_no_text_of_a_foreign_file_is_a_formula(tmp_path: Path, start: str) -> None:
    evil = f"{start}cmd|' /C calc'!A0"
    report = picture_result("a.jpg", warnings=[evil]).report
    report.model = MODEL.model_copy(update={"name": evil, "version": evil, "sha256": evil})
    failed = error_result(evil).report
    assert failed.error is not None
    failed.error.message = failed.error.code = evil
    with Csv(tmp_path / "out.csv") as sink:
        sink.write(report)
        sink.write(failed)
    first, second = read_csv(tmp_path / "out.csv")
    guarded = f"'{evil}"
    assert (first["model"], first["model_version"], first["warnings"]) == (guarded, guarded, guarded)
    assert (second["path"], second["error"], second["error_code"]) == (f"./{evil}", guarded, guarded)
    for row in (first, second):
        assert not [text for text in row.values() if text[:1] in tuple("=+-@\t\r\n＝＠")]
