"""How long a crop takes, against ResNet50 in the same run.

    python references/default/speed.py BUNDLE.onnx --out speed.json

Both networks run in onnxruntime with the same threads on batches of 8 crops: ResNet50 (timm's ``resnet50``, random
weights, for the time does not depend on them) as a float32 graph on float32 crops of 224 px, the bundle on its own
uint8 crops. The two take turns, so that whatever else the machine does falls on both; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from unmask.base.ort import make_session, usable_cpus

BATCH = 8
REFERENCE_SIZE = 224


def reference_graph() -> bytes:
    """ResNet50 as ONNX, float32."""
    import timm
    import torch

    network = timm.create_model("resnet50", pretrained=False).eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crops = torch.zeros(BATCH, 3, REFERENCE_SIZE, REFERENCE_SIZE)
        torch.onnx.export(network, (crops,), buffer, opset_version=17, dynamo=False)
    return buffer.getvalue()


def compare(bundle: Path, *, threads: int | None = None, rounds: int = 30, warmup: int = 3) -> dict[str, Any]:
    """Time both networks in turns.

    Args:
        bundle: An ONNX file with a card or without.
        threads: Threads of each network; default: the processors.
        rounds: Batches of each that count.
        warmup: Batches of each that do not.

    Returns:
        Milliseconds a crop of both (median and range from the first to the third quartile), their ratio, the size of
        the bundle in MB (10^6 bytes).
    """
    rng = np.random.default_rng(0)
    ours = make_session(bundle, device="cpu", threads=threads)
    size = ours.get_inputs()[0].shape[-1]
    theirs = make_session(reference_graph(), device="cpu", threads=threads)
    name = theirs.get_inputs()[0].name
    crops = rng.integers(0, 256, (BATCH, 3, size, size), dtype=np.uint8)
    floats = rng.normal(size=(BATCH, 3, REFERENCE_SIZE, REFERENCE_SIZE)).astype(np.float32)
    spent: dict[str, list[float]] = {"bundle": [], "resnet50": []}
    for number in range(rounds + warmup):
        for who, session, feed in (("bundle", ours, {"crops": crops}), ("resnet50", theirs, {name: floats})):
            started = time.perf_counter()
            session.run(None, feed)
            if number >= warmup:
                spent[who].append((time.perf_counter() - started) * 1000 / BATCH)
    result: dict[str, Any] = {"batch": BATCH, "rounds": rounds, "threads": threads or usable_cpus(), "size_px": size}
    for who, values in spent.items():
        low, middle, high = statistics.quantiles(values, n=4)
        result[who] = {"ms_a_crop": middle, "quartiles": [low, high]}
    result["ratio"] = result["bundle"]["ms_a_crop"] / result["resnet50"]["ms_a_crop"]
    result["size_mb"] = bundle.stat().st_size / 1e6
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, help="Write JSON there; default: print it.")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    text = json.dumps(compare(given.bundle, threads=given.threads, rounds=given.rounds), indent=1)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
