"""Models named by an address, from a real server on this machine; the Hub's client against one that speaks its way."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

import unmask
from cli_support import environment
from file_server import Page, Server, serving
from support import make_card, make_graph
from unmask.base import download
from unmask.base.errors import BundleError, DownloadError, MissingExtraError, UsageError
from unmask.model import hub, load_bundle, pack
from unmask.model.fetch import locate


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "portrait.png"
    Image.fromarray(astronaut()).save(path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("UNMASK_HOME", str(folder))
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    return folder


@pytest.fixture
def server(home: Path) -> Iterator[Server]:  # noqa: ARG001
    with serving() as found:
        yield found


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("bundle") / "tiny.onnx"
    pack(make_graph().SerializeToString(), make_card(), out)
    return out.read_bytes()


@pytest.fixture
def sha256(bundle: bytes) -> str:
    return hashlib.sha256(bundle).hexdigest()


def command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unmask", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(**variables),
    )


def test_a_detector_from_an_address(server: Server, home: Path, portrait: Path, bundle: bytes, sha256: str) -> None:
    page = server.pages["/models/tiny.onnx?v=1"] = Page(bundle)
    url = f"{server.url}/models/tiny.onnx?v=1"
    detector = unmask.Detector(url, sha256=sha256.upper())
    report = detector.analyze(portrait)
    assert report.model.sha256 == sha256
    assert report.p_fake is not None
    assert load_bundle(f"{url}#sha256={sha256}").card.name == "tiny"
    assert len(page.asked) == 1
    assert (home / "models" / f"{sha256}.onnx").read_bytes() == bundle
    server.pages.clear()
    assert load_bundle(url, sha256=sha256).sha256 == sha256, "the network is not needed any more"


def test_the_bundle_of_a_run_folder(bundle: bytes, sha256: str, tmp_path: Path, portrait: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for load in (load_bundle, locate):
        with pytest.raises(BundleError, match=r"run: is a folder without a bundle\.onnx\. Give a model file"):
            load(run)
    (run / "bundle.onnx").write_bytes(bundle)
    assert load_bundle(run).path == str(run / "bundle.onnx")
    assert locate(str(run), sha256) == (run / "bundle.onnx", sha256)
    assert unmask.Detector(run).bundle.sha256 == sha256
    done = command("analyze", portrait, "--model", run, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["model"]["sha256"] == sha256


def test_a_damaged_cache_is_made_good(server: Server, home: Path, bundle: bytes, sha256: str) -> None:
    server.pages["/tiny.onnx"] = Page(bundle)
    (home / "models").mkdir(parents=True)
    (home / "models" / f"{sha256}.onnx").write_bytes(bundle[:-1])
    assert load_bundle(f"{server.url}/tiny.onnx", sha256=sha256).sha256 == sha256


@pytest.mark.parametrize("sidecar", [None, b"", b"<html>anything</html>", b"abc  tiny.onnx"])
def test_without_a_hash_it_is_refused_and_the_way_shown(
    server: Server, home: Path, bundle: bytes, sidecar: bytes | None
) -> None:
    page = server.pages["/tiny.onnx"] = Page(bundle)
    if sidecar is not None:
        server.pages["/tiny.onnx.sha256"] = Page(sidecar)
    with pytest.raises(UsageError) as caught:
        load_bundle(f"{server.url}/tiny.onnx")
    assert f"curl -fL '{server.url}/tiny.onnx' | sha256sum" in caught.value.hint
    assert "--sha256 HEX" in caught.value.hint
    assert not page.asked
    assert not home.exists()


def test_a_sidecar_is_obeyed_and_remembered(
    server: Server, bundle: bytes, sha256: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{server.url}/tiny.onnx"
    page = server.pages["/tiny.onnx"] = Page(bundle)
    server.pages["/tiny.onnx.sha256"] = Page(f"{sha256.upper()} *tiny.onnx\n".encode())
    assert load_bundle(url).sha256 == sha256
    server.pages["/tiny.onnx.sha256"] = Page(failures=9)
    assert load_bundle(url).sha256 == sha256
    assert "fetched before" in caplog.text
    assert len(page.asked) == 1
    server.pages["/tiny.onnx.sha256"] = Page(b"0" * 64)
    with pytest.raises(DownloadError, match="has the SHA-256"):
        load_bundle(url)
    del server.pages["/tiny.onnx.sha256"]
    with pytest.raises(UsageError, match="none is known"):
        load_bundle(url)


def test_a_wrong_hash_keeps_nothing(server: Server, home: Path, bundle: bytes) -> None:
    server.pages["/tiny.onnx"] = Page(bundle)
    with pytest.raises(DownloadError, match="promised was 0000"):
        load_bundle(f"{server.url}/tiny.onnx", sha256="0" * 64)
    assert [p for p in (home / "models").iterdir() if p.suffix != ".lock"] == []


def test_what_comes_has_to_be_a_bundle_all_the_same(server: Server) -> None:
    bare = make_graph().SerializeToString()
    server.pages["/bare.onnx"] = Page(bare)
    with pytest.raises(BundleError, match="no card"):
        load_bundle(f"{server.url}/bare.onnx", sha256=hashlib.sha256(bare).hexdigest())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("ftp://127.0.0.1/m.onnx", "ftp: is not spoken"),
        ("file:///etc/passwd", "file: is not spoken"),
        ("s3://bucket/m.onnx", "s3: is not spoken"),
        ("http://example.org/m.onnx", "this machine only"),
        ("https://example.org/m.onnx#md5=1", "sha256=HEX"),
        ("https://example.org/m.onnx#sha256=12", "not a SHA-256"),
        (f"https://example.org/m.onnx#sha256={'1' * 64}", "two different"),
        ("hf://owner/name", "hf://OWNER/NAME/FILE"),
        ("hf://owner/name/../m.onnx", "hf://OWNER/NAME/FILE"),
        ("hf://owner/name@main/m.onnx", "hf://OWNER/NAME/FILE"),
        ("hf:///name/m.onnx", "hf://OWNER/NAME/FILE"),
        ("hf://owner/name/m.onnx@", "hf://OWNER/NAME/FILE"),
    ],
)
def test_names_that_cannot_be_meant(home: Path, model: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        locate(model, "0" * 64)
    assert not home.exists()


def test_an_empty_hash_does_not_turn_the_check_off(tmp_path: Path, bundle: bytes) -> None:
    file = tmp_path / "tiny.onnx"
    file.write_bytes(bundle)
    with pytest.raises(UsageError, match="not a SHA-256"):
        load_bundle(file, sha256="")
    beside = tmp_path / "tiny.onnx.sha256"
    for text in (b"", b"\xff\xfe", b"abc"):
        beside.write_bytes(text)
        with pytest.raises(BundleError, match="holds no SHA-256"):
            load_bundle(file)


def test_an_address_given_as_a_path_is_explained(home: Path) -> None:
    del home
    with pytest.raises(BundleError, match="as text, not as a Path"):
        load_bundle(Path("https://example.org/m.onnx"), sha256="0" * 64)


def test_names_on_the_hub() -> None:
    assert hub.parse("hf://owner/name/m.onnx") == hub.HubFile("owner/name", "m.onnx", "main")
    assert hub.parse("hf://o.w-n_er/na.me/a/b c.onnx@refs/pr/1") == hub.HubFile(
        "o.w-n_er/na.me", "a/b c.onnx", "refs/pr/1"
    )
    for text in ("hf://owner/name/m.onnx", "hf://owner/name/m.onnx@v1"):
        assert str(hub.parse(text)) == text


def test_without_the_client_the_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"unmask\[hub\]"):
        locate("hf://owner/name/m.onnx", "0" * 64)
    del home


def test_the_command_takes_addresses(server: Server, home: Path, portrait: Path, bundle: bytes, sha256: str) -> None:
    server.pages["/tiny.onnx"] = Page(bundle, cuts=[len(bundle) // 2])
    url = f"{server.url}/tiny.onnx"
    bare = command("analyze", portrait, "--model", url, "--json", UNMASK_HOME=str(home))
    assert (bare.returncode, bare.stdout) == (2, "")
    assert "sha256sum" in bare.stderr
    done = command("analyze", portrait, "--model", url, "--sha256", sha256, "--json", UNMASK_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["sha256"] == sha256
    wrong = command("bundle", "verify", url, "--sha256", "0" * 64, UNMASK_HOME=str(home))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "promised was 0000" in wrong.stderr
    lone = command("analyze", portrait, "--sha256", sha256)
    assert lone.returncode == 2
    assert "--model" in lone.stderr


# The Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILE = "/owner/name/resolve/{revision}/models/tiny.onnx"


def hub_page(data: bytes, sha256: str, *, lfs: bool = True) -> Page:
    headers = {"X-Repo-Commit": COMMIT}
    if lfs:
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
    return Page(data, headers=headers)


@pytest.fixture
def on_hub(server: Server, home: Path, tmp_path: Path) -> dict[str, str]:
    """The environment in which the Hub is our server."""
    pytest.importorskip("huggingface_hub")
    return {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "UNMASK_HOME": str(home),
    }


@pytest.mark.train
def test_a_model_from_the_hub(
    server: Server, home: Path, on_hub: dict[str, str], bundle: bytes, sha256: str, tmp_path: Path
) -> None:
    page = server.pages[FILE.format(revision="main")] = hub_page(bundle, sha256)
    page.cuts = [len(bundle) // 2]
    done = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", **on_hub)
    assert done.returncode == 0, done.stderr
    assert sha256 in done.stdout
    assert "resume" in done.stderr
    assert [p.name for p in (home / "models").iterdir() if p.suffix == ".onnx" or p.is_dir()].count(
        f"{sha256}.onnx"
    ) == 1
    assert not list((home / "models").glob("*.hub"))
    server.pages.clear()
    again = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", "--sha256", sha256, **on_hub)
    assert again.returncode == 0, again.stderr
    offline = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", **on_hub, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert "HF_HUB_OFFLINE" in offline.stderr
    assert not list((tmp_path / "hf").rglob("*.onnx"))


@pytest.mark.train
def test_a_revision_on_the_hub_and_a_file_it_has_no_hash_of(
    server: Server, on_hub: dict[str, str], bundle: bytes, sha256: str
) -> None:
    server.pages[FILE.format(revision="v2")] = hub_page(bundle, sha256, lfs=False)
    name = "hf://owner/name/models/tiny.onnx@v2"
    bare = command("bundle", "verify", name, **on_hub)
    assert bare.returncode == 2
    assert "hf download owner/name models/tiny.onnx --revision v2" in bare.stderr
    done = command("bundle", "verify", f"{name}#sha256={sha256}", **on_hub)
    assert done.returncode == 0, done.stderr


@pytest.mark.train
def test_a_wrong_hash_on_the_hub_keeps_nothing(
    server: Server, home: Path, on_hub: dict[str, str], bundle: bytes, sha256: str
) -> None:
    server.pages[FILE.format(revision="main")] = hub_page(bundle, sha256)
    done = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", "--sha256", "0" * 64, **on_hub)
    assert done.returncode == 1
    assert "promised was 0000" in done.stderr
    assert [p for p in (home / "models").iterdir() if p.suffix != ".lock"] == []


@pytest.mark.train
@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "EntryNotFound", "no file 'models/tiny.onnx'"),
        (404, "RevisionNotFound", "no revision 'main'"),
        (404, "RepoNotFound", "no such repository"),
        (403, "GatedRepo", "access has to be asked for"),
        (418, "", "answers 418"),
    ],
)
def test_what_the_hub_says_is_passed_on(
    server: Server, on_hub: dict[str, str], status: int, code: str, words: str
) -> None:
    server.pages[FILE.format(revision="main")] = Page(status=status, headers={"X-Error-Code": code})
    done = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", **on_hub)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.train
def test_a_hub_that_is_not_there(on_hub: dict[str, str]) -> None:
    away = on_hub | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = command("bundle", "verify", "hf://owner/name/models/tiny.onnx", "--sha256", "0" * 64, **away)
    assert done.returncode == 1
    assert "the Hub cannot be reached" in done.stderr
    assert "by hand" in done.stderr
