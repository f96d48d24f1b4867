"""The detector on clips, with the packaged networks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from unmask import Detector
from unmask.base.errors import MediaError

FPS = 10


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(device="cpu")


def write_clip(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: the astronaut beside a green, mirrored one, who leaves after a second and a half."""
    left = np.asarray(data.astronaut())[:384, 64:448]
    right = np.ascontiguousarray((left[:, ::-1] * np.array([0.5, 1.0, 0.5])).astype(np.uint8))
    both, alone = np.concatenate([left, right], axis=1), np.concatenate([left, right * 0 + 90], axis=1)
    frames = [np.roll(both if i < 15 else alone, i % 5, axis=0) for i in range(30)]
    return write_clip(tmp_path_factory.mktemp("clips") / "two.mp4", frames)


def test_each_person_has_a_track_and_a_curve(detector: Detector, two_people: Path) -> None:
    shares: list[float] = []
    result = detector.run(two_people, fps=5, progress=shares.append)
    report = result.report
    assert [track.id for track in report.tracks] == [0, 1]
    stays, leaves = sorted(report.tracks, key=lambda track: -track.end_s)
    assert stays.end_s == pytest.approx(2.8, abs=0.15)
    assert leaves.end_s == pytest.approx(1.4, abs=0.25)
    for track in report.tracks:
        times = [t for t, _ in track.scores]
        assert times == sorted(set(times))
        assert times == [box[0] for box in track.boxes]
        assert all(0 <= p <= 1 for _, p in track.scores)
        assert (track.start_s, track.end_s) == (times[0], times[-1])
    assert report.media
    assert report.media.frames_analyzed == 15
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    assert {evidence.subject for evidence in result.evidence} == {0, 1}
    assert report.faces == []


def test_fewer_frames_on_request(detector: Detector, two_people: Path) -> None:
    report = detector.analyze(two_people, max_frames=4)
    assert report.media
    assert report.media.frames_analyzed == 4
    assert max(track.end_s for track in report.tracks) > 1.5


def test_a_given_box_is_a_track_of_its_own(detector: Detector, two_people: Path) -> None:
    report = detector.analyze(two_people, box=(500, 250, 600, 350))
    given = [track for track in report.tracks if track.boxes[0][1:] == (500, 250, 600, 350)]
    assert len(given) == 1
    assert len(given[0].scores) == report.media.frames_analyzed if report.media else False
    assert len(report.tracks) == 3


def test_a_clip_without_a_face_has_no_score(detector: Detector, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 240, 320, 3)).astype(np.uint8)
    report = detector.analyze(write_clip(tmp_path / "noise.mp4", list(noise)))
    assert (report.verdict, report.p_fake, report.tracks) == ("no_face", None, [])


def test_a_cut_off_clip_is_judged_by_what_is_there_or_refused(
    detector: Detector, two_people: Path, tmp_path: Path
) -> None:
    whole = two_people.read_bytes()
    stub = tmp_path / "stub.mp4"
    stub.write_bytes(whole[:200])
    with pytest.raises(MediaError):
        detector.analyze(stub)
    assert detector.analyze(whole).verdict == detector.analyze(two_people).verdict
