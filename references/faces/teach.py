"""Step 1: what the teacher sees on the training pictures, at several sizes, upright and clean.

    python references/faces/teach.py --data $UNMASK_DATA --yunet face-detection-yunet-n.onnx --out work/labels.npz

Rows of the result: one a face, with the picture's number, box, five points (pixels of the picture) and the score.
Only ``train`` (or, for the benchmark, ``val`` and ``test``) rows of ``splits.csv`` that are still pictures are read.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.faces.yunet import YuNet, suppress

STILL = {".jpg", ".jpeg", ".png", ".webp"}
FLOOR = 0.25
"""Weakest face that is kept: between this and a trainer's own threshold nobody knows, so nothing is taught there."""


@dataclass(frozen=True)
class Row:
    """A still picture of ``splits.csv``."""

    path: str
    label: int
    split: str
    source: str


def still_rows(data: Path, splits: set[str]) -> list[Row]:
    """The still pictures of some splits, in the file's order."""
    with (data / "splits.csv").open(newline="") as file:
        rows = [Row(r["path"], int(r["label"]), r["split"], r["source"]) for r in csv.DictReader(file)]
    return [row for row in rows if row.split in splits and Path(row.path).suffix.lower() in STILL]


def bordered(image: Image.Image, side: int, border: float) -> tuple[NDArray[np.uint8], float, int]:
    """The picture with its long side at ``side`` pixels, ``border`` of it black on each side; its scale and offset."""
    scale = side / max(image.size)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    inner = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    pad = round(side * border)
    return np.pad(inner, ((pad, pad), (pad, pad), (0, 0))), scale, pad


def merged_faces(net: YuNet, image: Image.Image, passes: list[tuple[int, float]]) -> NDArray[np.float32]:
    """Faces of a picture seen at several sizes, N×15: box, score, points. Boxes of one face are averaged by score."""
    found = []
    for side, border in passes:
        pixels, scale, pad = bordered(image, side, border)
        for face in net.find(pixels, threshold=FLOOR, nms=0.4):
            assert face.landmarks is not None
            numbers = np.concatenate([np.asarray(face.box), face.landmarks.reshape(-1)])
            numbers = (numbers - pad) / scale
            found.append(np.concatenate([numbers[:4], [face.score], numbers[4:]]))
    if not found:
        return np.zeros((0, 15), np.float32)
    rows = np.asarray(found, np.float32)
    kept = []
    for index in suppress(rows[:, :4], rows[:, 4], 0.4):
        near = rows[(overlap(rows[index, :4], rows[:, :4]) > 0.5)]
        weight = near[:, 4:5] ** 4
        mean = (near * weight).sum(0) / weight.sum()
        mean[4] = rows[index, 4]
        kept.append(mean)
    return np.asarray(kept, np.float32)


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with N boxes."""
    corner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inter = np.prod(np.clip(corner, 0, None), axis=1)
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    own = float(np.prod(box[2:] - box[:2]))
    return inter / np.maximum(own + area - inter, 1e-6)


def passes_for(size: tuple[int, int]) -> list[tuple[int, float]]:
    """Sizes (long side, border) at which the teacher looks: bordered small ones, and full size for large pictures."""
    passes = [(320, 0.0), (256, 0.25)]
    if max(size) > 400:
        passes.append((640, 0.0))
    return passes


def main() -> None:
    """Write the labels of the chosen splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", action="append", help="default: train")
    args = parser.parse_args()
    rows = still_rows(args.data, set(args.split or ["train"]))
    net = YuNet(args.yunet, threads=1)
    begin, faces, owner = time.perf_counter(), [], []
    for number, row in enumerate(rows):
        with Image.open(args.data / row.path) as file:
            image = file.convert("RGB")
        seen = merged_faces(net, image, passes_for(image.size))
        faces.append(seen)
        owner += [number] * len(seen)
        if number % 1000 == 999:
            print(f"{number + 1} of {len(rows)} pictures, {time.perf_counter() - begin:.0f} s", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.out,
        paths=np.asarray([row.path for row in rows]),
        sources=np.asarray([row.source for row in rows]),
        owner=np.asarray(owner, np.int32),
        faces=np.concatenate(faces),
    )
    strong = sum(bool((f[:, 4] >= 0.6).any()) for f in faces)
    print(f"{len(rows)} pictures, {strong} with a face of at least 0.6, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
