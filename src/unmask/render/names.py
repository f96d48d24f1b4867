"""Names of what is written: the input's relative path and full name, and never over a file of the user's."""

from __future__ import annotations

from pathlib import Path, PurePath

from unmask.base.errors import UsageError

MARK = "annotated by unmask"
"""Stands in every picture and clip that is written here, so that a later run knows what it may replace."""

_SEARCHED = 8 << 20
_TRIES = 10_000


def output_path(folder: Path, relative: PurePath | str, suffix: str) -> Path:
    """Where something about an input goes: ``photo.jpg`` becomes ``folder/photo.jpg`` + ``suffix``.

    The full name stays, so ``a.jpg`` and ``a.png`` never meet. Different ``relative`` give different paths.

    Args:
        folder: Of the output.
        relative: Path of the input below whatever it was found in, as ``InputItem.relative``.
        suffix: Added at the end, e.g. ``.png``; empty for an analysis folder.

    Raises:
        UsageError: ``relative`` is absolute, empty or climbs out of the folder.
    """
    path = PurePath(relative)
    if path.is_absolute() or path.drive or ".." in path.parts or not path.parts:
        raise UsageError("this name leads out of the output folder", path=str(relative))
    return folder / path.with_name(path.name + suffix)


def beside(source: Path, suffix: str) -> Path:
    """Where something about an input goes that stays in its folder: ``photo.jpg`` + ``.annotated`` + ``suffix``."""
    return source.with_name(f"{source.name}.annotated{suffix}")


def free_path(path: Path) -> Path:
    """``path``, or the first of ``path~2``, ``~3`` ... that is not taken by a file of the user's.

    A file that an earlier run made (it holds :data:`MARK`) is replaced; any other one stays, whether it is an input of
    this run or not.
    """
    for number in range(1, _TRIES):
        candidate = path if number == 1 else path.with_name(f"{path.stem}~{number}{path.suffix}")
        if not candidate.exists() and not candidate.is_symlink():
            return candidate
        if is_ours(candidate):
            return candidate
    raise UsageError("every name like this one is taken", hint="Choose another folder", path=str(path))


def is_ours(path: Path) -> bool:
    """Whether a picture or clip was written by unmask."""
    if path.is_symlink() or not path.is_file():
        return False
    mark = MARK.encode()
    with path.open("rb") as file:
        return mark in file.read(_SEARCHED)
