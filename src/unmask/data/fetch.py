"""Data sets from Kaggle, through kagglehub; or from an archive that was downloaded by hand."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.base.errors import DataError, UnmaskError, UsageError
from unmask.base.extras import require
from unmask.data.archives import Limits, Unpacked, is_archive, is_damage, stem_of, unpack, unpack_nested
from unmask.data.layouts import layout_named

_KAGGLE = "kaggle:"
_SLUG = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_DATASET = re.compile(rf"{_SLUG}/{_SLUG}(/versions/\d+)?")
_CACHE = "KAGGLEHUB_CACHE"
_LOGIN = (
    "Make a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN (or KAGGLE_USERNAME and KAGGLE_KEY, or "
    "save kaggle.json in ~/.kaggle)"
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where a set lies, the layout it seems to have (None: unknown), and the archives that were unpacked within it."""

    folder: Path
    layout: str | None
    unpacked: tuple[Unpacked, ...] = ()


def fetch(what: str, to: Path | None = None, *, limits: Limits | None = None) -> Fetched:
    """Download and unpack a data set.

    Args:
        what: ``kaggle:OWNER/NAME`` (``/versions/N`` for one version), ``kaggle:COMPETITION``, or the path of a zip or
            tar archive that was downloaded by hand.
        to: Folder for downloads instead of kagglehub's cache (``KAGGLEHUB_CACHE``); of an archive: where its folder
            goes, by default beside it. What is there is not downloaded again, an interrupted download goes on.
        limits: How far archives are trusted.

    Raises:
        UsageError: ``what`` is none of these.
        DataError: It cannot be had; the hint says the ways out.
    """
    if what.startswith(_KAGGLE):
        folder = _from_kaggle(what.removeprefix(_KAGGLE), to, limits or Limits())
        done = tuple(unpack_nested(folder, limits=limits))
    elif Path(what).is_file() and is_archive(Path(what)):
        archive = Path(what)
        first = unpack(archive, (to or archive.parent) / stem_of(archive), limits=limits)
        folder, done = first.folder, (first, *unpack_nested(first.folder, limits=limits))
    else:
        there = Path(what).exists()
        raise UsageError(
            f"{what!r} is {'not an archive' if there else 'neither a set on Kaggle nor a file'}",
            hint="Write kaggle:OWNER/NAME, kaggle:COMPETITION or the path of a .zip or .tar file",
        )
    return Fetched(*_find_set(folder), done)


def _find_set(folder: Path) -> tuple[Path, str | None]:
    """The folder whose layout is known best: sets are often wrapped in a folder or two of their own name."""
    known: list[tuple[int, Path, str]] = []
    place = folder
    for _ in range(4):
        with suppress(DataError):
            layout = layout_named("auto", place)
            known.append((layout.rank, place, layout.name))
        inner = [child for child in place.iterdir() if child.is_dir() and not child.name.startswith(".")]
        if len(inner) != 1:
            break
        place = inner[0]
    if not known:
        return folder, None
    # The most particular layout; of two alike the outer folder.
    _, place, name = min(known, key=lambda one: one[0])
    return place, name


def _from_kaggle(name: str, to: Path | None, limits: Limits) -> Path:
    competition = "/" not in name
    if not (re.fullmatch(_SLUG, name) if competition else _DATASET.fullmatch(name)):
        raise UsageError(
            f"{_KAGGLE}{name} is not the name of a set",
            hint="Write kaggle:OWNER/NAME as in https://www.kaggle.com/datasets/OWNER/NAME, or kaggle:COMPETITION",
        )
    page = f"https://www.kaggle.com/{'competitions' if competition else 'datasets'}/{name}"
    with _quiet(), _cache_in(to):
        kagglehub = require("kagglehub", "data", "`unmask data fetch`")
        logging.getLogger("kagglehub").setLevel(logging.WARNING)
        try:
            with _own_unpacking(limits):
                get = kagglehub.competition_download if competition else kagglehub.dataset_download
                return Path(get(name))
        except UnmaskError:
            raise
        # kagglehub lets errors of many packages through; each ends in the same ways out.
        except Exception as error:
            raise _explained(error, page, competition) from error


def _explained(error: Exception, page: str, competition: bool) -> DataError:
    """What went wrong, in words, and what to do."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    by_hand = (
        f"Or download it in a browser from {page}, then: unmask data fetch FILE.zip, and unmask data prepare LAYOUT "
        "FOLDER OUT"
    )
    rules = f"accept the rules at {page}/rules"
    if "UnauthenticatedError" in kinds or code == 401:
        message = "Kaggle wants to know who you are"
        first = f"{_LOGIN}{f', and {rules}' if competition else ''}"
    elif code == 403:
        message = "Kaggle does not give you this set"
        first = f"{rules.capitalize() if competition else f'Accept its terms at {page}'}; check your token. {_LOGIN}"
    elif code == 404:
        message, first = "Kaggle has no such set", f"Check the name at {page}"
    elif code == 429 or (code or 0) >= 500:
        message, first = f"Kaggle is busy or out of order (HTTP {code})", "Try again later; what is there is kept"
    elif kinds & {"ConnectionError", "Timeout", "ConnectTimeout", "ReadTimeout", "ChunkedEncodingError"}:
        message, first = "Kaggle cannot be reached from here", "Check the network; an interrupted download goes on"
    elif "DataCorruptionError" in kinds:
        message, first = "arrived damaged", "Try again"
    elif isinstance(error, OSError) and error.errno is not None:
        message, first = f"cannot be stored: {error.strerror}", "Choose another disk with --to DIR"
    else:
        text = str(error).strip().splitlines()
        message, first = f"kagglehub failed: {text[0] if text else type(error).__name__}", "Try again"
    return DataError(message, path=page, hint=f"{first}. {by_hand}")


@contextmanager
def _quiet() -> Iterator[None]:
    """kagglehub talks on stdout, which is for results here."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _cache_in(folder: Path | None) -> Iterator[None]:
    before = os.environ.get(_CACHE)
    if folder is not None:
        os.environ[_CACHE] = str(folder.resolve())
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop(_CACHE)
            if before is not None:
                os.environ[_CACHE] = before


@contextmanager
def _own_unpacking(limits: Limits) -> Iterator[None]:
    """kagglehub unpacks safely, but without a look at sizes: where its inner function is found, ours stands in."""
    resolver: Any = sys.modules.get("kagglehub.http_resolver")
    theirs = getattr(resolver, "_extract_archive", None)

    def ours(archive_path: str, out_path: str) -> None:
        archive, out = Path(archive_path), Path(out_path)
        # It only unpacks what it does not hold for complete: what lies there was left by an interrupt.
        shutil.rmtree(out, ignore_errors=True)
        try:
            unpack(archive, out, limits=limits)
        except DataError as error:
            if is_damage(error.__cause__):
                # Else it would be taken for a finished download for ever.
                archive.unlink(missing_ok=True)
            raise

    if theirs is not None:
        resolver._extract_archive = ours
    try:
        yield
    finally:
        if theirs is not None:
            resolver._extract_archive = theirs
