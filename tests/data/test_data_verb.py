from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from data_samples import Plant

pytest.importorskip("polars", reason="needs the extra [data]")

from unmask.cli import main


def test_prepare_and_show(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", *(f"{kind}/{i}.png" for kind in ("photo", "midjourney") for i in range(10)))
    out = tmp_path / "out"
    call = ["data", "prepare", "imagefolder", str(src), str(out), "--real", "photo", "--fake", "midjourney"]
    assert main([*call, "--faces", "none", "--source", "mine"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == str(out / "manifest.parquet")
    assert main(["data", "show", str(out / "manifest.parquet")]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mine", "none", "real", "6", "2", "2", "-", "-"] in table
    assert ["mine", "mine", "fake", "6", "2", "2", "-", "-"] in table
    assert ["all", "12", "4", "4", "-", "-"] in table


def test_a_broken_file_is_counted_and_the_rest_is_done(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    src = plant("set", "real/1.png", "fake/2.png", "other/3.png")
    (src / "real/0.png").write_bytes(b"broken")
    assert main(["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none", "--csv"]) == 1
    captured = capsys.readouterr()
    assert (
        "left out 1: no folder above it means real or fake: say which does with --real or --fake (other/3.png)"
        in captured.err
    )
    assert (tmp_path / "out/manifest.csv").is_file()
    assert (tmp_path / "out/left_out.csv").read_text().count("\n") == 3


def test_wrong_usage_is_told_from_bad_input(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    out = str(tmp_path / "out")
    assert main(["data", "prepare", "nolayout", str(src), out]) == 2
    assert "Use auto or one of" in capsys.readouterr().err
    assert main(["data", "prepare", "auto", str(tmp_path / "nowhere"), out]) == 1
    assert main(["data", "show", str(tmp_path / "none.parquet")]) == 1
    assert main(["data", "show", str(tmp_path / "none.parquet"), "--root", "src"]) == 2


def test_a_root_that_has_moved(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    assert main(["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none", "-q"]) == 0
    src.rename(tmp_path / "moved")
    manifest = str(tmp_path / "out/manifest.parquet")
    capsys.readouterr()
    assert main(["data", "show", manifest]) == 0
    assert "not there; see --root" in capsys.readouterr().out
    assert main(["data", "show", manifest, "--root", f"src={tmp_path / 'moved'}"]) == 0
    assert "not there" not in capsys.readouterr().out


def test_help_names_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    from unmask.data.layouts import layouts

    assert main(["data", "prepare", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in layouts())


def test_pictures_named_as_another_kind_are_read(plant: Plant, tmp_path: Path) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    Image.open(src / "real/1.png").save(src / "real/3.jpg", "PNG")
    assert main(["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none", "-q"]) == 0


def test_an_interrupt_keeps_what_is_done(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = plant("set", "real/1.png", "fake/2.png")
    for i in range(1500):
        os.link(src / "real/1.png", src / f"real/copy{i}.png")
    journal = tmp_path / "out/faces.jsonl"
    call = ["data", "prepare", "auto", str(src), str(tmp_path / "out"), "--faces", "none"]

    def interrupt() -> None:
        while not (journal.is_file() and journal.read_bytes().count(b"\n") > 5):
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(call) == 130
    thread.join()
    assert "goes on from here" in capsys.readouterr().err
    assert not (tmp_path / "out/manifest.parquet").exists()
    assert journal.read_bytes().count(b"\n") < 1500
    assert main(call) == 0
    assert (tmp_path / "out/manifest.parquet").is_file()
