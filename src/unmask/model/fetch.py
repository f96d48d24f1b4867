"""From what a user calls a model to a file on this machine: a path, an address, or a name on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from unmask.base.download import OnProgress, download, fetch_text, storing
from unmask.base.errors import DownloadError, UsageError
from unmask.base.files import cache_home, has_hash, parse_sha256, write_text
from unmask.base.web import check_url
from unmask.model import hub
from unmask.model.bundle import of_folder

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Model(NamedTuple):
    """A model on this machine; ``sha256`` is what it must be, where anybody has said so."""

    path: Path
    sha256: str | None


def is_address(model: Path | str) -> bool:
    """Whether it has to be fetched."""
    return isinstance(model, str) and _ADDRESS.match(model) is not None


def locate(model: Path | str, sha256: str | None = None, *, quiet: bool = False) -> Model:
    """Where a model lies on this machine, fetched if need be.

    A download goes to ``models/SHA256.onnx`` in the cache (see :func:`unmask.base.files.cache_home`); one that is
    there is not asked for again, so that a hash makes the network needless.

    Args:
        model: A path, of a file or of a run folder with a bundle; ``https://HOST/FILE`` (http for this machine only);
            or ``hf://OWNER/NAME/FILE[@REVISION]``. To an address ``#sha256=HEX`` may be added.
        sha256: Its hash. Without it that of the file ``ADDRESS.sha256`` is taken, or the one the Hub has on record; a
            hash from the place of the model itself finds damage, no forgery.
        quiet: No progress bar, which else is shown where stderr is a terminal.

    Raises:
        UsageError: The address or the hash is not one, or no hash is known.
        BundleError: A folder without a bundle.
        DownloadError: It cannot be fetched, or is not what was promised.
        MissingExtraError: ``hf://`` needs a package that is not installed.
    """
    wanted = parse_sha256(sha256) if sha256 is not None else None
    if not is_address(model):
        return Model(of_folder(Path(model)), wanted)
    address, wanted = _split(str(model), wanted)
    on_hub = hub.parse(address) if address.startswith(hub.SCHEME) else None
    if on_hub is None:
        check_url(address)
    folder = cache_home() / "models"
    wanted = wanted or _promised(address, on_hub, folder)
    target = folder / f"{wanted}.onnx"
    if not has_hash(target, wanted):
        show = sys.stderr.isatty() and not quiet
        if on_hub is not None:
            hub.download(on_hub, target, wanted, show=show)
        else:
            with _bar(_file_name(address), show=show) as on_progress:
                download(address, target, wanted, on_progress=on_progress)
    return Model(target, wanted)


def _split(address: str, wanted: str | None) -> tuple[str, str | None]:
    """The address without its fragment, and the hash."""
    bare, mark, fragment = address.partition("#")
    if not mark:
        return bare, wanted
    if not fragment.startswith("sha256="):
        raise UsageError("after # only sha256=HEX is understood", path=address)
    named = parse_sha256(fragment.removeprefix("sha256="))
    if wanted not in (None, named):
        raise UsageError("two different hashes are given for it", hint="Give one", path=address)
    return bare, named


def _promised(address: str, on_hub: hub.HubFile | None, folder: Path) -> str:
    """The hash that the place of the model names; where nobody answers, the one it named before."""
    note = folder / "promised" / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.sha256"
    try:
        found = hub.promised(on_hub) if on_hub is not None else _sidecar(address)
    except DownloadError as error:
        if not (error.unreachable and note.is_file()):
            raise
        found = parse_sha256(note.read_text(encoding="ascii", errors="replace"))
        logging.getLogger("unmask").warning("%s: %s; using what was fetched before", address, error.message)
        return found
    if found is None:
        raise _no_hash(address, on_hub)
    with storing(note.parent):
        write_text(note, f"{found}\n")
    return found


def _sidecar(url: str) -> str | None:
    parts = urlsplit(url)
    text = fetch_text(urlunsplit(parts._replace(path=f"{parts.path}.sha256")))
    words = (text or "").split()
    # Some servers answer whatever is asked for with a page.
    return words[0].lower() if words and re.fullmatch(r"[0-9a-fA-F]{64}", words[0]) else None


def _no_hash(address: str, on_hub: hub.HubFile | None) -> UsageError:
    if on_hub is not None:
        see = f"hf download {on_hub.repo} {on_hub.name} --revision {on_hub.revision} | xargs sha256sum"
    else:
        see = f"curl -fL '{address}' | sha256sum"
    return UsageError(
        "a model is fetched only with its SHA-256, and none is known",
        hint=f"Ask its publisher for it and add --sha256 HEX (in Python sha256=...). If you trust the place: {see}",
        path=address,
    )


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2] or "model"


@contextmanager
def _bar(name: str, *, show: bool) -> Iterator[OnProgress | None]:
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(name, total=None)
        yield lambda have, total: progress.update(task, completed=have, total=total)
