"""Requests to strangers: HTTPS only, http to this machine, nothing else, and no redirect leads out of that.

The standard library does the work. Its opener is put together here by hand, since the ready-made one also opens
``file:``, ``ftp:`` and ``data:``.
"""

from __future__ import annotations

import ipaddress
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from unmask.base.errors import DownloadError, UsageError

TIMEOUT_S = 30.0
"""For a connection and for each piece of an answer."""

BY_HAND = "Or download the file by hand and give its path"

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class BrokenError(Exception):
    """No answer, or none now: worth another try."""


class RefusedError(Exception):
    """The server's last word.

    Attributes:
        status: Its code, as 404.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"the server answers {status} {reason}".rstrip())


def check_url(url: str) -> None:
    """Let through https, and http to this machine.

    Raises:
        UsageError: Anything else.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"this is not an address: {error}", hint="Write https://HOST/FILE", path=url) from error
    if parts.username is not None or parts.password is not None:
        # The address is not repeated, for messages end up in logs.
        raise UsageError("an address with a name or password in it is not used", hint=BY_HAND, path=host)
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        why = "http is for this machine only" if parts.scheme == "http" else f"{parts.scheme}: is not spoken here"
        raise UsageError(why, hint=f"Use https://HOST/FILE or hf://OWNER/NAME/FILE. {BY_HAND}", path=url)
    if not host or not parts.netloc.isascii():
        raise UsageError("this names no host", hint="Write https://HOST/FILE, the host in ASCII", path=url)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine without asking a name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def open_url(
    url: str, headers: dict[str, str] | None = None, *, timeout_s: float = TIMEOUT_S
) -> Iterator[HTTPResponse]:
    """A GET request whose answer has a body: status 200 or 206, no content encoding.

    ``HTTPS_PROXY`` and ``NO_PROXY`` are obeyed; this machine is asked without a proxy.

    Raises:
        UsageError: The address, or one that it redirects to, is not let through by :func:`check_url`.
        DownloadError: The server's certificate is not trusted.
        BrokenError: Nobody answered, or not now.
        RefusedError: The server said no.
    """
    check_url(url)
    ours = {"Accept-Encoding": "identity", "User-Agent": "unmask"}
    request = urllib.request.Request(_quoted(url), headers=ours | (headers or {}))
    try:
        response: HTTPResponse = _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _LATER:
            raise BrokenError(f"the server answers {error.code} {error.reason}") from error
        raise RefusedError(error.code, " ".join(str(error.reason).split())) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                f"the server's certificate is not trusted: {error.reason.verify_message}",
                hint=f"Where a company's proxy replaces certificates, set SSL_CERT_FILE to its own. {BY_HAND}",
                path=url,
            ) from error
        raise BrokenError(f"the server cannot be reached: {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise BrokenError(f"the server did not answer: {error or type(error).__name__}") from error
    with response:
        if response.status not in (200, 206):
            raise RefusedError(response.status, response.reason)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise RefusedError(response.status, "in an encoding that was not asked for")
        yield response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects under the rules of :func:`check_url`; only this machine may redirect to this machine."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> object:
        target = urljoin(req.full_url, headers.get("location") or headers.get("uri") or "")
        try:
            check_url(target)
        except UsageError as error:
            fp.close()
            parts = urlsplit(target)
            raise DownloadError(
                # No more than the host, for the rest of such an address is often a secret.
                f"it redirects to {parts.scheme}://{parts.hostname or ''}, which is not followed",
                hint=BY_HAND,
                path=req.full_url,
            ) from error
        # A stranger must not make us ask the services of this machine.
        if _on_loopback(target) and not _on_loopback(req.full_url):
            fp.close()
            raise DownloadError("it redirects to this machine, which is not followed", hint=BY_HAND, path=req.full_url)
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    proxies = {name: proxy for name, proxy in urllib.request.getproxies().items() if name == "https"}
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _on_loopback(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _quoted(url: str) -> str:
    """Spaces and letters beyond ASCII in the path as the protocol wants them; what is quoted already stays."""
    parts = urlsplit(url)
    path, query = (quote(text, safe="%/:=&?~+!$,;'@()*[]") for text in (parts.path, parts.query))
    return urlunsplit((parts.scheme, parts.netloc, path or "/", query, ""))
