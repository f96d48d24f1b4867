"""Writing that never leaves half a file and never overwrites what the user gave; hashes; the cache folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unmask.base.errors import OutputError, UsageError

_HASH = re.compile(r"[0-9a-f]{64}")


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""No room on the disk, none within the user's share of it, none within what a file may hold."""


def is_full(error: OSError) -> bool:
    """Whether an error means that what is written to has no room."""
    return error.errno in _FULL


def cannot_write(error: OSError, path: Path | str | None = None, *, hint: str = "") -> OutputError:
    """The error for the user of one that the system gave while something was written.

    Args:
        error: What the system said.
        path: The file as the user knows it; default: the one that the system names.
        hint: What else is to be said.
    """
    name = path if path is not None else error.filename
    return OutputError(
        f"cannot be written: {(error.strerror or str(error) or type(error).__name__).lower()}",
        hint=f"{'Make room' if is_full(error) else 'Check the place'}, or choose another one. {hint}".rstrip(". "),
        path=os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None,
    )


def new_beside(path: Path, suffix: str | None = None, *, hidden: bool = True) -> Path:
    """Make an empty file of a name that nobody has, in the folder of ``path``.

    The system gives it the mode of any new file: what the process masks out belongs to all its threads, and asking
    for it means changing it for a moment.

    Args:
        path: The file that it is to become.
        suffix: End of its name; default: that of ``path``, since writers choose their format by it.
        hidden: Begin its name with a dot.
    """
    # Names end at 255 bytes, and a character may take four: the longest that is allowed for ``path`` leaves no room.
    stem, end = path.stem[:40], path.suffix[:16] if suffix is None else suffix
    while True:
        name = path.with_name(f"{'.' * hidden}{stem}.{secrets.token_hex(4)}{end}")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            error.filename = str(path)
            raise
        return name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well, delete it otherwise.

    The temporary name keeps the suffix of ``path``. An error of the system that names no file, as that of a full disk
    does, or names the temporary one, is made to name ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_beside(path)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        # FFmpeg writes the name as an address.
        if error.errno is not None and (error.filename is None or temporary.name in os.fsdecode(error.filename)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


class Records:
    """Whole records of UTF-8 in a file: one that finds no room leaves no part of itself behind.

    Args:
        file: Opened for writing without a buffer, since what a buffer holds could neither be taken back nor be got
            rid of; records go where it stands.
        name: The file as the user knows it, for errors.
        hint: What is to be said in errors of what came before.
    """

    def __init__(self, file: IO[bytes], name: Path, hint: str = "") -> None:
        self.file = file
        self._name, self._hint = name, hint
        self._whole = file.tell()

    def write(self, text: str) -> None:
        """Write one record.

        Raises:
            OutputError: There is no room for it; what came before stays.
        """
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        size = len(data)
        try:
            while data:
                data = data[self.file.write(data) :]
        except BaseException as error:
            # A second Ctrl-C may come in the middle too.
            self.file.seek(self._whole)
            self.file.truncate()
            if isinstance(error, OSError):
                raise cannot_write(error, self._name, hint=self._hint) from error
            raise
        self._whole += size


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to ``path`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to ``path`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in lower-case hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_home() -> Path:
    """Folder for what can be fetched or made again: ``$UNMASK_HOME``, else ``unmask`` in the platform's cache folder.

    Raises:
        UsageError: Neither is known.
    """
    if own := os.environ.get("UNMASK_HOME"):
        return Path(own).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        return Path(base) / "unmask"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError("this user has no home folder", hint="Set UNMASK_HOME to a folder for the cache") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "unmask"


def parse_sha256(text: str) -> str:
    """A SHA-256 in lower-case hex.

    Raises:
        UsageError: It is none; an empty one too, lest an unset variable of a script turns the check off.
    """
    found = text.strip().lower()
    if not _HASH.fullmatch(found):
        raise UsageError(f"{text!r} is not a SHA-256", hint="It has 64 hexadecimal digits, as `sha256sum FILE` prints")
    return found


def has_hash(path: Path, sha256: str) -> bool:
    """Whether a file is there and is the right one."""
    return path.is_file() and sha256_of(path) == sha256
