"""The terminal, and the pipe."""

from __future__ import annotations

import io
import re

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from render_samples import HOSTILE, clip_report, error_result, make_face, make_track, picture_result
from unmask.render.terminal import MANY, Terminal, plain_lines
from unmask.render.text import cell_width, printable, shorten
from unmask.report import Result


def shown(*results: Result, width: int = 120, terminal: bool = True, **options: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="standard", highlight=False)
    with Terminal(console, **options) as sink:
        for result in results:
            sink.write(result)
    return stream.getvalue()


def test_a_terminal_shows_label_bar_score_and_place() -> None:
    text = shown(picture_result("photo.jpg"))
    first, row = text.splitlines()[:2]
    assert "▲ likely fake" in first
    assert first.index("likely fake") < first.index("0.93") < first.index("photo.jpg")
    assert "512×512, 1 face" in first
    assert "━" in row
    assert "┃" in row
    assert "178,65 92×111" in row
    assert "\x1b[" in text


def test_a_clip_shows_its_faked_stretch() -> None:
    text = shown(Result(clip_report(make_track())))
    assert "0.0–3.0 s" in text
    assert "faked 1.0–2.0 s" in text


def test_no_face_and_error_have_no_score() -> None:
    empty = picture_result("empty.png", boxes=())
    text = shown(empty, error_result())
    assert "no face" in text
    assert "✕ error" in text
    assert "0." not in text.replace("0;", "")
    assert "the file is cut off. Download it again" in text
    assert "2 files: 1 no face, 1 error" in text


def test_a_pipe_gets_clean_lines() -> None:
    text = shown(picture_result("photo.jpg"), Result(clip_report(make_track())), terminal=False)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "likely fake \t0.93 \tfile   \tphoto.jpg\tthe face scores 0.93"
    assert lines[1] == "likely fake \t0.93 \tface 0 \tphoto.jpg\t178,65 92×111"
    assert lines[3].split("\t")[-2:] == ["0.0–3.0 s", "faked 1.0–2.0 s"]
    assert len(lines) == 4


def test_only_files_when_details_are_off() -> None:
    assert len(shown(picture_result(), terminal=False, details=False).splitlines()) == 1


def test_a_pipe_never_shortens_a_name() -> None:
    name = "folder/" + "x" * 500 + ".jpg"
    assert name in shown(picture_result(name), terminal=False, width=40)


@given(st.text(max_size=80))
@example(HOSTILE)
@example("a\nlikely real\t0.01\tfile\tb.jpg")
def test_no_name_moves_the_cursor_or_forges_a_line(name: str) -> None:
    result = picture_result(name)
    for line in plain_lines(result.report):
        assert line == printable(line.replace("\t", "")) or "\t" in line
        assert len(line.splitlines()) == 1
    for text in (shown(result, terminal=False), re.sub("\x1b\\[[0-9;]*m", "", shown(result, width=60))):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\r" not in text


def test_markup_in_a_name_is_text() -> None:
    assert "[red]x[/red].jpg" in shown(picture_result("[red]x[/red].jpg"))


def test_narrow_terminals_are_not_overrun() -> None:
    for width in (40, 60, 80):
        for line in shown(picture_result("some/long/folder/" + "n" * 90 + ".jpg"), width=width).splitlines():
            assert cell_width(_without_colour(line)) <= width


def _without_colour(text: str) -> str:
    from rich.text import Text

    return Text.from_ansi(text).plain


def test_a_crowd_is_cut_to_the_highest() -> None:
    result = picture_result()
    result.report.faces = [make_face(i, i / 100) for i in range(60)]
    text = _without_colour(shown(result))
    assert text.count("face ") >= MANY
    assert "face 59" in text
    assert "face 0 " not in text
    assert f"the {MANY} highest of 60 are listed" in text


@given(st.text(max_size=60), st.integers(0, 40))
def test_shorten_fits(text: str, width: int) -> None:
    safe = printable(text)
    short = shorten(safe, width)
    assert cell_width(short) <= max(width, 0)
    if cell_width(safe) <= width:
        assert short == safe


def test_shorten_keeps_the_end() -> None:
    assert shorten("a/very/long/path/to/photo.jpg", 20).endswith("photo.jpg")
    assert "…" in shorten("a/very/long/path/to/photo.jpg", 20)


def test_ascii_terminals_get_ascii_bars() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    with Terminal(Console(file=stream, width=120, force_terminal=True, highlight=False)) as sink:
        sink.write(picture_result("фото.jpg"))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "! likely fake" in text
    assert "#" in text
    assert "512x512" in text
    assert "\\u0444" in text


def test_pipes_of_old_code_pages() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="strict")
    with Terminal(Console(file=stream, highlight=False)) as sink:
        sink.write(picture_result("写真.jpg"))
    stream.flush()
    assert "\\u5199" in stream.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]
