"""`unmask analyze` as its users run it: results, files, errors, exit codes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from unmask.model import load_bundle
from unmask.report import Report


def reports(text: str) -> list[Report]:
    return [Report.model_validate_json(line) for line in text.splitlines()]


def test_a_line_of_json_for_each_input_in_order(unmask, portrait, clip, faceless):
    done = unmask("analyze", portrait, faceless, clip, "--json")
    assert done.returncode == 0, done.stderr
    picture, empty, moving = reports(done.stdout)
    assert [one.path for one in (picture, empty, moving)] == [str(portrait), str(faceless), str(clip)]
    assert len(picture.faces) == 1
    assert 0 <= picture.p_fake <= 1
    x0, y0, x1, y1 = picture.faces[0].box
    assert 150 < x0 < x1 < 300
    assert 40 < y0 < y1 < 210
    assert (empty.verdict, empty.p_fake, empty.faces) == ("no_face", None, [])
    assert moving.media.kind == "clip"
    assert moving.media.frames_analyzed == 6
    assert len(moving.tracks) == 1
    assert len(moving.tracks[0].scores) == 6
    assert picture.model.sha256 == load_bundle().sha256


def test_the_same_file_gives_the_same_score_in_python(unmask, portrait):
    import unmask as package

    done = unmask("analyze", portrait, "--json")
    assert reports(done.stdout)[0].p_fake == pytest.approx(package.analyze(portrait).p_fake, abs=1e-3)


def test_a_pipe_gets_clean_lines(unmask, portrait):
    done = unmask("analyze", portrait)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert str(portrait) in done.stdout
    assert done.stderr == ""


def test_quiet_prints_nothing(unmask, portrait):
    done = unmask("analyze", portrait, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_bad_file_is_a_row_and_the_rest_goes_on(unmask, portrait, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(portrait.read_bytes()[:200])
    done = unmask("analyze", broken, tmp_path / "missing.png", portrait, "--json")
    assert done.returncode == 1
    first, second, third = reports(done.stdout)
    assert [first.verdict, second.verdict] == ["error", "error"]
    assert first.p_fake is None
    assert first.error.message
    assert second.error.code == "media"
    assert third.verdict not in ("error", "no_face")
    assert "2 of 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_jsonl_and_csv_files(unmask, portrait, clip, tmp_path):
    assert unmask("analyze", portrait, clip, "-o", "out.jsonl", "-q").returncode == 0
    assert len(reports((tmp_path / "out.jsonl").read_text())) == 2
    assert unmask("analyze", portrait, clip, "-o", "sub/out.csv", "-q").returncode == 0
    with (tmp_path / "sub" / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(portrait), str(clip)]
    assert all(0 <= float(row["p_fake"]) <= 1 for row in rows)
    assert {path.name for path in tmp_path.rglob("*")} == {"out.jsonl", "sub", "out.csv"}, "no temporary file stays"


def test_html_annotated_media_and_analysis_folders(unmask, portrait, clip, faceless, tmp_path):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(portrait, folder / "a.jpg")
    shutil.copy(faceless, folder / "a.png")
    shutil.copy(clip, tmp_path / "in" / "a.mp4")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()}
    done = unmask("analyze", "in", "--html", "r.html", "--annotate", "marked", "--save", "kept", "-q")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "r.html").read_text()
    assert "a.jpg" in page
    assert "a.mp4" in page
    marked = sorted(str(path.relative_to(tmp_path / "marked")) for path in (tmp_path / "marked").rglob("*.*"))
    assert marked == ["a.mp4.mp4", "deep/a.jpg.png", "deep/a.png.png"]
    with Image.open(tmp_path / "marked" / "deep" / "a.jpg.png") as picture, Image.open(portrait) as given:
        assert picture.width >= given.width
    saved = Report.model_validate_json((tmp_path / "kept" / "deep" / "a.jpg" / "report.json").read_text())
    assert len(saved.faces) == 1
    assert {path: path.read_bytes() for path in before} == before, "what the user gave is as it was"


def test_bytes_on_stdin(unmask, portrait):
    done = unmask("analyze", "-", "--json", input=portrait.read_bytes(), text=False)
    assert done.returncode == 0, done.stderr
    (report,) = reports(done.stdout.decode())
    assert report.path == "-"
    assert len(report.faces) == 1


def test_paths_from_a_list(unmask, portrait, faceless, tmp_path):
    (tmp_path / "list.txt").write_text(f"{portrait}\n\n{faceless}\n")
    from_file = unmask("analyze", "--files-from", "list.txt", "--json")
    from_stdin = unmask("analyze", "--files-from", "-", "--json", input=f"{portrait}\n{faceless}\n")
    for done in (from_file, from_stdin):
        assert done.returncode == 0, done.stderr
        assert [one.path for one in reports(done.stdout)] == [str(portrait), str(faceless)]


def test_patterns_and_folders(unmask, portrait, tmp_path):
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name in ("one.jpg", "b/two.jpg", "b/notes.txt"):
        shutil.copy(portrait, tmp_path / "in" / name)
    done = unmask("analyze", "in", "in/*.jpg", "--json")
    assert [one.path for one in reports(done.stdout)] == ["in/b/two.jpg", "in/one.jpg", "in/one.jpg"]


def test_several_at_a_time_give_the_same(unmask, portrait, faceless, clip, tmp_path):
    inputs = [portrait, faceless, clip, tmp_path / "missing.jpg", portrait]
    alone = {(r.path, r.verdict, r.p_fake) for r in reports(unmask("analyze", *inputs, "--json").stdout)}
    done = unmask("analyze", *inputs, "--json", "--jobs", "3")
    assert done.returncode == 1
    together = reports(done.stdout)
    assert len(together) == 5
    assert {(r.path, r.verdict) for r in together} == {(path, verdict) for path, verdict, _ in alone}
    scores = {path: p for path, _, p in alone}
    assert all(r.p_fake == (scores[r.path] and pytest.approx(scores[r.path], abs=1e-3)) for r in together)


def test_a_box_for_a_face_that_is_not_found(unmask, faceless):
    done = unmask("analyze", faceless, "--box", "100,80,180,170", "--json")
    (report,) = reports(done.stdout)
    assert report.faces[0].box == (100, 80, 180, 170)
    assert report.p_fake is not None


def test_the_whole_picture_as_the_face(unmask, portrait):
    (report,) = reports(unmask("analyze", portrait, "--faces", "none", "--json").stdout)
    assert report.faces[0].box == (0, 0, 512, 512)
    assert report.model.faces == "none"
    assert any("none" in warning for warning in report.warnings)


def test_frames_are_limited(unmask, clip):
    (report,) = reports(unmask("analyze", clip, "--max-frames", "3", "--json").stdout)
    assert report.media.frames_analyzed == 3
    (report,) = reports(unmask("analyze", clip, "--fps", "10", "--json").stdout)
    assert report.media.frames_analyzed == 20


def test_a_bundle_of_ones_own(unmask, portrait, tmp_path):
    from unmask.model.packaged import default_bundle

    shutil.copy(default_bundle(), tmp_path / "mine.onnx")
    done = unmask("analyze", portrait, "--model", "mine.onnx", "--json")
    assert done.returncode == 0, done.stderr
    (tmp_path / "mine.onnx.sha256").write_text("0" * 64)
    refused = unmask("analyze", portrait, "--model", "mine.onnx", "--json")
    assert refused.returncode == 2
    assert "SHA-256" in refused.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["nothing to analyze", "--help"]),
        (["x.jpg", "--box", "1,2,3"], ["--box", "X0,Y0,X1,Y1"]),
        (["x.jpg", "--box", "9,9,1,1"], ["--box", "X0,Y0,X1,Y1"]),
        (["x.jpg", "--fps", "0"], ["--fps", "3"]),
        (["x.jpg", "--max-frames", "0"], ["--max-frames"]),
        (["x.jpg", "-o", "out.xlsx"], ["--out", ".jsonl or .csv"]),
        (["x.jpg", "--html", "x.jpg"], ["--html", ".html"]),
        (["x.jpg", "--faces", "eyes"], ["eyes", "yunet:FILE"]),
        (["x.jpg", "--faces", "yunet:nothing.onnx"], ["nothing.onnx"]),
        (["x.jpg", "--model", "nothing.onnx"], ["nothing.onnx", "--model"]),
        (["x.jpg", "--device", "abacus"], ["abacus", "auto"]),
        (["--files-from", "nothing.txt"], ["nothing.txt", "--files-from"]),
        (["-", "--files-from", "-"], ["stdin", "once"]),
    ],
)
def test_wrong_usage(unmask, options, words, tmp_path):
    done = unmask("analyze", *options, input="")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_list_without_inputs_is_wrong_usage(unmask):
    assert unmask("analyze", "--files-from", "-", input="\n").returncode == 2


def test_debug_gives_the_traceback(unmask, portrait):
    plain = unmask("analyze", portrait, "--model", "nothing.onnx")
    assert "Traceback" not in plain.stderr
    debug = unmask("analyze", portrait, "--model", "nothing.onnx", "--debug")
    assert "Traceback" in debug.stderr
    assert debug.returncode == 2


def test_an_output_that_cannot_be_written_is_said(unmask, portrait, tmp_path):
    (tmp_path / "taken").write_text("a file")
    assert unmask("analyze", portrait, "--annotate", "taken").returncode == 2
    (tmp_path / "kept" / "astronaut.jpg").mkdir(parents=True)
    (tmp_path / "kept" / "astronaut.jpg" / "mine.txt").write_text("keep me")
    shutil.copy(portrait, tmp_path / "astronaut.jpg")
    done = unmask("analyze", "astronaut.jpg", "--save", "kept", "--json")
    assert done.returncode == 1
    assert len(reports(done.stdout)) == 1
    assert (tmp_path / "kept" / "astronaut.jpg" / "mine.txt").read_text() == "keep me"


def limited(size):
    """For ``subprocess``: files may have ``size`` bytes at most, which is refused as a full disk is."""
    resource = pytest.importorskip("resource", reason="needs the limits of POSIX")
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_an_error_of_one_line_and_keeps_whole_rows(unmask, portrait, tmp_path, jobs):
    done = unmask("analyze", *[portrait] * 12, "-o", "out.jsonl", "-q", "-j", jobs, **limited(9000))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("unmask: out.jsonl: cannot be written: ")
    assert "Make room" in line
    rows = reports((tmp_path / "out.jsonl").read_text())
    assert 0 < len(rows) < 12
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_full_disk_under_a_report_costs_no_other_file(unmask, portrait, tmp_path):
    assert unmask("analyze", portrait, "--html", "r.html", "-q").returncode == 0
    page = tmp_path / "r.html"
    size = page.stat().st_size
    page.unlink()
    # The entry finds room, the page with its style does not.
    done = unmask("analyze", portrait, "-o", "out.csv", "--html", "r.html", "-q", **limited(size - 100))
    assert done.returncode == 1
    assert done.stderr.startswith("unmask: r.html: cannot be written: ")
    assert "fault" not in done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [str(portrait)]
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_full_disk_under_what_is_drawn(unmask, portrait, clip, tmp_path):
    done = unmask("analyze", portrait, clip, "--annotate", "a", "--save", "s", "--json", **limited(20_000))
    assert done.returncode == 1
    assert len(reports(done.stdout)) == 2, "verdicts stand"
    lines = done.stderr.splitlines()
    for name in ("a/astronaut.jpg.png", "a/clip.mp4.mp4"):
        assert any(line.startswith(f"unmask: {name}: cannot be written: ") for line in lines), lines
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_full_disk_behind_stdout(unmask, portrait, tmp_path):
    with (tmp_path / "rows").open("wb") as rows:
        done = unmask(
            "analyze", *[portrait] * 6, "--json", **limited(5000), stdout=rows, stderr=-1, capture_output=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("unmask: standard output: cannot be written: ")


def test_json_is_what_the_schema_says(unmask, portrait, clip):
    jsonschema = pytest.importorskip("jsonschema")
    schema_file = Path(__file__).resolve().parents[2] / "docs" / "report.schema.json"
    done = unmask("analyze", portrait, clip, "missing.jpg", "--json")
    schema = json.loads(schema_file.read_text())
    for line in done.stdout.splitlines():
        jsonschema.validate(json.loads(line), schema)
