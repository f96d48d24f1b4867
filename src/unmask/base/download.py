"""Downloads that can be relied on: held against a SHA-256, resumed where they broke off, whole or not at all.

A part is completed with ``Range`` under ``If-Range`` (RFC 9110, 13.1.5 and 14.2), so that a file that has changed
meanwhile comes anew.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from unmask.base.errors import DownloadError
from unmask.base.files import has_hash, sha256_of
from unmask.base.web import BY_HAND, TIMEOUT_S, BrokenError, RefusedError, check_url, open_url

LIMIT = 2 << 30
"""Bytes. An ONNX file cannot be larger: protobuf ends there."""

SLOWEST = 1024
"""Bytes a second, measured over the time-out: below that a server is held to be stuck."""

TRIES = 4
"""In a row without progress worth the name."""

PAUSE_S = 0.5
"""Before the second try; doubled before each further one."""

_BLOCK = 1 << 16
_PROGRESS = 1 << 20

OnProgress = Callable[[int, "int | None"], None]
"""Called with the bytes that are there and with those expected, where the server says so."""


def fetch_text(url: str, *, limit: int = 4096, timeout_s: float = TIMEOUT_S) -> str | None:
    """A small text, or None where the server has none for us.

    Raises:
        UsageError: See :func:`unmask.base.web.check_url`.
        DownloadError: It cannot be fetched, or is longer than ``limit`` bytes.
    """
    try:
        with open_url(url, timeout_s=timeout_s) as response:
            data = response.read(limit + 1)
    except RefusedError as error:
        if error.status in (401, 403, 404, 410):
            return None
        raise _given_up(url, str(error)) from error
    except BrokenError as error:
        raise _given_up(url, str(error), unreachable=True) from error
    except (OSError, HTTPException) as error:
        raise _given_up(url, f"the connection broke: {error}", unreachable=True) from error
    if len(data) > limit:
        raise _given_up(url, f"it is longer than {limit} bytes")
    return data.decode("utf-8", errors="replace")


def download(
    url: str,
    target: Path,
    sha256: str,
    *,
    limit: int = LIMIT,
    timeout_s: float = TIMEOUT_S,
    on_progress: OnProgress | None = None,
) -> Path:
    """Fetch a file, unless it is there.

    What came before a break lies in ``TARGET.part`` and is completed, also by a later process. Processes that want the
    same file wait for one another.

    Args:
        url: https; http only to this machine, and only from there on to it.
        target: Where it goes, in a folder of the cache.
        sha256: What it must be, in lower-case hex.
        limit: Bytes that it may have at most.
        timeout_s: For a connection, for each piece, and for :data:`SLOWEST` to be judged.
        on_progress: See :data:`OnProgress`.

    Returns:
        ``target``.

    Raises:
        UsageError: See :func:`unmask.base.web.check_url`.
        DownloadError: It cannot be fetched or stored, is too large, or has another hash.
    """
    check_url(url)
    with claimed(target, sha256) as there, storing(target.parent):
        if not there:
            part = _Part(target)
            _complete(url, part, sha256, _Rules(limit, timeout_s, on_progress))
            part.path.replace(target)
            part.forget()
    return target


@contextmanager
def claimed(target: Path, sha256: str) -> Iterator[bool]:
    """A block in which no other process of this machine fetches ``target``.

    Yields:
        Whether it is there already. Where it is, nothing is written, so that a cache may be read-only.
    """
    if has_hash(target, sha256):
        yield True
        return
    from filelock import FileLock

    lock = FileLock(f"{target}.lock")
    with storing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield has_hash(target, sha256)
    finally:
        lock.release()


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """A block whose ``OSError`` means that ``folder`` cannot be written to."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"cannot write to the cache: {error.strerror or error}",
            hint=f"Make room there, or set UNMASK_HOME to another folder. {BY_HAND}",
            path=str(folder),
        ) from error


class _TooLargeError(DownloadError):
    """More than may come."""

    def __init__(self, url: str, limit: int) -> None:
        super().__init__(f"it has more than {limit} bytes, the most that is fetched", hint=BY_HAND, path=url)


class _Rules:
    """How a download goes."""

    def __init__(self, limit: int, timeout_s: float, on_progress: OnProgress | None) -> None:
        self.limit = limit
        self.timeout_s = timeout_s
        self.on_progress = on_progress or (lambda have, total: None)  # noqa: ARG005


