from __future__ import annotations

import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from data_samples import noise

pytest.importorskip("kagglehub", reason="needs the extra [data]")

from unmask.base.errors import DataError, UsageError
from unmask.cli import main
from unmask.data.archives import Limits
from unmask.data.fetch import fetch


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(seed)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PARTS = [f"Dataset/{split}/{label}" for split in ("Train", "Validation", "Test") for label in ("Real", "Fake")]
FACES = {f"{part}/{i}.png": picture(10 * i + n) for n, part in enumerate(PARTS) for i in range(2)}
CLIPS = {
    "train_sample_videos.zip": zipped(
        {"metadata.json": json.dumps({"a.mp4": {"label": "REAL"}}).encode(), "a.mp4": b""}
    )
}


class Kaggle:
    """A server that answers kagglehub's calls as Kaggle does."""

    def __init__(self) -> None:
        self.archive = zipped(FACES)
        self.status = 200
        self.cut = 0
        self.calls: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                name = self.path.rpartition("/")[2]
                outer.calls.append(name)
                if outer.status != 200:
                    self._send(outer.status, b'{"message": "no"}', "application/json")
                elif name == "GetDataset":
                    self._send(200, json.dumps({"currentVersionNumber": 3}).encode(), "application/json")
                else:
                    self._send(200, outer.archive, "application/zip")

            def do_GET(self) -> None:
                outer.calls.append(self.headers.get("Range", "GET"))
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
                self._send(206, outer.archive[start:], "application/zip")

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: outer.cut] if outer.cut and kind == "application/zip" else body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests, and no other endpoint than http://localhost."""
    for name in (
        "KAGGLE_API_TOKEN",
        "KAGGLE_USERNAME",
        "KAGGLE_KEY",
        "no_proxy",
        "NO_PROXY",
        "http_proxy",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")


@pytest.fixture
def kaggle(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:  # noqa: ARG001
    server = Kaggle()
    # http://localhost, reached through the server as a proxy, so that any port will do.
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server.server_port}")
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


def test_a_set_is_downloaded_unpacked_and_known(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["data", "fetch", "kaggle:manjilkarki/deepfake-and-real-images", "--to", str(tmp_path / "down")]
    assert main(call) == 0
    captured = capsys.readouterr()
    folder = Path(captured.out.strip())
    assert folder.is_relative_to(tmp_path / "down")
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.png")} == set(FACES)
    assert f"unmask data prepare deepfake-and-real {folder} OUT" in captured.err
    before = kaggle.calls.count("DownloadDataset")
    assert main(call) == 0
    assert kaggle.calls.count("DownloadDataset") == before == 1
    assert main(["data", "prepare", "auto", str(folder), str(tmp_path / "out"), "--faces", "none", "-q"]) == 0


def test_a_competition_wants_its_rules_accepted(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = "kaggle:deepfake-detection-challenge"
    with pytest.raises(DataError, match="who you are") as caught:
        fetch(what, tmp_path)
    assert "KAGGLE_API_TOKEN" in caught.value.hint
    assert "competitions/deepfake-detection-challenge/rules" in caught.value.hint
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
    kaggle.status = 403
    with pytest.raises(DataError, match="does not give you this set") as caught:
        fetch(what, tmp_path)
    assert "Accept the rules at" in caught.value.hint
    kaggle.status, kaggle.archive = 200, zipped(CLIPS)
    got = fetch(what, tmp_path)
    assert got.layout == "dfdc"
    assert (got.folder / "train_sample_videos/a.mp4").is_file()


@pytest.mark.parametrize(
    ("status", "what"),
    [(401, "who you are"), (403, "does not give you"), (404, "no such set"), (429, "busy"), (503, "out of order")],
)
def test_every_refusal_says_the_ways_out(kaggle: Kaggle, tmp_path: Path, status: int, what: str) -> None:
    kaggle.status = status
    with pytest.raises(DataError, match=what) as caught:
        fetch("kaggle:owner/name", tmp_path / "down")
    assert "https://www.kaggle.com/datasets/owner/name" in caught.value.hint
    assert "unmask data fetch FILE.zip" in caught.value.hint
    assert "unmask data prepare LAYOUT FOLDER OUT" in caught.value.hint


@pytest.mark.usefixtures("elsewhere")
def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be reached") as caught:
        fetch("kaggle:owner/name", tmp_path)
    assert "FILE.zip" in caught.value.hint


def test_an_interrupted_download_goes_on(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.cut = 1000
    with pytest.raises(DataError):
        fetch("kaggle:owner/name", tmp_path)
    kaggle.cut = 0
    assert fetch("kaggle:owner/name", tmp_path).layout == "deepfake-and-real"
    assert [call for call in kaggle.calls if call.startswith("bytes=")]


def test_a_bomb_or_a_broken_archive_leaves_nothing_that_stays_for_ever(kaggle: Kaggle, tmp_path: Path) -> None:
    good, kaggle.archive = kaggle.archive, zipped({"zeros": bytes(4 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="out of proportion"):
        fetch("kaggle:owner/name", tmp_path / "bomb", limits=Limits(small=1 << 20))
    assert not list((tmp_path / "bomb").rglob("zeros"))
    kaggle.archive = good[:-100]
    with pytest.raises(DataError, match=r"broken|neither a zip"):
        fetch("kaggle:owner/name", tmp_path / "broken")
    kaggle.archive = good
    assert fetch("kaggle:owner/name", tmp_path / "broken").layout == "deepfake-and-real"


def test_an_archive_that_was_downloaded_by_hand(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zipped({f"wrapper/{name}": content for name, content in FACES.items()}))
    got = fetch(str(archive))
    assert got.folder == tmp_path / "archive/wrapper"
    assert got.layout == "deepfake-and-real"
    with pytest.raises(DataError, match="exists already"):
        fetch(str(archive))
    assert fetch(str(archive), tmp_path / "other").layout == "deepfake-and-real"


@pytest.mark.parametrize(
    "what", ["kaggle:", "kaggle:a/b/c", "kaggle:../x", "kaggle:a/../b", "nowhere.zip", "https://x/y"]
)
def test_what_is_no_set(what: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        fetch(what, tmp_path)
