"""The detector on pictures, with the packaged networks."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

import unmask
from unmask import Detector
from unmask.base.errors import MediaError, UsageError


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(device="cpu")


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return np.asarray(data.astronaut())


@pytest.fixture
def picture(tmp_path: Path, astronaut: NDArray[np.uint8]) -> Path:
    Image.fromarray(astronaut).save(tmp_path / "astronaut.png")
    return tmp_path / "astronaut.png"


def test_path_bytes_pil_and_array_give_the_same_score(detector: Detector, picture: Path) -> None:
    sources = [picture, str(picture), picture.read_bytes(), Image.open(picture), np.asarray(Image.open(picture))]
    reports = [detector.analyze(source) for source in sources]
    assert [len(report.faces) for report in reports] == [1] * 5
    assert np.ptp([report.p_fake or -1 for report in reports]) <= 1e-3
    assert reports[0].path == str(picture)
    assert reports[0].sha256 == reports[2].sha256 is not None
    assert unmask.analyze(picture).p_fake == pytest.approx(reports[0].p_fake, abs=1e-3)


def test_evidence_is_what_the_network_saw(detector: Detector, picture: Path) -> None:
    result = detector.run(picture)
    (evidence,) = result.evidence
    size = detector.card.crop.size
    assert evidence.crop.shape == (size, size, 3)
    assert evidence.map.ndim == 2
    logits, maps = detector.bundle.score(evidence.crop[None])
    np.testing.assert_allclose(maps[0], evidence.map, atol=1e-3)
    assert evidence.p_fake == pytest.approx(result.report.faces[0].p_fake, abs=1e-3)
    x0, y0, x1, y1 = evidence.square
    assert 0 <= x0 < x1 <= 512
    assert 0 <= y0 < y1 <= 512
    assert np.isfinite(logits).all()


def test_all_faces_of_a_picture_are_scored_in_one_batch(
    detector: Detector, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    score = detector.bundle.score

    def spy(crops: NDArray[np.uint8]) -> object:
        batches.append(len(crops))
        return score(crops)

    monkeypatch.setattr(detector.bundle, "score", spy)
    report = detector.analyze(np.concatenate([astronaut] * 3, axis=1))
    assert len(report.faces) == 3
    assert batches == [3]
    assert [face.id for face in report.faces] == [0, 1, 2]


def test_one_detector_from_several_threads(detector: Detector, astronaut: NDArray[np.uint8]) -> None:
    pictures = [np.ascontiguousarray(np.roll(astronaut, 10 * i, axis=1)) for i in range(12)]
    alone = [detector.analyze(picture).model_dump(exclude={"timing_ms"}) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = [report.model_dump(exclude={"timing_ms"}) for report in pool.map(detector.analyze, pictures)]
    assert together == alone


def test_no_face_has_no_score(detector: Detector) -> None:
    report = detector.analyze(np.asarray(data.brick())[:, :, None].repeat(3, axis=2))
    assert (report.verdict, report.p_fake, report.faces) == ("no_face", None, [])
    assert report.reasons


def test_a_broken_file_is_an_error_and_never_a_score(detector: Detector, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    with pytest.raises(MediaError):
        detector.analyze(broken)
    report = detector.analyze(broken, on_error="report")
    assert (report.verdict, report.p_fake, report.faces) == ("error", None, [])
    assert report.error
    assert report.error.code in {"media", "unsupported_media"}


def test_a_given_box_is_judged_beside_the_faces_found(detector: Detector, astronaut: NDArray[np.uint8]) -> None:
    (found,) = detector.analyze(astronaut).faces
    x0, y0, x1, y1 = found.box
    same = detector.analyze(astronaut, box=(x0 + 3, y0, x1 + 3, y1)).faces
    other = detector.analyze(astronaut, box=(350, 350, 450, 450)).faces
    assert len(same) == 1
    assert len(other) == 2
    assert other[0].box == (350, 350, 450, 450)


@pytest.mark.parametrize("box", [(600, 10, 700, 110), (-90, -90, 0.5, 0.5), (5, 5, 5.5, 5.5)])
def test_a_box_beside_the_picture_gets_no_score(
    detector: Detector, astronaut: NDArray[np.uint8], box: tuple[float, float, float, float]
) -> None:
    with pytest.raises(UsageError, match="no pixel of the picture"):
        detector.analyze(astronaut, box=box)
    report = detector.analyze(astronaut, box=box, on_error="report")
    assert (report.verdict, report.p_fake, report.faces) == ("error", None, [])


@pytest.mark.parametrize("options", [{"box": (9, 0, 3, 5)}, {"fps": 0}, {"fps": float("nan")}, {"max_frames": 0}])
def test_options_without_sense_are_refused(detector: Detector, picture: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        detector.analyze(picture, **options, on_error="raise")


def test_boxes_are_those_of_the_upright_picture(detector: Detector, astronaut: NDArray[np.uint8]) -> None:
    upright = detector.analyze(astronaut).faces[0].box
    turned, exif = Image.fromarray(np.rot90(astronaut).copy()), Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    file = io.BytesIO()
    turned.save(file, "png", exif=exif)
    np.testing.assert_allclose(detector.analyze(file.getvalue()).faces[0].box, upright, atol=0.5)


def test_another_face_backend_is_said(astronaut: NDArray[np.uint8]) -> None:
    whole = Detector(faces="none", device="cpu").analyze(astronaut)
    assert whole.faces[0].box == (0, 0, 512, 512)
    assert any("none" in warning for warning in whole.warnings)
    assert whole.model
    assert whole.model.faces == "none"
