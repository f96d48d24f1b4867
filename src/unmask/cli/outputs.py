"""Where results go: the terminal, files, annotated media, analysis folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.base.errors import OutputError, UnmaskError, UsageError
from unmask.base.files import cannot_write
from unmask.cli.app import say

if TYPE_CHECKING:
    from unmask.media import InputItem
    from unmask.render.sinks import Sink
    from unmask.report import Result


class Outputs:
    """Everything that a call wants written.

    Args:
        as_json: JSON lines on stdout instead of the table.
        out: A ``.jsonl`` or ``.csv`` file.
        html: A ``.html`` file.
        annotate: Folder for annotated media.
        save: Folder for analysis folders.
        quiet: No table.

    Raises:
        UsageError: An ending is unknown, or a folder is a file.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        out: Path | None,
        html: Path | None,
        annotate: Path | None,
        save: Path | None,
        quiet: bool,
    ) -> None:
        self._as_json, self._quiet = as_json, quiet
        self._out, self._html, self._annotate, self._save = out, html, annotate, save
        self._sinks: list[Sink] = []
        self._map_range = (-4.0, 4.0)
        self.failures = 0
        _check_ending(out, "--out", (".jsonl", ".csv"))
        _check_ending(html, "--html", (".html", ".htm"))
        for option, folder in (("--annotate", annotate), ("--save", save)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise UsageError(f"{option} takes a folder, and this is a file", hint="Name a folder", path=str(folder))

    @contextmanager
    def opened(self, map_range: tuple[float, float]) -> Iterator[None]:
        """Open every file; close them with what is done, however the block ends.

        One that cannot take its place at the end (its disk is full) is said and counted; the others do.

        Args:
            map_range: Logits at the ends of the colour scale of evidence maps, from the model's card.
        """
        self._map_range = map_range
        with ExitStack() as stack:
            for sink in self._make_sinks():
                sink.__enter__()
                stack.push(partial(self._close, sink))
                self._sinks.append(sink)
            yield

    def _close(self, sink: Sink, *raised: Any) -> None:
        try:
            sink.__exit__(*raised)
        except OutputError as error:
            self.failures += 1
            say(str(error))

    def _make_sinks(self) -> Iterator[Sink]:
        if self._as_json or (self._out and self._out.suffix.lower() == ".jsonl"):
            from unmask.render.sinks import JsonLines

            if self._as_json:
                yield JsonLines(sys.stdout)
            if self._out and self._out.suffix.lower() == ".jsonl":
                yield JsonLines(self._out)
        if self._out and self._out.suffix.lower() == ".csv":
            from unmask.render.sinks import Csv

            yield Csv(self._out)
        if not self._as_json and not self._quiet:
            from unmask.render.terminal import Terminal

            yield Terminal()
        if self._html:
            from unmask.render.html import HtmlReport

            yield HtmlReport(self._html, map_range=self._map_range)

    @property
    def draws(self) -> bool:
        """Whether :meth:`draw` has anything to do."""
        return bool(self._annotate or self._save)

    def write(self, item: InputItem, result: Result) -> None:
        """Give one result to every sink.

        Raises:
            OutputError: One has no room for it.
        """
        for sink in self._sinks:
            sink.write(result, item.source)

    def draw(self, item: InputItem, result: Result, progress: Callable[[float], None]) -> None:
        """Write the annotated copy and the analysis folder of one result; a clip takes its time.

        Args:
            item: The input.
            result: What came of it.
            progress: Called with the share that is done, in [0, 1].
        """
        if result.report.verdict == "error" or item.source is None:
            return
        try:
            if self._annotate:
                out = output_path_of(item, result, self._annotate)
                write_annotated(item.source, item.name, result, out, self._map_range, progress)
            if self._save:
                from unmask.render.folder import save_analysis
                from unmask.render.names import output_path

                save_analysis(result, output_path(self._save, item.relative, ""))
        except (UnmaskError, OSError, ValueError) as error:  # some errors of PyAV are ValueErrors
            # The verdict stands; only its picture could not be made.
            self.failures += 1
            say(_of_drawing(error, item.name))


def _of_drawing(error: Exception, name: str) -> str:
    if isinstance(error, OSError) and error.filename:
        return str(cannot_write(error))
    return str(error) if isinstance(error, UnmaskError) else f"{name}: cannot be drawn: {error}"


def output_path_of(item: InputItem, result: Result, folder: Path) -> Path:
    """Where the annotated copy of an input goes; a file of the user's that has the name keeps it."""
    from unmask.render.names import free_path, output_path

    return free_path(output_path(folder, item.relative, ".mp4" if is_clip(result) else ".png"))


def write_annotated(
    source: Path | bytes,
    name: str,
    result: Result,
    out: Path,
    map_range: tuple[float, float],
    progress: Callable[[float], None],
) -> None:
    """Write the annotated copy of a picture or a clip.

    Args:
        source: The file or its bytes.
        name: As the user gave it.
        result: What the analysis gave.
        out: Where to write.
        map_range: See :meth:`Outputs.opened`.
        progress: Called with the share of a clip that is done, in [0, 1].

    Raises:
        MediaError: The file can no longer be read.
        OSError: The place cannot be written.
    """
    if is_clip(result):
        from unmask.render.clip import annotate_clip

        annotate_clip(source, result, out, progress)
        return
    from unmask.media import open_media
    from unmask.render.annotate import save_annotated

    with open_media(source, name=name) as media:
        save_annotated(result, next(iter(media.frames())).image, out, map_range=map_range)


def is_clip(result: Result) -> bool:
    """Whether a result is about a clip."""
    return result.report.media is not None and result.report.media.kind == "clip"


def _check_ending(path: Path | None, option: str, endings: tuple[str, ...]) -> None:
    if path is not None and path.suffix.lower() not in endings:
        raise UsageError(f"{option} {path}: unknown ending", hint=f"Give a file that ends in {' or '.join(endings)}")
