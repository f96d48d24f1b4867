"""A bundle: one ONNX file that is a whole detector. Load, verify, run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from unmask.base.errors import BundleError, UsageError
from unmask.base.files import parse_sha256
from unmask.base.ort import make_session, resolve_device
from unmask.model.card import METADATA_KEY, Card
from unmask.model.packaged import DEFAULT_SHA256, default_bundle

_BATCH = 32
_COLLAPSED = re.compile(r"(https?|hf):[/\\][^/\\]")


class Bundle:
    """A loaded detector. Safe to use from several threads.

    Attributes:
        path: Where it was read from.
        card: What the bundle says of itself.
        sha256: Of the file.
        provider: The device that runs it, e.g. ``cpu``.
    """

    def __init__(self, data: bytes, *, path: str, device: str = "auto", threads: int | None = None) -> None:
        self.path = path
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.provider = resolve_device(device)[0]
        try:
            self._session: Any = make_session(data, device=device, threads=threads)
        except BundleError as error:
            raise BundleError(error.message, hint="The file is not a readable ONNX model", path=path) from error
        self.card = _read_card(self._session.get_modelmeta().custom_metadata_map, path)
        self._check_shape(path)

    def _check_shape(self, path: str) -> None:
        inputs, outputs = self._session.get_inputs(), {o.name for o in self._session.get_outputs()}
        size = self.card.crop.size
        right = (
            len(inputs) == 1
            and inputs[0].name == "crops"
            and inputs[0].type == "tensor(uint8)"
            and list(inputs[0].shape[1:]) == [3, size, size]
            and {"logit", "map"} <= outputs
        )
        if not right:
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise BundleError(
                f"the graph takes ({found}) and gives ({', '.join(sorted(outputs))}); "
                f"a bundle takes crops tensor(uint8) [N, 3, {size}, {size}] and gives logit and map",
                hint="See `unmask bundle pack --help`",
                path=path,
            )

    def score(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Args:
            crops: N×S×S×3 uint8 RGB, made by :func:`unmask.faces.crop.crop_face` with ``card.crop``.

        Returns:
            Logits (N,) and evidence maps (N, h, w), both float32, above 0 for fake, not calibrated.
        """
        if not len(crops):
            return np.zeros(0, np.float32), np.zeros((0, 1, 1), np.float32)
        logits, maps = [], []
        for start in range(0, len(crops), _BATCH):
            batch = np.ascontiguousarray(crops[start : start + _BATCH].transpose(0, 3, 1, 2))
            logit, evidence = self._session.run(["logit", "map"], {"crops": batch})
            logits.append(logit.reshape(-1))
            maps.append(evidence)
        return np.concatenate(logits), np.concatenate(maps)

    def check(self) -> None:
        """Run the network on black, white and noise, and see that it answers as a bundle must.

        Raises:
            BundleError: It fails, gives no finite numbers or other shapes, or judges a crop by those beside it.
        """
        size = self.card.crop.size
        crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
        crops[0], crops[1] = 0, 255
        try:
            logits, maps = self.score(crops)
            alone = np.concatenate([self.score(crops[i : i + 1])[0] for i in range(3)])
        except Exception as error:  # onnxruntime has no base class of its own for errors at run time
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise BundleError(f"the network fails on a batch of three: {reason}", path=self.path) from error
        if logits.shape != (3,) or maps.ndim != 3 or len(maps) != 3:
            raise BundleError(f"three crops gave logit {logits.shape} and map {maps.shape}", path=self.path)
        if not (np.isfinite(logits).all() and np.isfinite(maps).all()):
            raise BundleError("plain crops give no finite scores", path=self.path)
        # Quantised networks may differ a little; one exported in training mode differs by far more.
        if (np.abs(alone - logits) > 0.05 * np.maximum(1.0, np.abs(alone))).any():
            raise BundleError(
                f"crops that score {np.round(alone, 3)} alone score {np.round(logits, 3)} together",
                hint="Export the network in evaluation mode",
                path=self.path,
            )


def _read_card(metadata: dict[str, str], path: str) -> Card:
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise BundleError(
            "this ONNX file has no card, so its crop, its calibration and its thresholds are unknown",
            hint=f"Give it one: unmask bundle pack {path} --card FILE",
            path=path,
        )
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"the card is not valid: {where}: {first['msg']}", hint="Pack the model again with a valid card", path=path
        ) from error


IN_RUN = "bundle.onnx"
"""What the bundle in a run folder of `unmask train` is called."""


def of_folder(path: Path) -> Path:
    """The bundle in a run folder; any other path as it is.

    Raises:
        BundleError: A folder without a bundle.
    """
    if not path.is_dir():
        return path
    if not (path / IN_RUN).is_file():
        raise BundleError(
            f"is a folder without a {IN_RUN}",
            hint="Give a model file, or the folder of a run of `unmask train` that has come to its end",
            path=str(path),
        )
    return path / IN_RUN


