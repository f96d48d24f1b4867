"""The recipe in references/faces: samples are where they say they are, and a training step trains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

RECIPE = Path(__file__).parents[2] / "references" / "faces"


@pytest.fixture(scope="module", autouse=True)
def recipe() -> Any:
    sys.path.insert(0, str(RECIPE))
    yield
    sys.path.remove(str(RECIPE))


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(-180, 180), scale=st.floats(0.6, 1.8), x=st.integers(30, 90), y=st.integers(30, 70))
def test_points_turn_with_the_picture(angle: float, scale: float, x: int, y: int) -> None:
    from samples import turn, turned_box

    pixels = np.zeros((100, 120, 3), np.uint8)
    pixels[y - 3 : y + 4, x - 3 : x + 4] = 255
    out, cover, matrix = turn(Image.fromarray(pixels), scale, angle, None)
    points = np.full((5, 2), (x + 0.5, y + 0.5), np.float32)
    row = turned_box(np.array([x - 20, y - 25, x + 20, y + 25], np.float32), points, matrix)
    grey = np.asarray(out.convert("L"), np.float64)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    seen = np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()
    assert np.abs(seen - row[4:6]).max() < 1.2
    assert np.abs((row[:2] + row[2:4]) / 2 - row[4:6]).max() < 1.5
    assert cover.size == out.size


def test_a_box_turned_by_a_right_angle_lies_on_its_side() -> None:
    from samples import turned_box

    matrix = np.array([[0.0, 1, 0], [-1, 0, 100]])
    row = turned_box(np.array([10, 20, 30, 60], np.float32), np.zeros((5, 2), np.float32), matrix)
    assert row[:4] == pytest.approx([20, 70, 60, 90])


def test_the_benchmarks_pictures_are_there_and_none_is_of_a_person() -> None:
    pytest.importorskip("skimage")
    from conditions import faceless

    paths = faceless()
    assert len(paths) >= 20
    assert not {"astronaut", "camera"} & {path.stem for path in paths}


@pytest.mark.parametrize("name", ["turned 30°", "turned 60°", "turned 90°", "half covered", "darkened to a tenth"])
def test_conditions_keep_the_face_where_they_say(name: str) -> None:
    pytest.importorskip("skimage")
    from conditions import CONDITIONS, Case
    from skimage.data import astronaut

    # A white square where the right eye would be, to be found again.
    pixels = np.asarray(astronaut()) // 2
    pixels[100:107, 205:212] = 255
    points = np.full((1, 10), 0, np.float32)
    points[0, :2] = (208.5, 103.5)
    box = np.array([[175, 60, 275, 190, 0.9]], np.float32)
    case = Case(Image.fromarray(pixels), np.concatenate([box, points], axis=1), "astronaut")
    (condition,) = [c for c in CONDITIONS if c.name == name]
    out = condition.change(case, np.random.default_rng(2))
    x, y = out.rows[0, 5:7]
    assert out.rows[0, 0] < x < out.rows[0, 2]
    assert out.rows[0, 1] < y < out.rows[0, 3]
    if name.startswith("turned"):
        assert np.asarray(out.image)[int(y), int(x)].min() > 200


@pytest.mark.train
def test_turning_a_batch_four_times_or_mirroring_it_twice_changes_nothing() -> None:
    torch = pytest.importorskip("torch")
    from train import Batch

    pixels = torch.arange(3 * 64 * 96).reshape(1, 3, 64, 96)
    faces = torch.tensor([[[10.0, 5, 30, 15, 12, 7, 28, 7, 20, 10, 13, 13, 27, 13, 1]]])
    start = Batch(pixels, faces, pixels[:0], torch.zeros(0, dtype=torch.long))
    once = start.quarter()
    assert once.pixels.shape == (1, 3, 96, 64)
    assert once.faces[0, 0, :4].tolist() == [5, 66, 15, 86]
    full = once.quarter().quarter().quarter()
    for one in (full, start.mirrored().mirrored()):
        assert torch.equal(one.pixels, pixels)
        assert torch.equal(one.faces, faces)
    assert start.mirrored().faces[0, 0, 4].item() == 96 - 28


@pytest.mark.train
@pytest.mark.parametrize(("quarters", "mirror"), [(0, False), (1, False), (0, True), (1, True)])
def test_what_the_teacher_says_turns_as_the_picture_does(quarters: int, mirror: bool) -> None:
    torch = pytest.importorskip("torch")
    from loss import STRIDES, boxes_of, grid, turned_maps
    from samples import MIRROR

    from train import Batch

    height, width = 96, 64
    torch.manual_seed(1)
    rows = [torch.randn(1, (height // s) * (width // s), 16) for s in STRIDES]

    def read(rows: Any, height: int, width: int) -> Any:
        cells, out = grid(height, width), torch.cat(rows, dim=1)
        points = out[..., 6:].view(1, -1, 5, 2) * cells[:, None, 2:] + cells[:, None, :2]
        places = torch.cat([boxes_of(out[..., 1:5], cells), points.flatten(2)], dim=2)
        return places[0, out[0, :, 5].argsort()]

    faces = torch.zeros(1, sum(part.shape[1] for part in rows), 15)
    faces[0, :, :14] = read(rows, height, width)
    want = Batch(torch.zeros(1, 3, height, width), faces, torch.zeros(0), torch.zeros(0))
    want = want.quarter() if quarters else want
    want = want.mirrored() if mirror else want
    got = read(turned_maps(rows, height, width, quarters, mirror, MIRROR), *((width, height) if quarters else (96, 64)))
    assert torch.allclose(got, want.faces[0, :, :14], atol=1e-3)


@pytest.mark.train
def test_training_steps_lower_the_loss_and_the_export_says_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("skimage")
    import onnxruntime
    from net import BRIGHT, OUTPUTS, STRIDES, FaceNet, export
    from samples import Maker, Source
    from skimage.data import astronaut

    from train import collate, step
    from unmask.faces.yunet import BRIGHT_KEY

    Image.fromarray(astronaut()).save(tmp_path / "astronaut.png")
    negatives = tmp_path / "negatives"
    negatives.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 4), dtype=np.uint8)
    for name in ("wall-0001-noise", "stamp-0002-thing", "stamp-0003-a"):
        Image.fromarray(noise, "RGBA").save(negatives / f"{name}.png")
    points = np.array([[[205, 110], [245, 110], [226, 130], [210, 150], [243, 150]]], np.float32)
    source = Source(tmp_path / "astronaut.png", np.array([[180, 65, 270, 185]], np.float32), points, np.array([True]))
    maker = Maker({"one": [source]}, negatives, np.random.default_rng(3))
    samples = [maker.sample(128, 160) for _ in range(12)]
    assert any(len(sample.rows) and sample.rows[:, 14].any() for sample in samples)
    assert any(sample.clean is not None for sample in samples)
    batch = collate(samples)
    torch.manual_seed(0)
    net = FaceNet((1, 1))
    net.branch.start_from(net.trunk)
    before = {name: value.clone() for name, value in net.trunk.state_dict().items()}
    optimizer = torch.optim.AdamW(net.branch.parameters(), lr=1e-3)
    losses = [step(net, optimizer, batch, bf16=False)["total"] for _ in range(40)]
    assert all(np.isfinite(losses))
    assert min(losses[-3:]) < 0.7 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in net.trunk.state_dict().items())
    export(net, tmp_path / "net.onnx", modest=0.5)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {BRIGHT_KEY: str(BRIGHT)}
    picture = torch.rand(1, 3, 96, 192) * 255
    with torch.no_grad():
        first, second = (torch.cat(rows, dim=1)[0].double().numpy() for rows in net(picture))
    second[:, 5] -= 0.5
    for rows in (first, second):
        rows[:, [0, 5]] = 1 / (1 + np.exp(-rows[:, [0, 5]]))
    surer = second[:, 0] * second[:, 5] > first[:, 0] * first[:, 5]
    assert 0 < surer.mean() < 1
    want = np.where(surer[:, None], second, first)
    said = dict(zip(OUTPUTS, session.run(OUTPUTS, {"input": picture.numpy()}), strict=True))
    by_stride = [np.concatenate([said[f"{n}_{s}"][0] for n in ("cls", "bbox", "obj", "kps")], axis=1) for s in STRIDES]
    assert np.abs(np.concatenate(by_stride) - want).max() < 1e-3


@pytest.mark.train
def test_the_branch_starts_as_the_trunk() -> None:
    torch = pytest.importorskip("torch")
    from net import FaceNet

    torch.manual_seed(4)
    net = FaceNet((2, 1))
    net.branch.start_from(net.trunk)
    picture = torch.rand(2, 3, 96, 128) * 255
    with torch.no_grad():
        for first, second in zip(*net(picture), strict=True):
            assert torch.allclose(first, second, atol=1e-5)
