"""Where the bytes of a file come from: a path or memory, checked before any decoder sees them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unmask.base.errors import MediaError, UnsupportedMediaError, UsageError
from unmask.base.files import sha256_of
from unmask.media.sniff import HEAD_BYTES, Kind, describe_other, sniff

MAX_PIPE_MIB = 2048
"""What a pipe may give at most, in MiB, where the environment variable :data:`PIPE_LIMIT` does not say otherwise."""
PIPE_LIMIT = "UNMASK_MAX_PIPE_MIB"
_PIECE = 1 << 20

READS = (
    "unmask reads pictures (JPEG, PNG, WebP, AVIF, TIFF, BMP, HEIC) "
    "and clips (mp4, mov, mkv, webm, avi, ts, mpg, flv, ogg, wmv, GIF)"
)


@dataclass(slots=True)
class Source:
    """A file or bytes in memory.

    Attributes:
        name: The name as the user gave it; it is what errors show.
        path: The file, or None when the bytes are in memory.
        data: The bytes, or None when they are in a file.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None

    def open(self) -> BinaryIO:
        """Open for reading; the caller closes."""
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None
        try:
            return self.path.open("rb")
        except OSError as error:
            raise cannot_read(error, self.name) from error

    def sha256(self) -> str:
        """SHA-256 of all bytes, lower-case hex."""
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest()
        assert self.path is not None
        try:
            return sha256_of(self.path)
        except OSError as error:
            raise cannot_read(error, self.name) from error

    def kind(self) -> Kind:
        """What it is, by content.

        Raises:
            MediaError: It is empty or cannot be read.
            UnsupportedMediaError: It is nothing that unmask reads.
        """
        with self.open() as file:
            try:
                head = file.read(HEAD_BYTES)
            except OSError as error:
                raise cannot_read(error, self.name) from error
        if not head:
            raise MediaError("the file is empty", hint="Copy or download it again", path=self.name)
        kind = sniff(head)
        if kind is None:
            other = describe_other(head)
            raise UnsupportedMediaError(
                f"this is {other}, not a picture or clip"
                if other
                else "this is not a picture or clip that unmask knows",
                hint=READS,
                path=self.name,
            )
        return kind


def cannot_read(error: OSError, name: str) -> MediaError:
    """Turn an error of the operating system into one for the user."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return MediaError(f"the file cannot be read: {reason}", hint="Check the name and the permissions", path=name)


def source_of(given: str | os.PathLike[str] | bytes, name: str | None) -> Source:
    """Check a path or take bytes.

    A pipe (``<(command)`` in a shell) is read into memory: see :func:`read_pipe`.

    Raises:
        MediaError: There is no such file, it is a folder or a device, or it cannot be read.
    """
    if isinstance(given, (bytes, bytearray, memoryview)):
        return Source(name or "<bytes>", data=bytes(given))
    text = os.fspath(given)
    name = name or text
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        hint = "Check the name"
        if "://" in text:
            hint = "unmask opens no address of the network: download the file first"
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else "the file cannot be read"
        raise MediaError(reason, hint=hint, path=name) from error
    if stat.S_ISDIR(mode):
        raise MediaError(
            "this is a folder, not a file", hint="Give the files in it, or use `unmask analyze FOLDER`", path=name
        )
    if stat.S_ISFIFO(mode):
        return _read_pipe(path, name)
    if not stat.S_ISREG(mode):
        raise MediaError("this is a device or a socket, not a file", hint="Give a file", path=name)
    return Source(name, path=path)


def _read_pipe(path: Path, name: str) -> Source:
    try:
        with path.open("rb") as file:
            return Source(name, data=read_pipe(file, name))
    except OSError as error:
        raise cannot_read(error, name) from error


def read_pipe(stream: BinaryIO, name: str) -> bytes:
    """Everything that comes through a pipe, up to a limit; no more of it is read than that.

    Args:
        stream: Opened for reading; stays open.
        name: For errors.

    Raises:
        MediaError: More came than :data:`MAX_PIPE_MIB` or the environment variable :data:`PIPE_LIMIT` allows.
        UsageError: The variable holds no number above 0.
    """
    text = os.environ.get(PIPE_LIMIT) or str(MAX_PIPE_MIB)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UsageError(f"{PIPE_LIMIT} is {text!r}", hint="Give a number of MiB above 0, for instance 4096")
    limit = int(text) << 20
    # In pieces: read(limit) would reserve all of it for a picture of a few kilobytes.
    held = io.BytesIO()
    try:
        while held.tell() <= limit and (piece := stream.read(min(_PIECE, limit + 1 - held.tell()))):
            held.write(piece)
    except MemoryError as error:
        raise MediaError(
            "more came through the pipe than the memory holds", hint="Store it in a file first", path=name
        ) from error
    if held.tell() > limit:
        raise MediaError(
            f"more than {int(text):,} MiB came through the pipe",
            hint=f"Store it in a file first, or set {PIPE_LIMIT} to more",
            path=name,
        )
    return held.getvalue()
