"""`unmask devices`, `bundle` and `play`."""

from __future__ import annotations

import json
import os
import shutil
import stat

import av
import pytest

from cli_support import environment
from support import make_card, make_graph
from unmask.model import load_bundle


def test_devices(unmask):
    done = unmask("devices")
    assert done.returncode == 0
    assert "cpu" in done.stdout
    assert "onnxruntime" in done.stdout
    facts = json.loads(unmask("devices", "--json").stdout)
    assert facts["auto"] == facts["devices"][0]
    assert facts["cpus"] >= 1


def test_the_packaged_bundle_is_shown_and_verified(unmask):
    bundle = load_bundle()
    shown = unmask("bundle", "show")
    assert shown.returncode == 0
    assert bundle.sha256 in shown.stdout
    assert bundle.card.name in shown.stdout
    card = json.loads(unmask("bundle", "show", "--json").stdout)
    assert card["crop"]["size"] == bundle.card.crop.size
    verified = unmask("bundle", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert bundle.sha256 in verified.stdout


def test_pack_show_verify_use(unmask, tmp_path, portrait):
    (tmp_path / "net.onnx").write_bytes(make_graph().SerializeToString())
    (tmp_path / "card.json").write_text(make_card().model_dump_json())
    done = unmask("bundle", "pack", "net.onnx", "--card", "card.json")
    assert done.returncode == 0, done.stderr
    assert "net.bundle.onnx" in done.stdout
    sha256 = load_bundle(tmp_path / "net.bundle.onnx").sha256
    assert unmask("bundle", "verify", "net.bundle.onnx", "--sha256", sha256).returncode == 0
    wrong = unmask("bundle", "verify", "net.bundle.onnx", "--sha256", "0" * 64)
    assert wrong.returncode == 1
    assert "SHA-256" in wrong.stderr
    (row,) = unmask("analyze", portrait, "--model", "net.bundle.onnx", "--json").stdout.splitlines()
    assert json.loads(row)["model"]["name"] == make_card().name
    again = unmask("bundle", "pack", "net.onnx", "--card", "card.json")
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(("card", "words"), [(None, "--card"), ("{}", "Field required"), ("no json", "JSON")])
def test_a_bad_card_is_named(unmask, tmp_path, card, words):
    (tmp_path / "net.onnx").write_bytes(make_graph().SerializeToString())
    if card is not None:
        (tmp_path / "card.json").write_text(card)
    done = unmask("bundle", "pack", "net.onnx", "--card", "card.json")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "net.bundle.onnx").exists()


def test_a_file_that_is_no_bundle(unmask, portrait):
    done = unmask("bundle", "verify", portrait)
    assert done.returncode == 1
    assert str(portrait) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the player")
def test_play_opens_the_annotated_clip(unmask, clip, tmp_path):
    player = tmp_path / "bin" / "xdg-open"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    player.chmod(player.stat().st_mode | stat.S_IEXEC)
    path = f"{player.parent}{os.pathsep}{os.environ['PATH']}"
    cache = str(tmp_path / "cache")
    done = unmask("play", clip, env=environment(PATH=path, DISPLAY=":7", XDG_CACHE_HOME=cache))
    assert done.returncode == 0, done.stderr
    opened = (tmp_path / "opened").read_text().strip()
    assert opened in done.stdout
    assert opened.startswith(cache)
    with av.open(opened) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == 50


def test_play_without_a_player_says_where_the_file_is(unmask, clip, tmp_path):
    plain = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        plain.pop(name, None)
    done = unmask("play", clip, "-o", "out.mp4", env=plain)
    assert done.returncode == 0, done.stderr
    assert "out.mp4" in done.stdout
    assert "no player" in done.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 1000
    again = unmask("play", clip, "-o", "out.mp4", env=plain)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_play_of_a_picture_and_of_nothing(unmask, portrait, tmp_path):
    done = unmask("play", portrait, env=environment(XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert done.returncode == 0, done.stderr
    assert ".png" in done.stdout
    missing = unmask("play", "nothing.mp4")
    assert missing.returncode == 1
    assert "nothing.mp4" in missing.stderr
    shutil.rmtree(tmp_path / "cache")