def load_bundle(
    path: Path | str | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    sha256: str | None = None,
) -> Bundle:
    """Load the packaged bundle, or another one.

    Args:
        path: An ONNX file with a card, a run folder that holds one, or the address of one as text (see
            :func:`unmask.model.fetch.locate`); None for the packaged one.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ...
        threads: Threads within an operator.
        sha256: The hash that the file must have, in hex. Without it a file ``PATH.sha256`` beside the bundle is
            obeyed where there is one; the packaged bundle is held against a constant in the code.

    Raises:
        BundleError: Missing, damaged, without a card, with tensors outside the file, or of another hash.
        DeviceError: The device asked for is not there.
        UsageError: The address or the hash is not one.
        DownloadError: It cannot be fetched.
    """
    if isinstance(path, str) and "://" in path:
        from unmask.model.fetch import locate  # the HTTP stack is not loaded for a file

        file, wanted = locate(path, sha256)
    else:
        file = of_folder(Path(path)) if path is not None else default_bundle()
        wanted = parse_sha256(sha256) if sha256 is not None else None
    try:
        data = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        # Path() makes https:/ of https://.
        hint = "Give an address as text, not as a Path" if _COLLAPSED.match(str(path)) else "Check --model"
        raise BundleError(f"cannot read the model: {reason}", hint=hint, path=str(file)) from error
    wanted = wanted or (DEFAULT_SHA256 if path is None else _sidecar(file))
    if wanted and hashlib.sha256(data).hexdigest() != wanted:
        raise BundleError(
            "the file does not have the SHA-256 that was promised",
            hint="It is damaged or was changed: get it again, or correct the hash",
            path=str(file),
        )
    if path is not None:
        refuse_external_data(data, str(file))
    return Bundle(data, path=str(file), device=device, threads=threads)


def _sidecar(file: Path) -> str | None:
    beside = file.with_name(f"{file.name}.sha256")
    if not beside.is_file():
        return None
    words = beside.read_text(encoding="utf-8", errors="replace").split()
    try:
        return parse_sha256(words[0] if words else "")
    except UsageError as error:
        raise BundleError(
            "this file beside the model holds no SHA-256", hint="Correct or remove it", path=str(beside)
        ) from error


def refuse_external_data(data: bytes, path: str) -> Any:
    """Parse a graph; refuse one whose tensors lie in other files, for such a reference can name any file.

    Returns:
        The ``onnx.ModelProto``.

    Raises:
        BundleError: Not ONNX, or with external data.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise BundleError("this is not an ONNX file", hint="Check --model", path=path) from error
    try:
        for entry in model.metadata_props:
            # protobuf gives bytes, or lone surrogates, for what is no UTF-8; onnxruntime breaks down on it.
            for text in (entry.key, entry.value):
                _ = text.encode() if isinstance(text, str) else text.decode()
    except UnicodeError as error:
        raise BundleError("its metadata are damaged", hint="Get the file again", path=path) from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise BundleError("its tensors lie in other files", hint="Save it again as one file", path=path)
    return model


def _tensors(model: Any) -> list[Any]:
    """Every tensor of a model: initialisers and attributes, subgraphs and functions included."""
    found: list[Any] = []
    nodes: list[Any] = [node for function in model.functions for node in function.node]
    attributes: list[Any] = [default for function in model.functions for default in function.attribute_proto]
    graphs = [model.graph]
    while graphs or nodes or attributes:
        sparse: list[Any] = []
        if graphs:
            graph = graphs.pop()
            found.extend(graph.initializer)
            sparse.extend(graph.sparse_initializer)
            nodes.extend(graph.node)
        elif nodes:
            attributes.extend(nodes.pop().attribute)
        else:
            attribute = attributes.pop()
            found.extend((attribute.t, *attribute.tensors))
            sparse.extend((attribute.sparse_tensor, *attribute.sparse_tensors))
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs.extend(attribute.graphs)
        for tensor in sparse:
            found.extend((tensor.values, tensor.indices))
    return found


def pack(graph: Path | bytes, card: Card, out: Path) -> str:
    """Write a bundle: the graph with the card in its metadata, loaded once to prove that it works.

    Args:
        graph: An ONNX file or its bytes, with the inputs and outputs of a bundle; an old card is replaced.
        card: The card.
        out: Where to write; whole or not at all.

    Returns:
        SHA-256 of the bundle.

    Raises:
        BundleError: The graph is not one that a bundle can hold.
    """
    from unmask.base.files import write_bytes

    name = str(graph) if isinstance(graph, Path) else str(out)
    model = refuse_external_data(graph.read_bytes() if isinstance(graph, Path) else graph, name)
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != METADATA_KEY}
    kept[METADATA_KEY] = json.dumps(card.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    del model.metadata_props[:]
    for key, value in kept.items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    bundle = Bundle(data, path=name, device="cpu", threads=1)
    bundle.check()
    write_bytes(out, data)
    return bundle.sha256
