"""Which files a command line means: files, folders, patterns, lists and bytes on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from unmask.base.errors import MediaError, UnmaskError
from unmask.media.source import cannot_read, read_pipe

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"}
    | {".heic", ".heif", ".hif", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi"}
    | {".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".flv", ".f4v", ".ogg", ".ogv", ".wmv", ".asf"}
)
"""Endings by which files inside a folder are chosen. A file that is named itself may have any."""


@dataclass(frozen=True, slots=True)
class InputItem:
    """One input of a command.

    Attributes:
        name: As the user gave it (inside a folder: the folder as given, and the path in it); printable.
        relative: Where outputs about it belong below an output folder: the path relative to the folder or pattern it
            came from, with its full name; never absolute, never with ``..``, and different for every item of a call.
        source: What ``open_media`` takes: the path, or the bytes that came on stdin; None when ``error`` is set.
        error: Why there is nothing to open (no such file, an empty folder); it becomes a row with verdict ``error``.
    """

    name: str
    relative: PurePath
    source: Path | bytes | None = None
    error: UnmaskError | None = None


def find_inputs(paths: Iterable[str], *, files_from: Iterable[str] | None = None) -> Iterator[InputItem]:
    """Go through what the user named, in that order; folders sorted by name.

    A folder is walked to its end: hidden files and folders are left out, so are files whose ending is not in
    :data:`SUFFIXES`; links are followed, and a folder that was seen is not entered again. A pattern (``*``, ``?``,
    ``[``, ``**``) that the shell left as it is, is expanded, unless a file of just that name exists. ``-`` reads the
    bytes of one file from stdin, up to the limit of :func:`unmask.media.source.read_pipe`.

    Args:
        paths: Arguments of the command line.
        files_from: Further paths, one a line, taken literally (no patterns); empty lines are skipped.

    Yields:
        Items, one by one, while folders are still being walked.
    """
    used: dict[str, int] = {}
    for item in _all(paths, files_from):
        yield _unique(item, used)


def _all(paths: Iterable[str], files_from: Iterable[str] | None) -> Iterator[InputItem]:
    for text in paths:
        if text == "-":
            yield _stdin()
        else:
            yield from _expand(text, patterns=True)
    for line in files_from or ():
        text = line.rstrip("\r\n")
        if text.strip():
            yield from _expand(text, patterns=False)


def _stdin() -> InputItem:
    name, place = "-", PurePath("stdin")
    try:
        return InputItem(name, place, read_pipe(sys.stdin.buffer, name))
    except MediaError as error:
        return InputItem(name, place, error=error)
    except OSError as error:
        return InputItem(name, place, error=cannot_read(error, name))


def _expand(text: str, *, patterns: bool) -> Iterator[InputItem]:
    path = Path(text)
    if _exists(path):
        if path.is_dir():
            yield from _folder(text)
        else:
            yield InputItem(_printable(text), _inside(path), path)
        return
    if patterns and glob.has_magic(text):
        found = False
        base = _fixed_part(text)
        for match in sorted(glob.iglob(text, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute pattern)
            if "__MACOSX" in Path(match).parts:
                continue
            if Path(match).is_dir():
                # ``**`` gives folders as well as what is in them; only a plain pattern means the whole folder.
                if "**" in text:
                    continue
                for item in _folder(match):
                    if item.error is None:
                        found = True
                        yield item
            elif Path(text).suffix or Path(match).suffix.lower() in SUFFIXES:
                found = True
                yield InputItem(_printable(match), _inside(_relative_to(Path(match), base)), Path(match))
        if not found:
            yield _missing(text, "no file matches this pattern", "Check the pattern, and put it in quotes")
        return
    yield _missing(text, "there is no such file or folder", "Check the name")


def _missing(text: str, message: str, hint: str) -> InputItem:
    name = _printable(text)
    if "://" in text:
        hint = "unmask opens no address of the network: download the file first"
    return InputItem(name, _inside(Path(name)), error=MediaError(message, hint=hint, path=name))


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _folder(text: str) -> Iterator[InputItem]:
    root = Path(text)
    empty = True
    for item in _walk(root, root, set()):
        empty = False
        yield item
    if empty:
        yield InputItem(
            _printable(text),
            _inside(root),
            error=MediaError("there is no picture or clip in this folder", hint="Give another folder", path=text),
        )


def _walk(root: Path, folder: Path, seen: set[tuple[int, int]]) -> Iterator[InputItem]:
    try:
        facts = folder.stat()
        key = (facts.st_dev, facts.st_ino)
        if key in seen:
            return
        seen.add(key)
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        name = _printable(str(folder))
        reason = (error.strerror or str(error)).lower()
        yield InputItem(
            name,
            _inside(_relative_to(folder, root)),
            error=MediaError(f"the folder cannot be read: {reason}", hint="Check its permissions", path=name),
        )
        return
    for entry in found:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        path = folder / entry.name
        try:
            is_folder, is_file = path.is_dir(), path.is_file()
        except OSError:  # the folder may be listed but not entered: the file says so itself when it is opened
            is_folder, is_file = False, True
        if is_folder:
            yield from _walk(root, path, seen)
        elif is_file and path.suffix.lower() in SUFFIXES:
            yield InputItem(_printable(str(path)), _inside(_relative_to(path, root)), path)


def _relative_to(path: Path, base: Path) -> PurePath:
    return path.relative_to(base) if path.is_relative_to(base) else PurePath(path.name)


def _fixed_part(pattern: str) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts) if parts else Path()


def _inside(path: PurePath) -> PurePath:
    """A path that stays below the folder it is joined to."""
    if path.is_absolute() or ".." in path.parts or not path.parts:
        path = PurePath(path.name or "input")
    return PurePath(_printable(str(path)))


def _printable(text: str) -> str:
    """File names need not be UTF-8; reports are."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unique(item: InputItem, used: dict[str, int]) -> InputItem:
    """Two folders may hold the same name: the second gets a numbered folder of its own.

    ``used`` holds the last number of each name; to try them all again would take hours for a list of clip folders.
    """
    name = str(item.relative).casefold()
    number = used.get(name, 0) + 1
    relative = item.relative
    while number > 1 and str(relative := PurePath(str(number)) / item.relative).casefold() in used:
        number += 1
    used[name] = number
    if number == 1:
        return item
    used[str(relative).casefold()] = 1
    return InputItem(item.name, relative, item.source, item.error)
