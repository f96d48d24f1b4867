"""A clip in which one second is faked: the stretch is named within half a second.

Ten-second clips are made from DFDC validation pairs that the model tells apart: the frame of the original, for one
second its fake, encoded as H.264.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unmask import Detector

SECONDS, FPS, WANTED = 10, 25, 8
DATA = Path(os.environ.get("UNMASK_DATA", ""))
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "splits.csv").is_file(), reason="UNMASK_DATA does not name the data sets"),
]


def dfdc_val_pairs() -> list[tuple[Path, Path]]:
    with (DATA / "splits.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "dfdc" and row["split"] == "val"]
    by_group: dict[str, dict[str, Path]] = {}
    for row in rows:
        by_group.setdefault(row["group"], {})[row["label"]] = DATA / row["path"]
    return [(pair["0"], pair["1"]) for _, pair in sorted(by_group.items()) if len(pair) == 2]


def encode(
    path: Path, original: NDArray[np.uint8], fake: NDArray[np.uint8], start_s: float, seconds: int = SECONDS
) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.height, stream.width = original.shape[:2]
        stream.pix_fmt = "yuv420p"
        # One thread: with several the encoder's choices depend on which of them is first.
        stream.options = {"crf": "20", "threads": "1"}
        for i in range(seconds * FPS):
            image = fake if start_s <= i / FPS < start_s + 1 else original
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(device="cpu")


@pytest.fixture(scope="module")
def pairs(
    detector: Detector, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pairs that the model tells apart: two seconds of the original are not likely fake, two of the fake are, and each
    of its frames a little above what a stretch of one second needs, as no two encodings are alike.
    """
    needed = detector.bundle.card.level("segment").thresholds.likely_fake + 0.01
    folder = tmp_path_factory.mktemp("pairs")
    told_apart: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for paths in dfdc_val_pairs():
        original, fake = (np.asarray(Image.open(path).convert("RGB")) for path in paths)
        if original.shape != fake.shape or detector.analyze(fake).verdict != "likely_fake":
            continue
        reports = [
            detector.analyze(encode(folder / "two.mp4", image, image, 0.0, seconds=2)) for image in (original, fake)
        ]
        clear = [min(score for _, score in track.scores) >= needed for track in reports[1].tracks]
        if reports[0].verdict != "likely_fake" and reports[1].verdict == "likely_fake" and clear == [True]:
            told_apart.append((original, fake))
        if len(told_apart) == WANTED:
            break
    return told_apart


def test_enough_pairs_are_told_apart(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
    assert len(pairs) == WANTED


@pytest.mark.parametrize("number", range(WANTED))
def test_the_faked_second_is_named(
    detector: Detector,
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    number: int,
    tmp_path: Path,
) -> None:
    start_s = 0.9 + number
    encode(tmp_path / "swapped.mp4", *pairs[number], start_s)
    report = detector.analyze(tmp_path / "swapped.mp4")
    segments = [segment for track in report.tracks for segment in track.segments]
    assert report.verdict == "likely_fake"
    assert len(segments) == 1, report.tracks
    assert abs(segments[0].start_s - start_s) <= 0.5
    assert abs(segments[0].end_s - (start_s + 1)) <= 0.5


def test_the_original_alone_has_no_faked_stretch(
    detector: Detector, pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], tmp_path: Path
) -> None:
    encode(tmp_path / "original.mp4", pairs[0][0], pairs[0][0], 0.0)
    report = detector.analyze(tmp_path / "original.mp4")
    assert report.verdict != "likely_fake"
    assert [track.segments for track in report.tracks] == [[]]
