"""A real HTTP server on this machine that behaves as badly as it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What lies at one path.

    Attributes:
        data: The file.
        etag, modified: Its marks; a request for a part is granted where one fits.
        ranges: Whether parts are given at all.
        cuts: The connection of the n-th request is cut after so many bytes; later ones are whole.
        status: Of the answers; with a ``location`` for redirects.
        failures: So many requests are answered 503 first.
        length: What Content-Length says; None leaves the header out.
        pause_s: Between two pieces of ``piece`` bytes.
        headers: More of them.
    """

    data: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    status: int = 200
    location: str | None = None
    failures: int = 0
    length: int | str | None = "right"
    pause_s: float = 0.0
    piece: int = 1 << 14
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)


class Server:
    """``pages`` by path; ``url`` is the root."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, Page] = {}
        self.others: Callable[[BaseHTTPRequestHandler], Page | None] = lambda handler: None  # noqa: ARG005


def _handler(server_of: Callable[[], Server]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            server = server_of()
            page = server.pages.get(self.path) or server.others(self) or Page(b"no such page", status=404)
            page.asked.append({**dict(self.headers.items()), "method": self.command, "path": self.path})
            if page.failures > 0:
                page.failures -= 1
                self.send_error(503)
                return
            data, status = page.data, page.status
            start = self._start(page)
            if start is not None and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()
                return
            self.send_response(206 if start is not None else status)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                data = data[start:]
            for name, value in (("ETag", page.etag), ("Last-Modified", page.modified), ("Location", page.location)):
                if value is not None:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.length is not None:
                self.send_header("Content-Length", str(len(data) if page.length == "right" else page.length))
            self.end_headers()
            if not body:
                return
            end = page.cuts.pop(0) if page.cuts else len(data)
            try:
                for at in range(0, min(end, len(data)), page.piece):
                    self.wfile.write(data[at : min(at + page.piece, end)])
                    self.wfile.flush()
                    if page.pause_s:
                        time.sleep(page.pause_s)
            except OSError:
                pass  # whoever asked has gone

        def _start(self, page: Page) -> int | None:
            wanted = self.headers.get("Range")
            if wanted is None or not page.ranges or page.status != 200:
                return None
            mark = self.headers.get("If-Range")
            if mark is not None and mark not in (page.etag, page.modified):
                return None
            return int(wanted.removeprefix("bytes=").partition("-")[0])

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server in threads of this process, for the time of the block."""
    found: list[Server] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: found[0])) as http:
        http.daemon_threads = True
        found.append(Server(http.server_address[1]))
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield found[0]
        finally:
            http.shutdown()
            thread.join()
