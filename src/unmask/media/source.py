"""Where the bytes of a file come from: a path or memory, checked before any decoder sees them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unmask.base.errors import MediaError, UnsupportedMediaError
from unmask.base.files import sha256_of
from unmask.media.sniff import HEAD_BYTES, Kind, describe_other, sniff

MAX_PIPE_BYTES = 2 << 30

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

    A pipe (``<(command)`` in a shell) is read into memory, at most :data:`MAX_PIPE_BYTES`.

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
            data = file.read(MAX_PIPE_BYTES + 1)
    except OSError as error:
        raise cannot_read(error, name) from error
    if len(data) > MAX_PIPE_BYTES:
        raise MediaError("more than 2 GiB came through the pipe", hint="Store it in a file first", path=name)
    return Source(name, data=data)
