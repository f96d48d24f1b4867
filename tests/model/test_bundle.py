"""A bundle: what is loaded, what is refused, what comes out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from support import SIZE, make_card, make_graph
from unmask.base.errors import BundleError, DeviceError
from unmask.model import Card, Level, Thresholds, load_bundle, pack
from unmask.model.bundle import refuse_external_data


@pytest.fixture
def bundle_file(tmp_path: Path) -> Path:
    out = tmp_path / "tiny.onnx"
    pack(make_graph().SerializeToString(), make_card(), out)
    return out


def test_round_trip_and_scores(bundle_file: Path) -> None:
    bundle = load_bundle(bundle_file)
    assert bundle.card == make_card()
    assert bundle.sha256 == hashlib.sha256(bundle_file.read_bytes()).hexdigest()
    crops = np.zeros((70, SIZE, SIZE, 3), np.uint8)
    crops[:, :, :, 0] = np.arange(70)[:, None, None]
    crops[:, :, :, 1:] = 255
    logits, maps = bundle.score(crops)
    np.testing.assert_allclose(logits, np.arange(70) / 255 - 0.5, atol=1e-6)
    np.testing.assert_allclose(maps.mean((1, 2)), logits, atol=1e-6)
    assert bundle.score(crops[:0])[0].shape == (0,)


def test_without_a_card_the_error_says_how_to_give_it_one(tmp_path: Path) -> None:
    file = tmp_path / "bare.onnx"
    onnx.save(make_graph(), file)
    with pytest.raises(BundleError, match="unmask bundle pack"):
        load_bundle(file)


def test_a_card_with_a_damaged_letter_is_refused(bundle_file: Path) -> None:
    data = bundle_file.read_bytes()
    bundle_file.write_bytes(data.replace(b'"name":"tiny"', b'"name":"t\xffny"'))
    with pytest.raises(BundleError, match="metadata are damaged"):
        load_bundle(bundle_file)
    with pytest.raises(BundleError, match="metadata are damaged"):
        pack(bundle_file, make_card(), bundle_file.with_name("again.onnx"))


def test_a_network_that_looks_at_the_whole_batch_or_gives_no_number_is_refused(tmp_path: Path) -> None:
    model = make_graph()
    squeeze = next(node for node in model.graph.node if node.output[0] == "map")
    squeeze.output[0] = "plain"
    where = list(model.graph.node).index(squeeze) + 1
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "batch"))
    model.graph.node.insert(where, helper.make_node("Sub", ["plain", "mean"], ["map"]))
    model.graph.node.insert(where, helper.make_node("ReduceMean", ["plain", "batch"], ["mean"], keepdims=1))
    with pytest.raises(BundleError, match="alone"):
        pack(model.SerializeToString(), make_card(), tmp_path / "x.onnx")
    broken = make_graph()
    broken.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.float32(np.nan), "half"))
    with pytest.raises(BundleError, match="no finite"):
        pack(broken.SerializeToString(), make_card(), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
def test_damaged_files_are_refused(bundle_file: Path, damage: str) -> None:
    data = bundle_file.read_bytes()
    bundle_file.write_bytes({"empty": b"", "noise": b"\x00\xff" * 99, "cut": data[: len(data) // 2]}[damage])
    with pytest.raises(BundleError):
        load_bundle(bundle_file)


def test_hash_given_or_beside_the_file_is_obeyed(bundle_file: Path) -> None:
    right = hashlib.sha256(bundle_file.read_bytes()).hexdigest()
    load_bundle(bundle_file, sha256=right.upper())
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(bundle_file, sha256="0" * 64)
    beside = bundle_file.with_name(f"{bundle_file.name}.sha256")
    beside.write_text(f"{right}  {bundle_file.name}\n")
    load_bundle(bundle_file)
    beside.write_text("1" * 64)
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(bundle_file)


def test_wrong_shapes_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a bundle takes"):
        pack(make_graph().SerializeToString(), make_card(size=64), tmp_path / "x.onnx")
    with pytest.raises(BundleError, match="a bundle takes"):
        pack(make_graph(output="score").SerializeToString(), make_card(), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_external_tensors_are_refused(tmp_path: Path) -> None:
    model = make_graph()
    (tmp_path / "secret.bin").write_bytes(np.float32(255).tobytes())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    file = tmp_path / "outside.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="other files"):
        load_bundle(file)


def test_external_tensor_inside_a_subgraph_is_refused(tmp_path: Path) -> None:
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    model = make_graph()
    model.graph.node.append(helper.make_node("If", ["cond"], [], then_branch=inner, else_branch=inner))
    file = tmp_path / "outside.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="other files"):
        load_bundle(file)


def test_a_device_that_is_not_there_is_an_error(bundle_file: Path) -> None:
    for device in ("warp", "cuda:x", "rocm"):
        with pytest.raises(DeviceError):
            load_bundle(bundle_file, device=device)


def test_level_for_a_number_of_faces_and_stand_ins() -> None:
    thresholds = Thresholds(likely_real=0.2, likely_fake=0.8)
    levels = [Level(kind="picture", faces=n, shift=-n, thresholds=thresholds) for n in (1, 5, 2)]
    card = make_card().model_copy(update={"levels": [*make_card().levels, *levels]})
    assert [card.level("picture", n).faces for n in (1, 2, 3, 5, 9)] == [1, 2, 5, 5, 5]
    assert card.level("segment").kind == "face"
    assert card.level("clip", 3).kind == "picture"


def test_the_card_in_the_documentation_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    card = Card.model_validate_json(text.partition("```json\n")[2].partition("```")[0])
    out = tmp_path / "mine.onnx"
    pack(make_graph(card.crop.size).SerializeToString(), card, out)
    assert load_bundle(out).card == card


@pytest.mark.parametrize("place", ["sparse attribute", "default of a function"])
def test_tensors_elsewhere_are_found_wherever_the_graph_names_them(place: str) -> None:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    if place == "sparse attribute":
        tensor = model.graph.node.add(op_type="Constant").attribute.add(name="sparse_value").sparse_tensor.values
    else:
        tensor = model.functions.add(name="f").attribute_proto.add(name="v").t
    assert refuse_external_data(model.SerializeToString(), "x.onnx")
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(BundleError, match="other files"):
        refuse_external_data(model.SerializeToString(), "x.onnx")
