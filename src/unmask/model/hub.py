"""Models on the Hugging Face Hub, fetched by its own client."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from unmask.base.download import LIMIT, claimed, storing
from unmask.base.errors import DownloadError, UsageError, first_line
from unmask.base.extras import require
from unmask.base.files import has_hash, parse_sha256, sha256_of
from unmask.base.web import BY_HAND

SCHEME = "hf://"

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})

_NAME = re.compile(r"\w[\w.-]*")
_FILE = re.compile(r"(?!\.{1,2}$)[^\\:*?\x00-\x1f]+")


class HubFile(NamedTuple):
    """A file in a model repository of the Hub; ``revision`` is a branch, a tag or a commit."""

    repo: str
    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}/{self.name}{'' if self.revision == 'main' else f'@{self.revision}'}"


def parse(reference: str) -> HubFile:
    """``hf://owner/name/file[@revision]``; the file may lie in folders.

    Raises:
        UsageError: It is not written so.
    """
    path, at, revision = reference.removeprefix(SCHEME).partition("@")
    owner, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    names = [owner, name, *(revision.split("/") if at else ())]
    if not (all(map(_NAME.fullmatch, names)) and all(map(_FILE.fullmatch, file.split("/")))):
        raise UsageError(
            "this does not name a file on the Hub", hint="Write hf://OWNER/NAME/FILE or …/FILE@REVISION", path=reference
        )
    return HubFile(f"{owner}/{name}", file, revision or "main")


def promised(file: HubFile) -> str | None:
    """The SHA-256 that the Hub has on record (it does for every file that it keeps as LFS), else None.

    Raises:
        DownloadError: The Hub cannot be asked or has no such file.
        MissingExtraError: The client is not installed.
    """
    mark = (_metadata(file).etag or "").strip('"')
    return mark if re.fullmatch(r"[0-9a-f]{64}", mark) else None


def download(file: HubFile, target: Path, sha256: str, *, limit: int = LIMIT, show: bool = False) -> Path:
    """Fetch a file, unless it is there; the client resumes what broke off.

    Args:
        file: Which one.
        target: Where it goes, in a folder of the cache.
        sha256: What it must be, in lower-case hex.
        limit: Bytes that it may have at most.
        show: Let the client draw its progress bar.

    Raises:
        DownloadError: It cannot be fetched or stored, is too large, or has another hash.
        MissingExtraError: The client is not installed.
    """
    parse_sha256(sha256)
    with claimed(target, sha256) as there:
        if there:
            return target
        size = _metadata(file).size
        if size is not None and size > limit:
            raise DownloadError(f"it has more than {limit} bytes, the most that is fetched", path=str(file))
        folder = target.with_name(f"{target.name}.hub")
        with storing(target.parent), _bars(show), _telling(file) as hub:
            came = Path(hub.hf_hub_download(file.repo, file.name, revision=file.revision, local_dir=folder))
        with storing(target.parent):
            if not has_hash(came, sha256):
                found = sha256_of(came)
                shutil.rmtree(folder)
                raise DownloadError(
                    f"the file has the SHA-256 {found}, promised was {sha256}",
                    hint="It was changed, or the hash is wrong: ask its publisher. Nothing was kept",
                    path=str(file),
                )
            came.replace(target)
            shutil.rmtree(folder, ignore_errors=True)
    return target


def _metadata(file: HubFile) -> Any:
    with _telling(file) as hub:
        return hub.get_hf_file_metadata(hub.hf_hub_url(file.repo, file.name, revision=file.revision))


@contextmanager
def _telling(file: HubFile) -> Iterator[Any]:
    """The client, and its errors in our words."""
    hub: Any = require("huggingface_hub", "hub", "a model named hf://")
    errors: Any = require("huggingface_hub.errors", "hub", "a model named hf://")
    try:
        yield hub
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        known: list[tuple[type[Exception], str, str]] = [
            (errors.GatedRepoError, "access has to be asked for", "Ask on its page, then run `hf auth login`"),
            (errors.RepositoryNotFoundError, "there is no such repository", "If it is private, run `hf auth login`"),
            (errors.RevisionNotFoundError, f"it has no revision {file.revision!r}", "Look at its page"),
            (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE forbids to ask the Hub", f"Unset it. {BY_HAND}"),
            (errors.LocalEntryNotFoundError, "the Hub cannot be reached", f"Behind a proxy set HTTPS_PROXY. {BY_HAND}"),
            (errors.EntryNotFoundError, f"the repository has no file {file.name!r}", "Look at its page"),
        ]
        message, hint = next(
            ((m, h) for kind, m, h in known if isinstance(error, kind)), (f"the Hub answers {status}", BY_HAND)
        )
        away = isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError) or status >= 500
        raise DownloadError(message, hint=hint, path=str(file), unreachable=away) from error
    except errors.HFValidationError as error:
        raise UsageError(f"the Hub's client refuses the name: {first_line(error)}", path=str(file)) from error
    # The client brings its own HTTP library, another one in each of its versions, whose errors share no base class.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise DownloadError(
            f"the Hub cannot be reached: {first_line(error)}",
            hint=f"Behind a proxy set HTTPS_PROXY. {BY_HAND}",
            path=str(file),
            unreachable=True,
        ) from error


@contextmanager
def _bars(show: bool) -> Iterator[None]:
    """The client draws bars also where nobody sees them."""
    utils: Any = require("huggingface_hub.utils", "hub", "a model named hf://")
    change: Callable[[], None] | None = None
    if not show and not utils.are_progress_bars_disabled():
        utils.disable_progress_bars()
        change = utils.enable_progress_bars
    try:
        yield
    finally:
        if change is not None:
            change()
