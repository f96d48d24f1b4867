"""What a network of the YuNet family gets to see: padding, order of the channels, light."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from unmask.base.errors import BundleError
from unmask.faces.yunet import BRIGHT_KEY, MOST_GAIN, YuNet, gain_for, to_input


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    level=st.integers(0, 255),
    bright=st.floats(0, 255),
    seed=st.integers(0, 99),
)
def test_a_picture_is_only_ever_made_lighter_and_never_more_than_white(
    height: int, width: int, level: int, bright: float, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, level + 1, (height, width, 3), dtype=np.uint8)
    gain = gain_for(picture, bright)
    assert 1.0 <= gain <= MOST_GAIN
    tensor = to_input(picture, gain)
    assert tensor.shape[2] % 32 == tensor.shape[3] % 32 == 0
    inner = tensor[0, ::-1, :height, :width].transpose(1, 2, 0)
    assert np.allclose(inner, np.minimum(picture.astype(np.float32) * np.float32(gain), 255), atol=1e-3)
    assert tensor.sum() == pytest.approx(inner.sum(), rel=1e-4)


def test_a_border_does_not_make_a_picture_dark() -> None:
    picture = np.full((64, 64, 3), 30, np.uint8)
    framed = np.zeros((192, 192, 3), np.uint8)
    framed[64:128, 64:128] = picture
    assert gain_for(picture, 60) == pytest.approx(2.0)
    assert gain_for(framed, 60) == pytest.approx(2.0)
    assert gain_for(np.zeros((32, 32, 3), np.uint8), 60) == 1.0
    assert gain_for(picture, 0) == 1.0


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load_from_string(files("unmask.faces").joinpath("weights/faces.onnx").read_bytes())


def with_bright(model: onnx.ModelProto, value: str | None) -> bytes:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    onnx.helper.set_model_props(changed, {} if value is None else {BRIGHT_KEY: value})
    return bytes(changed.SerializeToString())


def best(net: YuNet, picture: np.ndarray) -> float:
    return max((face.score for face in net.find(picture, threshold=0.05)), default=0.0)


def test_a_network_that_asks_for_light_finds_a_face_in_the_dark(model: onnx.ModelProto) -> None:
    assert {one.key for one in model.metadata_props} == {BRIGHT_KEY}
    noise = np.random.default_rng(0).normal(0, 1, data.astronaut().shape)
    dark = np.clip(data.astronaut() * 0.03 + noise, 0, 255).round().astype(np.uint8)
    plain, asking = (YuNet(with_bright(model, value), device="cpu") for value in (None, "60"))
    assert best(asking, dark) > best(plain, dark) + 0.1
    assert best(asking, data.astronaut()) == pytest.approx(best(plain, data.astronaut()), abs=1e-4)


@pytest.mark.parametrize("ground", [1, 2, 8, 16])
def test_a_lit_face_before_a_black_wall_is_left_alone(model: onnx.ModelProto, ground: int) -> None:
    scene = np.full((512, 512, 3), ground, np.uint8)
    scene[180:330, 180:330] = data.astronaut()[30:180, 150:300]
    plain, asking = (YuNet(with_bright(model, value), device="cpu") for value in (None, "60"))
    assert best(plain, scene) > 0.8
    assert best(asking, scene) == pytest.approx(best(plain, scene), abs=0.02)


@pytest.mark.parametrize("value", ["abc", "", "nan", "inf", "-3", "300"])
def test_a_file_that_asks_for_nonsense_is_refused(model: onnx.ModelProto, value: str) -> None:
    with pytest.raises(BundleError, match="from 0 to 255"):
        YuNet(with_bright(model, value), device="cpu")
