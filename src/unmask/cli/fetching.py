"""The data of a recipe that names a set, where a training is started without any."""

from __future__ import annotations

import re
from pathlib import Path

from unmask.base.errors import UsageError
from unmask.base.files import cache_home
from unmask.cli.app import say
from unmask.cli.progress import Bar


def fetched_data(what: str | None, faces: str, *, quiet: bool = False) -> Path:
    """Fetch and prepare a set, unless that is done; a download that broke off goes on where it was.

    Args:
        what: As ``unmask data fetch`` takes it; None where the recipe names none.
        faces: Face backend of the recipe.
        quiet: No bar.

    Returns:
        The manifest, in the cache (see :func:`unmask.base.files.cache_home`).

    Raises:
        UsageError: The recipe names no set.
        DataError: It cannot be fetched, or holds nothing that can be used.
    """
    if what is None:
        raise UsageError("--data is missing", hint="Give a manifest, made by `unmask data prepare`")
    from unmask.data.fetch import fetch
    from unmask.data.prepare import prepare

    out = cache_home() / "prepared" / re.sub(r"[^A-Za-z0-9.-]+", "-", f"{what}-{faces}")
    done = out / "manifest.parquet"
    if done.exists():
        return done
    if not quiet:
        say(f"no --data: fetching {what}, which the recipe names")
    got = fetch(what)
    with Bar("finding faces", quiet=quiet) as bar:
        return prepare(got.layout or "auto", got.folder, out, faces=faces, on_progress=bar.advance).file
