"""Whether the rows of a split can be measured: told before anything takes its time."""

from __future__ import annotations

from unmask.base.errors import DataError, UsageError
from unmask.data.items import SPLITS
from unmask.data.manifest import Manifest


def require_rows(manifest: Manifest, split: str, *, both: bool = True, way_out: str = "") -> None:
    """Check that a split has rows, that their files are there, and that it has both labels.

    Files that are there and cannot be read are another matter: they are counted and named in the figures.

    Args:
        manifest: The rows.
        split: ``train``, ``val`` or ``test``.
        both: Whether it takes reals and fakes.
        way_out: What else can be done where it takes both and has one.

    Raises:
        UsageError: There is no split of this name.
        DataError: No rows, missing files, or one label only.
    """
    if split not in SPLITS:
        raise UsageError(f"there is no split {split!r}", hint=f"Use {', '.join(SPLITS)}")
    chosen = manifest.select(split)
    if not len(chosen):
        raise DataError(f"the split {split!r} has no rows", hint="See the counts with: unmask data show MANIFEST")
    chosen.require_files(f"the split {split!r}", ". Are they gone? Run `unmask data prepare` again")
    labels = set(chosen.table["label"])
    if both and len(labels) == 1:
        only, other = ("fake", "real") if labels == {1} else ("real", "fake")
        raise DataError(
            f"the split {split!r} has one class only: all rows are {only}",
            hint=f"Prepare a set with {other} pictures too and give both manifests with --data{way_out}",
        )
