"""The packaged detector's file: what it is, how large, and that it speaks as YuNet does."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import onnx
import onnxruntime
import pytest

# Of the file that references/faces/README.md gives the figures for: another file needs other figures.
SHA256 = "6bae1ec1eac3ad21b9498dccdc652358192850c2a8d58eed776cf3d69fbbdd04"
STRIDES = (8, 16, 32)


@pytest.fixture(scope="module")
def model() -> bytes:
    return files("unmask.faces").joinpath("weights/faces.onnx").read_bytes()


@pytest.fixture(scope="module")
def session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_it_is_the_file_that_was_measured(model: bytes) -> None:
    assert hashlib.sha256(model).hexdigest() == SHA256
    assert len(model) <= 1_000_000


def test_it_holds_no_external_data_and_passes_the_checker(model: bytes) -> None:
    proto = onnx.load_from_string(model)
    onnx.checker.check_model(proto)
    assert all(t.data_location != onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)


def test_inputs_and_outputs_have_yunets_names(session: onnxruntime.InferenceSession) -> None:
    assert [i.name for i in session.get_inputs()] == ["input"]
    names = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES}
    assert {o.name for o in session.get_outputs()} == names


@pytest.mark.parametrize(("height", "width"), [(64, 64), (320, 224), (96, 640)])
def test_every_multiple_of_32_is_taken(session: onnxruntime.InferenceSession, height: int, width: int) -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, height, width)).astype(np.float32)
    outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"input": picture}), strict=True))
    for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in STRIDES:
            value = outputs[f"{kind}_{stride}"]
            assert value.shape == (1, (height // stride) * (width // stride), channels)
            assert np.isfinite(value).all()
            if channels == 1:
                assert value.min() >= 0
                assert value.max() <= 1


def test_astronaut_is_found_with_her_right_eye_on_the_left() -> None:
    skimage_data = pytest.importorskip("skimage.data")
    from unmask.faces.yunet import YuNet

    net = YuNet(files("unmask.faces").joinpath("weights/faces.onnx").read_bytes(), device="cpu")
    picture = skimage_data.astronaut()
    (face,) = net.find(picture, threshold=0.75)
    assert face.landmarks is not None
    right, left, nose, mouth_right, mouth_left = face.landmarks
    x0, y0, x1, y1 = face.box
    assert 150 < x0 < right[0] < nose[0] < left[0] < x1 < 310
    assert y0 < right[1] < nose[1] < mouth_right[1] < y1
    assert mouth_right[0] < mouth_left[0]
    # Turned by 90 degrees counter-clockwise, her right eye is below the left one.
    turned = net.find(np.ascontiguousarray(np.rot90(picture)), threshold=0.3)
    assert turned, "the face is lost when the picture lies on its side"
    points = max(turned, key=lambda f: f.score).landmarks
    assert points is not None
    assert points[0][1] > points[1][1] + 10
