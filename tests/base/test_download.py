"""Downloads from a real server that cuts, lies, redirects and dawdles."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_server import Page, Server, serving
from unmask.base import download as module
from unmask.base.download import download, fetch_text
from unmask.base.errors import DownloadError, UsageError
from unmask.base.files import cache_home, parse_sha256
from unmask.base.web import check_url

DATA = np.random.default_rng(3).bytes(300_000)
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy"):  # must not be asked about this machine
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    with serving() as found:
        yield found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "model.onnx"


def left(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir() if p.suffix != ".lock") if target.parent.exists() else []


def test_a_file_comes_once_and_progress_is_told(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA)
    told: list[tuple[int, int | None]] = []
    assert download(f"{server.url}/m.onnx", target, HASH, on_progress=lambda *done: told.append(done)) == target
    assert target.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)
    download(f"{server.url}/m.onnx", target, HASH)
    assert len(page.asked) == 1, "what is there is not asked for"
    assert left(target) == ["model.onnx"]


@pytest.mark.parametrize("marks", [{}, {"etag": None, "modified": "Sat, 21 Nov 2026 05:00:00 GMT"}])
def test_a_cut_connection_is_resumed_where_it_broke(server: Server, target: Path, marks: dict[str, str | None]) -> None:
    page = server.pages["/m.onnx"] = Page(DATA, cuts=[100_000, 50_000], **marks)
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    assert [asked.get("Range") for asked in page.asked] == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("page", [Page(DATA, cuts=[9_000], ranges=False), Page(DATA, cuts=[9_000], etag='W/"weak"')])
def test_where_no_part_can_be_had_it_starts_again(server: Server, target: Path, page: Page) -> None:
    server.pages["/m.onnx"] = page
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    assert len(page.asked) == 2


def test_a_later_call_goes_on_and_a_changed_file_comes_anew(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA[::-1], cuts=[80_000, 0, 0, 0])
    with pytest.raises(DownloadError, match="80000 bytes are kept") as caught:
        download(f"{server.url}/m.onnx", target, HASH)
    assert caught.value.unreachable
    assert "proxy" in caught.value.hint
    assert "by hand" in caught.value.hint
    assert "model.onnx.part" in left(target)
    changed = server.pages["/m.onnx"] = Page(DATA, etag='"two"')
    download(f"{server.url}/m.onnx", target, HASH)
    assert changed.asked[0]["If-Range"] == page.etag
    assert target.read_bytes() == DATA
    assert left(target) == ["model.onnx"]


def test_parts_of_two_versions_under_one_mark_are_found_out(server: Server, target: Path) -> None:
    server.pages["/m.onnx"] = Page(DATA[::-1], cuts=[80_000, 0, 0, 0])
    with pytest.raises(DownloadError):
        download(f"{server.url}/m.onnx", target, HASH)
    page = server.pages["/m.onnx"] = Page(DATA)
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    assert [asked.get("Range") for asked in page.asked] == ["bytes=80000-", None]


def test_a_part_longer_than_the_file_and_one_that_is_whole(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA)
    target.parent.mkdir()
    part, mark = (target.with_name(f"{target.name}.{end}") for end in ("part", "part.mark"))
    part.write_bytes(DATA + b"more")
    mark.write_text('"one"')
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    target.unlink()
    part.write_bytes(DATA)  # killed just before it was renamed
    asked = len(page.asked)
    download(f"{server.url}/m.onnx", target, HASH)
    assert len(page.asked) == asked
    assert left(target) == ["model.onnx"]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(DATA[:-1]), "has the SHA-256"),
        (Page(b"<!DOCTYPE html><p>Log in"), "a web page"),
        (Page(DATA, length=len(DATA) - 9), "has the SHA-256"),
        (Page(DATA[:-9], length=len(DATA)), "cut at 299991 of 300000 bytes|416"),
        (Page(DATA, headers={"Content-Encoding": "gzip"}), "encoding"),
        (Page(DATA, status=404), "404"),
        (Page(DATA, status=204), "204"),
        (Page(status=302, location="file:///etc/passwd"), "file://"),
        (Page(status=302, location="http://192.0.2.1/m.onnx"), "http://192.0.2.1, which is not followed"),
        (Page(status=307, location="ftp://127.0.0.1/m.onnx"), "ftp://"),
        (Page(status=301, location="data:,abc"), "data://"),
        (Page(status=302, location="/m.onnx"), "302"),
    ],
)
def test_what_is_not_as_promised_is_refused_and_not_kept(server: Server, target: Path, page: Page, words: str) -> None:
    server.pages["/m.onnx"] = page
    with pytest.raises(DownloadError, match=words) as caught:
        download(f"{server.url}/m.onnx", target, HASH)
    assert not target.exists()
    assert caught.value.hint
    if "kept, and the next call" not in str(caught.value):
        assert left(target) == []


def test_a_file_without_a_length(server: Server, target: Path) -> None:
    server.pages["/m.onnx"] = Page(DATA, length=None)
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("length", ["right", None])
def test_no_more_than_the_limit_comes(server: Server, target: Path, length: str | None) -> None:
    server.pages["/m.onnx"] = Page(DATA, length=length)
    with pytest.raises(DownloadError, match="more than 200000 bytes"):
        download(f"{server.url}/m.onnx", target, HASH, limit=200_000)
    assert left(target) == []


def test_a_server_that_is_busy_is_asked_again(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA, failures=1)
    download(f"{server.url}/m.onnx", target, HASH)
    assert len(page.asked) == 2


def test_redirects_on_this_machine_are_followed_with_the_range(server: Server, target: Path) -> None:
    page = server.pages["/real.onnx"] = Page(DATA, cuts=[10_000])
    server.pages["/m.onnx"] = Page(status=302, location="/real.onnx")
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    assert page.asked[1]["Range"] == "bytes=10000-"


@pytest.mark.parametrize(("pause_s", "piece"), [(0.6, 1 << 14), (0.05, 1)])
def test_a_server_that_dawdles_is_given_up(server: Server, target: Path, pause_s: float, piece: int) -> None:
    page = server.pages["/m.onnx"] = Page(DATA, pause_s=pause_s, piece=piece)
    with pytest.raises(DownloadError, match=r"timed out|less than 1024 bytes a second"):
        download(f"{server.url}/m.onnx", target, HASH, timeout_s=0.2)
    assert len(page.asked) == module.TRIES
    assert not target.exists()


def test_nobody_there(server: Server, target: Path) -> None:
    del server  # its fixture makes the pauses short
    with pytest.raises(DownloadError, match="reached") as caught:
        download("http://127.0.0.1:9/m.onnx", target, HASH, timeout_s=0.2)
    assert caught.value.unreachable


def test_processes_wait_for_one_another(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA, pause_s=0.05)
    code = (
        "import sys; from pathlib import Path; from unmask.base.download import download\n"
        "print(download(sys.argv[1], Path(sys.argv[2]), sys.argv[3]).stat().st_size)"
    )
    command = [sys.executable, "-c", code, f"{server.url}/m.onnx", str(target), HASH]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in several] == [str(len(DATA))] * 3
    assert len(page.asked) == 1


def test_killed_in_the_middle_the_next_process_goes_on(server: Server, target: Path) -> None:
    page = server.pages["/m.onnx"] = Page(DATA, pause_s=0.2)
    code = (
        "import os, sys; from pathlib import Path; from unmask.base.download import download\n"
        "def kill(have, total):\n    if have >= 60000: os.kill(os.getpid(), 9)\n"
        "download(sys.argv[1], Path(sys.argv[2]), sys.argv[3], on_progress=kill)"
    )
    done = subprocess.run([sys.executable, "-c", code, f"{server.url}/m.onnx", str(target), HASH], check=False)
    assert done.returncode != 0
    page.pause_s = 0
    download(f"{server.url}/m.onnx", target, HASH)
    assert target.read_bytes() == DATA
    start = int(page.asked[1]["Range"].removeprefix("bytes=").rstrip("-"))
    assert start > 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    server.pages["/m.onnx"] = Page(DATA)
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="UNMASK_HOME"):
        download(f"{server.url}/m.onnx", tmp_path / "cache" / "m.onnx", HASH)
    tmp_path.chmod(0o700)


def test_a_cache_that_is_a_file_is_named(server: Server, tmp_path: Path) -> None:
    server.pages["/m.onnx"] = Page(DATA)
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(DownloadError, match="UNMASK_HOME"):
        download(f"{server.url}/m.onnx", tmp_path / "cache" / "m.onnx", HASH)
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/m.onnx",
        "http://127.0.0.1.example.org/m.onnx",
        "http://2130706433/m.onnx",
        "ftp://127.0.0.1/m.onnx",
        "file:///etc/passwd",
        "data:,abc",
        "https://",
        "https:///m.onnx",
        "https://[::1/m.onnx",
        "https://host:port/m.onnx",
        "//host/m.onnx",
        "m.onnx",
    ],
)
def test_addresses_that_are_not_asked(url: str, target: Path) -> None:
    with pytest.raises(UsageError):
        download(url, target, HASH)
    assert left(target) == []


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        check_url("https://me:secret@example.org/m.onnx?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://example.org/m", "http://localhost:80/m", "http://[::1]/m", "http://127.9.9.9/m"]
)
def test_addresses_that_are_asked(url: str) -> None:
    check_url(url)


@given(st.text(max_size=40))
def test_whatever_is_written_after_http_goes_to_no_stranger(text: str) -> None:
    from urllib.parse import urlsplit

    from unmask.base.web import is_loopback

    url = f"http://{text}"
    try:
        check_url(url)
    except UsageError:
        return
    assert is_loopback(urlsplit(url).hostname or "")


def test_small_texts(server: Server) -> None:
    server.pages["/a"] = Page(b"abc  m.onnx\n")
    server.pages["/long"] = Page(b"x" * 5000)
    server.pages["/broken"] = Page(b"abc", status=501)
    assert fetch_text(f"{server.url}/a") == "abc  m.onnx\n"
    assert fetch_text(f"{server.url}/none") is None
    for name in ("long", "broken"):
        with pytest.raises(DownloadError):
            fetch_text(f"{server.url}/{name}")


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, HASH[:-1], f"{HASH}0"])
def test_what_is_no_hash(text: str) -> None:
    assert parse_sha256(f" {HASH.upper()}\n") == HASH
    with pytest.raises(UsageError):
        parse_sha256(text)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UNMASK_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert cache_home().name == "unmask"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "unmask"
    monkeypatch.setenv("UNMASK_HOME", str(tmp_path / "own"))
    assert cache_home() == tmp_path / "own"
