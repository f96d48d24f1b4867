"""The HTML report: whole, harmless, self-contained, and of bounded memory."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from render_samples import HOSTILE, MODEL, astronaut, clip_report, error_result, make_face, make_track, picture_result
from support import small_files
from unmask.base.errors import OutputError, UsageError
from unmask.render.html import MOST_SUBJECTS, OPEN_ENTRIES, HtmlReport
from unmask.render.thumbs import thumbnail
from unmask.render.verdict import NOT_PROOF
from unmask.report import Result


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not match."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(path: Path, *results: Result, origin: Path | bytes | None = None, **options: int) -> tuple[str, Page]:
    with HtmlReport(path, **options) as sink:
        for result in results:
            sink.write(result, origin)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    return buffer.getvalue()


def test_everything_is_there(tmp_path: Path) -> None:
    clip = Result(
        clip_report(make_track()), [picture_result().evidence[0].__class__(0, 1.5, (0, 0, 9, 9), *_crop(), 0.95)]
    )
    _, found = page(tmp_path / "r.html", picture_result(), clip, error_result(), picture_result("x.png", boxes=()))
    for words in (NOT_PROOF, "4 inputs", "likely fake", "no face", "error", "the file is cut off", "by-hand 1.2"):
        assert words in found.text
    assert "ab" * 32 in found.text
    assert "likely real up to 0.200, likely fake from 0.800" in found.text
    assert "Looks faked 1.0 s to 2.0 s (score 0.93)" in found.text
    assert "at 1.5 s, p_fake 0.95" in found.text
    assert sum(tag == "article" for tag, _ in found.tags) == 4
    assert sum(a.get("class") == "timeline" for tag, a in found.tags if tag == "svg") == 2


def _crop() -> tuple[object, object]:
    one = picture_result().evidence[0]
    return one.crop, one.map


def test_the_picture_is_shown_with_its_boxes(tmp_path: Path) -> None:
    _, found = page(tmp_path / "r.html", picture_result(), origin=png())
    images = [a["src"] for tag, a in found.tags if tag == "img"]
    assert len(images) == 2
    sizes = []
    for source in images:
        assert source is not None
        kind, data = source.split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            image.load()
            sizes.append(image.size)
    assert sizes == [(512, 512), (356, 176)]


def test_a_file_that_has_changed_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(png())
    right = hashlib.sha256(png()).hexdigest()
    for sha256, shown in ((right, 2), ("00" * 32, 1)):
        _, found = page(tmp_path / "r.html", picture_result(str(file), sha256=sha256))
        assert sum(tag == "img" for tag, _ in found.tags) == shown


def test_nothing_from_the_file_becomes_markup(tmp_path: Path) -> None:
    facts = {HOSTILE: HOSTILE, "exif": {"make": HOSTILE, "list": [HOSTILE, {"a": HOSTILE}]}}
    result = picture_result(HOSTILE, provenance=facts, warnings=[HOSTILE])
    result.report.reasons = [HOSTILE]
    error = error_result(HOSTILE)
    assert error.report.error
    error.report.error.message = HOSTILE
    clip = clip_report(make_track())
    clip.path = HOSTILE
    clip.model = MODEL.model_copy(update={"name": HOSTILE, "domain": HOSTILE, "thresholds": {HOSTILE: {HOSTILE: 0.5}}})
    text, found = page(tmp_path / "r.html", result, error, Result(clip))
    plain, _ = page(tmp_path / "p.html", picture_result(), error_result(), Result(clip_report(make_track())))
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in Page(plain).tags}
    assert "script" not in {tag for tag, _ in found.tags}
    assert "</script>49" not in found.text  # {{7*7}} was not worked out
    assert "{{7*7}}" in found.text
    assert "<script>alert(1)</script>" in found.text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_it_refers_to_nothing_outside_and_runs_nothing(tmp_path: Path) -> None:
    text, found = page(tmp_path / "r.html", picture_result(), Result(clip_report(make_track())), origin=png())
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form", "image", "use")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:image/jpeg;base64,", "#"))
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_names_the_style_by_its_hash(tmp_path: Path) -> None:
    text, found = page(tmp_path / "r.html", picture_result())
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy is not None
    assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_later_entries_are_folded(tmp_path: Path) -> None:
    results = [picture_result(f"{i}.jpg", boxes=()) for i in range(OPEN_ENTRIES + 3)]
    text, _ = page(tmp_path / "r.html", *results)
    assert text.count("<details open>") == OPEN_ENTRIES


def test_a_crowd_shows_the_highest(tmp_path: Path) -> None:
    result = picture_result()
    result.report.faces = [make_face(i, i / 100) for i in range(MOST_SUBJECTS + 5)]
    _, found = page(tmp_path / "r.html", result)
    assert "5 more with lower scores are not shown here" in found.text


def test_an_interrupt_leaves_a_whole_page(tmp_path: Path) -> None:
    path = tmp_path / "r.html"

    def work() -> None:
        with HtmlReport(path) as sink:
            sink.write(picture_result("done.jpg"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    found = Page(path.read_text())
    assert "done.jpg" in found.text
    assert "Interrupted" in found.text
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_a_full_disk_leaves_whole_entries_and_the_older_page(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("older")
    sink = HtmlReport(target)
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            sink.write(picture_result())
            written += 1

    with small_files(200_000), pytest.raises(OutputError, match="cannot be written") as caught:
        fill()
    assert caught.value.path == str(target)
    # Where there is no room for the page either, the older one stays and nothing else.
    with small_files(10_000), pytest.raises(OutputError, match="cannot be written") as caught:
        sink._assemble(interrupted=True)
    assert "No report was written" in caught.value.hint
    assert target.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    # Where there is, all whole entries are in it.
    sink.__exit__(OutputError, caught.value, None)
    page = target.read_text()
    assert written > 0
    assert page.count("<details") >= written
    assert page.count("data:image") == page.count('src="data:image') > 0
    assert page.rstrip().endswith("</html>")


def test_pictures_stop_at_the_budget(tmp_path: Path) -> None:
    many = [picture_result(f"{i}.jpg") for i in range(30)]
    text, found = page(tmp_path / "r.html", *many, picture_bytes=40_000)
    assert len(text) < 150_000
    assert sum(tag == "article" for tag, _ in found.tags) == 30
    assert "were left out to keep this file small" in found.text


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        HtmlReport(tmp_path)


MEASURE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from render_samples import picture_result
from unmask.render.html import HtmlReport
from unmask.render.thumbs import thumbnail
result = picture_result()
def peak():
    # VmHWM and not ru_maxrss, which starts at what the parent process took.
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])

peaks = []
with HtmlReport(Path({out!r}), picture_bytes={budget}) as sink:
    for i in range({count}):
        sink.write(result)
        if i == {count} // 10:
            peaks.append(peak())
peaks.append(peak())
print(*peaks)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_inputs(tmp_path: Path) -> None:
    code = textwrap.dedent(MEASURE).format(
        tests=str(Path(__file__).parents[1]), out=str(tmp_path / "r.html"), budget=8 << 20, count=1_000
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    early, late = (int(value) for value in done.stdout.split())
    assert (tmp_path / "r.html").stat().st_size > 8 << 20
    assert late - early < 12 << 10  # KiB


def test_a_report_without_a_hash_shows_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(png())
    report = picture_result().report.model_copy(update={"path": str(tmp_path / "private.png"), "sha256": None})
    assert thumbnail(report, None) is None
    assert thumbnail(report, tmp_path / "private.png") is not None
