"""A file may make FFmpeg read nothing but itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest

from media_samples import make_clip
from unmask.base.errors import MediaError, UnmaskError, UnsupportedMediaError
from unmask.media import open_media
from unmask.media.clip import open_container
from unmask.media.sniff import DEMUXERS, Kind
from unmask.media.source import Source


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine, and the paths that were asked for."""
    asked: list[str] = []
    clip = make_clip("ts", frames=10)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(clip)))
            self.end_headers()
            self.wfile.write(clip)

        def log_message(self, *_: object) -> None:
            return

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", asked
    web.shutdown()
    thread.join()


def crafted(target: str) -> dict[str, str]:
    """Files that refer to ``target``."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nu={target}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period>"
        "</MPD>",
        "smil": f'<smil><body><video src="{target}"/></body></smil>',
        "pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    }


KINDS = sorted(crafted(""))


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_other_files_are_refused(kind: str, server: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = server
    secret = tmp_path / "secret.ts"
    secret.write_bytes(make_clip("ts", frames=10))
    for target in (str(secret), f"file://{secret}", "secret.ts", f"{address}/a.ts"):
        path = tmp_path / "clip.mp4"
        path.write_text(crafted(target)[kind])
        for source in (path, path.read_bytes()):
            with pytest.raises(UnsupportedMediaError):
                open_media(source)
    assert asked == []


def test_ffmpeg_left_to_itself_would_have_read_them(tmp_path: Path) -> None:
    """What the rules are for: without them this playlist makes FFmpeg show another file."""
    secret = tmp_path / "secret.ts"
    secret.write_bytes(make_clip("ts", frames=10))
    path = tmp_path / "clip.m3u8"
    path.write_text(crafted(str(secret))["hls"])
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


@pytest.mark.parametrize("demuxer", sorted(set(DEMUXERS.values())))
@pytest.mark.parametrize("kind", KINDS)
def test_no_demuxer_that_is_used_follows_them(
    demuxer: str, kind: str, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Even past the check of the first bytes, the demuxer that is named reads no list."""
    address, asked = server
    path = tmp_path / "clip.mp4"
    path.write_text(crafted(f"{address}/a.ts")[kind])
    try:
        with open_container(Source("clip.mp4", path=path), Kind("x", "clip", demuxer)) as container:
            tracks = len(container.streams.video)
    except MediaError:
        tracks = 0
    assert tracks == 0
    assert asked == []


def test_the_protocols_are_limited(server: tuple[str, list[str]], tmp_path: Path) -> None:
    """The whitelist itself holds: a playlist opened on purpose cannot leave the machine."""
    address, asked = server
    path = tmp_path / "clip.m3u8"
    path.write_text(crafted(f"{address}/a.ts")["hls"])
    with pytest.raises((av.error.FFmpegError, OSError)):
        av.open(str(path), format="hls", container_options={"protocol_whitelist": "file,pipe"})
    assert asked == []


def box(kind: bytes, *bodies: bytes) -> bytes:
    """A box of an ISO media file."""
    body = b"".join(bodies)
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def test_external_references_of_quicktime_are_not_followed(tmp_path: Path) -> None:
    """A track whose data reference is an alias to another file must not show that file."""
    secret = tmp_path / "secret.mov"
    secret.write_bytes(make_clip("mov", frames=10))
    data = bytearray(make_clip("mov", frames=10))
    start = data.index(b"dref") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    name = str(secret).encode()
    # An alias record (version 2) with the absolute path as its tagged string 2.
    alias = bytearray(150)
    alias[4:6] = (150 + 4 + len(name) + len(name) % 2 + 4).to_bytes(2, "big")
    alias[7] = 2
    tag = b"\0\x02" + len(name).to_bytes(2, "big") + name + b"\0" * (len(name) % 2) + b"\xff\xff\0\0"
    entry = box(b"alis", b"\0\0\0\0", bytes(alias), tag)
    new = box(b"dref", b"\0\0\0\0\0\0\0\x01", entry)
    data[start : start + size] = new
    grown = len(new) - size
    for parent in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = data.rindex(parent, 0, start) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + grown).to_bytes(4, "big")
    # Its own pictures become black bytes, so that any picture seen comes from the other file.
    media_start = data.index(b"mdat") + 4
    media_size = int.from_bytes(data[media_start - 8 : media_start - 4], "big") - 8
    data[media_start : media_start + media_size] = bytes(media_size)
    path = tmp_path / "clip.mov"
    path.write_bytes(bytes(data))
    asked_for = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(path), container_options=asked_for) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10, "FFmpeg follows the reference when told to"
    with pytest.raises(UnmaskError), open_media(path) as media:
        list(media.frames(None))


@pytest.mark.parametrize("name", ["concat:secret.ts|secret.ts", "subfile,,start,0,end,0,,:secret.ts", "-i", "a:b.mp4"])
def test_names_that_look_like_protocols_are_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.ts").write_bytes(make_clip("ts", frames=10))
    with pytest.raises(MediaError):
        open_media(name)
    Path(name).write_bytes(make_clip("mp4", frames=7))
    with open_media(name) as media:
        assert len(list(media.frames(None))) == 7


@pytest.mark.parametrize(
    "address", ["http://{}/a.ts", "tcp://{}", "pipe:0", "data:video/mp4;base64,AAAA", "crypto:a.ts"]
)
def test_addresses_are_no_files(address: str, server: tuple[str, list[str]]) -> None:
    url, asked = server
    with pytest.raises(MediaError, match="no such file"):
        open_media(address.format(url.removeprefix("http://")))
    assert asked == []
