"""What ``unmask evaluate``, ``sample`` and ``calibrate`` share: their data, their models, their bar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.base.errors import UsageError
from unmask.cli.progress import Bar

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.model import Bundle

__all__ = ["Bar", "load", "read_manifests"]


def read_manifests(files: list[Path], roots: list[str]) -> Manifest:
    """The manifests as one; ``roots`` as ``NAME=DIR``, each for the manifests that have a root of that name.

    Raises:
        DataError: One is not a manifest, or together they break its rules.
        UsageError: A root is not ``NAME=DIR``.
    """
    from unmask.cli.data import parse_roots
    from unmask.data.manifest import Manifest, join

    moved = parse_roots(roots)
    if len(files) == 1:
        return Manifest.read(files[0], moved)
    read = [Manifest.read(file) for file in files]
    unknown = set(moved) - {name for one in read for name in one.roots}
    if unknown:
        raise UsageError(f"no manifest has a root named {', '.join(sorted(unknown))}", hint="Check --root")
    return join(
        replace(one, roots=one.roots | {name: folder for name, folder in moved.items() if name in one.roots})
        for one in read
    )


def load(name: str, device: str, threads: int | None, *, quiet: bool) -> tuple[Path, Bundle]:
    """A bundle by file, address or ``default``, and where it lies.

    Raises:
        BundleError, DeviceError: See :func:`unmask.model.load_bundle`.
    """
    from unmask.model import load_bundle
    from unmask.model.fetch import locate
    from unmask.model.packaged import default_bundle

    if name == "default":
        return default_bundle(), load_bundle(None, device=device, threads=threads)
    place = locate(name, quiet=quiet)
    return place.path, load_bundle(place.path, device=device, threads=threads, sha256=place.sha256)
