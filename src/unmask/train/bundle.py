"""From a trained graph to a bundle: calibration and thresholds from the validation rows, and the card."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import unmask
from unmask.base.errors import BundleError
from unmask.base.files import replacing, write_bytes
from unmask.base.ort import make_session
from unmask.data.manifest import Manifest
from unmask.evaluate.calibrate import calibrate, with_calibration
from unmask.evaluate.predict import predict
from unmask.model import Card, TrainingSet, load_bundle, pack
from unmask.train.compress import HELD_CROPS, Held, compress, crops_of, hold, require
from unmask.train.network_recipe import HeadRecipe, NetworkRecipe
from unmask.train.recipe import Recipe
from unmask.train.weights import record_of

TERMS_UNKNOWN = "not stated; see the data set"


def make_bundle(
    graph: Path, manifest: Manifest, recipe: Recipe, out: Path, say: Callable[[str], None] = lambda _: None
) -> str:
    """Calibrate a graph on the validation rows and pack it with its card, stored as ``recipe.export`` says.

    A file of half precision or of 8-bit integers is held against the full one on validation crops, and the difference
    is told; one that loses too much is not kept: the bundle then holds 32-bit floats. Crops are too few to judge by
    where a single pair of a real and a fake that change places already is more than may be lost: that is said.

    Args:
        graph: Of :func:`unmask.train.export.export_onnx`, as trained.
        manifest: The run's data; test rows are not touched.
        recipe: The run's recipe.
        out: The bundle.
        say: Takes lines for the user.

    Returns:
        SHA-256 of the bundle.

    Raises:
        DataError: The scores do not rise from real to fake on the validation rows: nothing has been learnt.
    """
    if recipe.export == "fp32":
        return _pack(graph, manifest, recipe, out)
    with TemporaryDirectory() as folder:
        small, candidate = Path(folder) / "small.onnx", Path(folder) / "candidate.onnx"
        try:
            compress(graph, small, recipe.export, manifest, recipe.crop)
            _pack(small, manifest, recipe, candidate)
            held = hold_bundle(candidate, graph, manifest)
            require(held, recipe.export)
        except BundleError as error:
            say(f"the bundle holds 32-bit floats: {error.message}")
            return _pack(graph, manifest, recipe, out)
        few = "" if held.can_judge(recipe.export) else " (too few to find a small loss)"
        say(f"bundle as {recipe.export}: {held}{few}")
        data = candidate.read_bytes()
    write_bytes(out, data)
    return hashlib.sha256(data).hexdigest()


def hold_bundle(bundle: Path, full: Path, manifest: Manifest) -> Held:
    """Hold a bundle against a graph of the same network in full precision, on validation crops."""
    loaded = load_bundle(bundle, device="cpu")
    crops, labels = crops_of(manifest.select("val", with_face=True), loaded.card.crop, HELD_CROPS)
    batches = range(0, len(crops), 32)
    session = make_session(full, device="cpu")
    wanted = [
        session.run(["logit"], {"crops": np.ascontiguousarray(crops[i : i + 32].transpose(0, 3, 1, 2))})[0].reshape(-1)
        for i in batches
    ]
    return hold(np.concatenate(wanted), loaded.score(crops)[0], labels, loaded.card.level("face"))


def _pack(graph: Path, manifest: Manifest, recipe: Recipe, out: Path) -> str:
    placeholder = {"kind": "face", "thresholds": {"likely_real": 0.5, "likely_fake": 0.5}, "fitted_on": "nothing"}
    card = Card.model_validate(
        {
            "name": recipe.name,
            "version": "1",
            "architecture": architecture(recipe),
            "crop": recipe.crop,
            "levels": [placeholder],
            "training": training_sets(manifest),
            "code_version": unmask.__version__,
            "machine": platform.machine(),
            "created": datetime.now(UTC).date().isoformat(),
        }
    )
    with replacing(out) as provisional:
        pack(graph, card, provisional)
        found = calibrate(predict(load_bundle(provisional, device="cpu"), manifest, "val"))
        sources = ", ".join(sorted(set(manifest.select("val").table["source"].to_list())))
        return pack(graph, with_calibration(card, found, domain=f"faces like those of {sources}"), provisional)


def architecture(recipe: Recipe) -> str:
    """The network in words, for the card, with the terms of its start weights."""
    return f"{in_words(recipe.network)}{_start(recipe.network)}"


_POOLS = {
    "avg": "average pooling",
    "flatten": "flattened",
    "covariance": "covariance pooling",
    "root-covariance": "pooling by the root of the covariance",
}


def in_words(network: NetworkRecipe) -> str:
    """Backbone, head and evidence map."""
    if network.two_maps:
        return f"{network.backbone}; evidence maps at stride 16 and 32, added; logit = mean of the map + bias"
    if network.module is not None:
        return f"{network.module}, a network of the user's own; {_map_of(network)}"
    head = network.head or HeadRecipe()
    widths = "-".join(map(str, [*head.dense, len(head.kinds) or head.outputs]))
    body = f"plain CNN {'-'.join(map(str, network.cnn.widths))}" if network.cnn else network.backbone
    upto = f" up to stride {network.stride}" if network.stride else ""
    kinds = ", a unit for each kind of face" if head.kinds else ""
    map_is = "HiResCAM" if head.dense or head.kinds else "class-activation map"
    if head.pool.endswith("covariance"):
        map_is = "local covariance"
    return f"{body}{upto}; {_POOLS[head.pool]}; dense {widths}{kinds}; evidence map: {map_is}"


def _start(network: NetworkRecipe) -> str:
    if network.weights != "imagenet":
        return "; from random weights" if network.weights == "none" else "; started from weights of a file"
    record = record_of(network.backbone)
    return f"; started from {record.note} ({record.terms})"


def _map_of(network: NetworkRecipe) -> str:
    return f"evidence map: HiResCAM of {network.map_layer}" if network.map_layer else "evidence map: its own, if any"


def training_sets(manifest: Manifest) -> list[TrainingSet]:
    """The sources of the training rows, with their numbers of faces."""
    rows = manifest.select("train", with_face=True).table
    counts = rows.group_by("source").agg(
        (pl.col("label") == 0).sum().alias("real"), pl.col("label").sum().alias("fake")
    )
    return [
        TrainingSet(name=source, real=real, fake=fake, terms=TERMS_UNKNOWN)
        for source, real, fake in counts.sort("source").iter_rows()
    ]
