"""Writing that never leaves half a file and never overwrites what the user gave; hashes; the cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unmask.base.errors import UsageError

_HASH = re.compile(r"[0-9a-f]{64}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well, delete it otherwise.

    The temporary name keeps the suffix of ``path``, since writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Names end at 255 bytes, and a character may take four: the longest that is allowed for ``path`` leaves no room.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix[:16], dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the result the mode an ordinary open() would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