class _Part:
    """What has come so far, and the mark by which the server knows the file again."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._mark = target.with_name(f"{target.name}.part.mark")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def headers(self) -> dict[str, str]:
        """Of a request for the rest; none where the rest cannot be asked for."""
        mark = self._mark.read_text(encoding="latin-1") if self._mark.is_file() else ""
        return {"Range": f"bytes={self.size}-", "If-Range": mark} if mark and self.size else {}

    def begin(self, response: HTTPResponse) -> None:
        """Nothing has come; note the mark of what will."""
        self.path.write_bytes(b"")
        tag = response.headers.get("ETag", "")
        # A weak tag does not vouch for the bytes.
        mark = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        self._mark.write_text(mark, encoding="latin-1")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)


def _complete(url: str, part: _Part, sha256: str, rules: _Rules) -> None:
    """Fill the part until it is the file that was promised."""
    if has_hash(part.path, sha256):
        return
    resumed = part.size > 0
    failures = 0
    while True:
        before = part.size
        try:
            _receive(url, part, rules)
        except RefusedError as error:
            raise _given_up(url, str(error)) from error
        except _TooLargeError:
            part.forget()
            raise
        except BrokenError as error:
            if has_hash(part.path, sha256):
                return
            failures = 1 if part.size - before >= _PROGRESS else failures + 1
            if failures == TRIES:
                kept = f"; {part.size} bytes are kept, and the next call goes on from there" if part.size else ""
                raise _given_up(url, f"{error}{kept}", unreachable=True) from error
            resumed = resumed or part.size > 0
            time.sleep(PAUSE_S * 2 ** (failures - 1))
            continue
        found = sha256_of(part.path)
        if found == sha256:
            return
        page = _is_web_page(part.path)
        part.forget()
        if not resumed:
            raise DownloadError(
                f"the file has the SHA-256 {found}, promised was {sha256}{': it is a web page' if page else ''}",
                hint="It was changed or damaged on the way, or the hash is wrong: ask its publisher. Nothing was kept",
                path=url,
            )
        # Parts of two versions may have been put together: once more, from the start.
        resumed = False


def _receive(url: str, part: _Part, rules: _Rules) -> None:
    """One request; what it brings is kept, whatever happens."""
    headers = part.headers()
    try:
        with open_url(url, headers, timeout_s=rules.timeout_s) as response:
            if response.status == 200:
                part.begin(response)
            elif not headers or _first_byte(response) != part.size:
                part.forget()
                raise BrokenError("the server sent another part than was asked for")
            length = response.headers.get("Content-Length", "")
            total = part.size + int(length) if length.isdigit() else None
            if total is not None and total > rules.limit:
                raise _TooLargeError(url, rules.limit)
            _store(response, url, part, total, rules)
    except RefusedError as error:
        if error.status != 416 or not headers:
            raise
        # More has come than the file has: it was not this file.
        part.forget()
        raise BrokenError(str(error)) from error


def _store(response: HTTPResponse, url: str, part: _Part, total: int | None, rules: _Rules) -> None:
    have = part.size
    since, then = time.monotonic(), have
    with part.path.open("ab") as file:
        while True:
            try:
                block = response.read1(_BLOCK)
            except (OSError, HTTPException) as error:
                raise BrokenError(f"the connection broke: {error or type(error).__name__}") from error
            if not block:
                break
            if have + len(block) > rules.limit:
                raise _TooLargeError(url, rules.limit)
            file.write(block)
            have += len(block)
            rules.on_progress(have, total)
            if (spent := time.monotonic() - since) >= rules.timeout_s:
                if have - then < SLOWEST * spent:
                    raise BrokenError(f"the server sends less than {SLOWEST} bytes a second")
                since, then = time.monotonic(), have
    # read1 takes an early end for the end.
    if total is not None and have < total:
        raise BrokenError(f"the connection was cut at {have} of {total} bytes")


def _first_byte(response: HTTPResponse) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _given_up(url: str, why: str, *, unreachable: bool = False) -> DownloadError:
    proxy = "Behind a proxy set HTTPS_PROXY. " if unreachable else ""
    return DownloadError(why, hint=f"{proxy}{BY_HAND}", path=url, unreachable=unreachable)
