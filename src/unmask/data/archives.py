"""Archives of data sets, unpacked without trust: nothing leaves its folder, nothing fills the disk unseen.

What is refused as a whole, before or while it is unpacked, and then nothing is left behind: names that lead outside,
the same name twice, sizes that grow out of proportion to the archive (a bomb) or do not fit on the disk. Links and
devices are not made, only counted.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from unmask.base.errors import DataError
from unmask.data.items import stays_below

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FOREIGN = (".7z", ".rar", ".tar.zst", ".z01", ".zip.001")
_BLOCK = 1 << 20
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still believed.

    Attributes:
        ratio: Unpacked over packed size; pictures and clips hardly shrink, tables by 20 at most.
        small: Bytes below which the ratio does not matter.
        files: Number of files.
        spare: Bytes that must stay free on the disk.
    """

    ratio: float = 100.0
    small: int = 64 << 20
    files: int = 5_000_000
    spare: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out: the folder, files and bytes written, names of links and devices that were left out."""

    folder: Path
    files: int
    size: int
    left_out: tuple[str, ...] = ()


class _Entry(NamedTuple):
    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes] | None]


def is_damage(error: BaseException | None) -> bool:
    """Whether an error says that an archive is damaged, and not that the disk is; those of the system have numbers."""
    return isinstance(error, _BROKEN) or (isinstance(error, OSError) and error.errno is None)


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that :func:`unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(archive: Path) -> str:
    """The name without the endings of an archive."""
    end = max((suffix for suffix in SUFFIXES if archive.name.lower().endswith(suffix)), key=len, default="")
    return archive.name[: len(archive.name) - len(end)] or archive.name


def unpack(
    archive: Path, out: Path, *, limits: Limits | None = None, on_progress: Callable[[int, int], None] | None = None
) -> Unpacked:
    """Unpack a zip or tar archive into a new folder, whole or not at all.

    Args:
        archive: The file; its content, not its name, says what it is.
        out: A folder that does not exist yet.
        limits: See :class:`Limits`.
        on_progress: Called with bytes of the archive (tar: of its content) done, and all (0 where unknown).

    Raises:
        DataError: Not such an archive, broken, locked by a password, hostile or too large; ``out`` exists.
    """
    if out.exists():
        raise DataError("exists already", path=str(out), hint="Nothing is overwritten: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        result = _unpack_into(archive, temporary, limits or Limits(), on_progress)
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Unpacked(out, result.files, result.size, result.left_out)


def _unpack_into(archive: Path, out: Path, limits: Limits, on_progress: Callable[[int, int], None] | None) -> Unpacked:
    try:
        packed = archive.stat().st_size
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                result = _write(archive, _of_tar(tar), out, packed, 0, limits, on_progress)
                _read_to_end(tar, limits.small)
                return result
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                entries = list(_of_zip(file))
                return _write(archive, entries, out, packed, sum(one.size for one in entries), limits, on_progress)
    except (*_BROKEN, OSError) as error:
        if not is_damage(error):
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"cannot be unpacked: {reason}", path=str(archive), hint="Check the disk") from error
        locked = "password" in str(error).lower() or "encrypted" in str(error).lower()
        raise DataError(
            "is locked by a password" if locked else f"is broken: {error or type(error).__name__}",
            path=str(archive),
            hint="Unpack it by hand" if locked else "Download it again",
        ) from error
    foreign = archive.name.lower().endswith(_FOREIGN)
    raise DataError(
        "is neither a zip nor a tar archive",
        path=str(archive),
        hint="Unpack it by hand, then: unmask data prepare LAYOUT FOLDER OUT" if foreign else "Download it again",
    )


def unpack_nested(folder: Path, *, limits: Limits | None = None, depth: int = 3) -> list[Unpacked]:
    """Unpack archives that lie within a downloaded set, each beside itself; what is there already is passed over.

    Args:
        folder: The set.
        limits: For each archive.
        depth: Archives in archives in archives are followed so far.

    Raises:
        DataError: See :func:`unpack`.
    """
    done: list[Unpacked] = []
    level = [folder]
    for _ in range(depth):
        archives = sorted(file for place in level for file in place.rglob("*") if file.is_file() and is_archive(file))
        found = [
            unpack(file, target, limits=limits)
            for file in archives
            if not (target := file.with_name(stem_of(file))).exists()
        ]
        done += found
        level = [one.folder for one in found]
    return done


def _of_zip(file: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in file.infolist():
        mode = info.external_attr >> 16
        kind = "file"
        if info.is_dir():
            kind = "folder"
        elif stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            kind = "other"
        # Zip files made on Windows may hold backslashes, which zipfile turns into slashes only there.
        yield _Entry(info.orig_filename, info.file_size, kind, lambda info=info: file.open(info))  # type: ignore[misc]


def _of_tar(tar: tarfile.TarFile) -> Iterator[_Entry]:
    for info in tar:
        kind = "file" if info.isreg() else "folder" if info.isdir() else "other"
        yield _Entry(info.name, info.size, kind, lambda info=info: tar.extractfile(info))  # type: ignore[misc]
        # Otherwise every header of a million files stays in memory.
        tar.members = []  # type: ignore[attr-defined]


def _read_to_end(tar: tarfile.TarFile, most: int) -> None:
    """The check sum of a gzip file stands after the end of the archive: it is compared when that is reached."""
    stream = tar.fileobj
    while stream is not None and most > 0 and (block := stream.read(_BLOCK)):
        most -= len(block)


def _write(
    archive: Path,
    entries: Iterator[_Entry] | list[_Entry],
    out: Path,
    packed: int,
    total: int,
    limits: Limits,
    on_progress: Callable[[int, int], None] | None,
) -> Unpacked:
    room = shutil.disk_usage(out).free - limits.spare
    allowed = max(limits.small, int(packed * limits.ratio))
    if isinstance(entries, list):
        # What a zip says of itself is checked before a byte is written.
        for entry in entries:
            _safe(entry.name, archive)
        _check_size(total, allowed, room, archive)
    size, count, left_out = 0, 0, []
    for entry in entries:
        target = out / _safe(entry.name, archive)
        if entry.kind == "other":
            left_out.append(entry.name)
            continue
        try:
            (target if entry.kind == "folder" else target.parent).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _twice(entry.name, archive) from error
        if entry.kind == "folder":
            continue
        count += 1
        if count > limits.files:
            raise DataError(f"holds more than {limits.files:,} files", path=str(archive), hint="Unpack it by hand")
        # Sparse files say how large they are before any of it is read.
        _check_size(size + entry.size, allowed, room, archive)
        try:
            stream = entry.open()
            if stream is None:
                continue
            with stream, target.open("xb") as sink:
                while block := stream.read(_BLOCK):
                    size += len(block)
                    _check_size(size, allowed, room, archive)
                    sink.write(block)
        except (FileExistsError, IsADirectoryError) as error:
            raise _twice(entry.name, archive) from error
        if on_progress:
            on_progress(size, total)
    return Unpacked(out, count, size, tuple(left_out))


def _twice(name: str, archive: Path) -> DataError:
    return DataError(
        f"names {name[:120]!r} twice (or twice but for upper and lower case)",
        path=str(archive),
        hint="Unpack it by hand",
    )


def _safe(name: str, archive: Path) -> PurePosixPath:
    if not stays_below(name):
        raise DataError(
            f"holds a name that leads out of its folder: {name[:120]!r}",
            path=str(archive),
            hint="Do not use it: no honest archive does",
        )
    return PurePosixPath(name.replace("\\", "/"))


def _check_size(size: int, allowed: int, room: int, archive: Path) -> None:
    if size > allowed:
        raise DataError(
            f"would grow beyond {allowed / 2**30:.2f} GiB, out of proportion to its size",
            path=str(archive),
            hint="It looks like a bomb; if you trust it, unpack it by hand",
        )
    if size > room:
        raise DataError(
            f"needs {size / 2**30:.1f} GiB, {max(0, room) / 2**30:.1f} GiB are free",
            path=str(archive),
            hint="Make room, or choose another disk with --to DIR",
        )
