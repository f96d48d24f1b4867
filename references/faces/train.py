"""Step 3: train the detector. Can be stopped at any time and goes on where it was.

    python references/faces/train.py --data $UNMASK_DATA --labels work/labels.npz --negatives work/negatives/train \
        --yunet face-detection-yunet-n.onnx --out work/run --steps 4000

Every few minutes it writes ``last.pt`` (all that is needed to go on), ``log.csv`` and ``faces.onnx`` (mean weights).
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from loss import Weights, detection_loss, turned_maps
from net import BLOCKS, BRIGHT, FaceNet, Trunk, export, load_yunet, rows_of
from samples import MIRROR, Maker, Sample, load_sources
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from unmask.faces.yunet import gain_for

SHAPES = [((320, 320), 16, 0.56), ((256, 384), 16, 0.07), ((384, 256), 16, 0.07), ((640, 640), 4, 0.3)]
"""Height and width, samples, share of the steps."""
WARMUP = 100
LOSSES = ("obj", "cls", "box", "points", "dense", "dense_points", "total")
"""Columns of ``log.csv`` after step and minutes."""


class Batch(NamedTuple):
    """Samples of one size, and what the teacher is to be asked about them.

    Attributes:
        pixels: B×3×H×W uint8 BGR.
        faces: B×G×15, -1 in the last place of padding.
        clean: B'×3×H×W, some of the pictures before they were spoilt, not yet turned by ``quarters`` and ``mirror``.
        asked: Which ones, B' indices.
        quarters, mirror: How the pictures have been turned since (see :func:`loss.turned_maps`).
    """

    pixels: Tensor
    faces: Tensor
    clean: Tensor
    asked: Tensor
    quarters: int = 0
    mirror: bool = False

    def mirrored(self) -> Batch:
        """The same pictures seen in a mirror: a right eye becomes a left one."""
        width, out = self.pixels.shape[3], self.faces.clone()
        out[..., 0:14:2] = width - self.faces[..., 0:14:2]
        out[..., [0, 2]] = out[..., [2, 0]]
        points = out[..., 4:14].reshape(*self.faces.shape[:2], 5, 2)[:, :, MIRROR]
        out[..., 4:14] = points.reshape(*self.faces.shape[:2], 10)
        return self._replace(pixels=self.pixels.flip(3), faces=out, mirror=True)

    def quarter(self) -> Batch:
        """The same pictures turned by 90° counter-clockwise."""
        width, out = self.pixels.shape[3], self.faces.clone()
        out[..., 0:14:2], out[..., 1:14:2] = self.faces[..., 1:14:2], width - self.faces[..., 0:14:2]
        out[..., [1, 3]] = out[..., [3, 1]]
        return self._replace(pixels=self.pixels.rot90(1, (2, 3)), faces=out, quarters=1)


class Batches(IterableDataset[Batch]):
    """Endless batches; each worker has random numbers of its own, which begin anew when training goes on."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        super().__init__()
        self.args, self.seed = args, seed

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        waiting: list[Batch] = []
        maker = Maker(load_sources(self.args.labels, self.args.data), self.args.negatives, rng)
        while True:
            (height, width), count, _ = SHAPES[rng.choice(len(SHAPES), p=[s[2] for s in SHAPES])]
            batch = collate([maker.sample(width, height) for _ in range(count)])
            yield batch
            # Making a sample costs more than a step with it, so each is used three times, some steps apart.
            waiting.append(batch)
            if len(waiting) > 12:
                yield waiting[6].mirrored()
                older = waiting.pop(0).quarter()
                yield older if rng.random() < 0.5 else older.mirrored()


def collate(samples: list[Sample]) -> Batch:
    """Samples of one size as a batch."""
    most = max(1, *(len(sample.rows) for sample in samples))
    faces = np.full((len(samples), most, 15), -1, np.float32)
    for index, sample in enumerate(samples):
        faces[index, : len(sample.rows)] = sample.rows
    asked = [index for index, sample in enumerate(samples) if sample.clean is not None]
    clean = [sample.clean for sample in samples if sample.clean is not None]
    pixels = tensor([sample.pixels for sample in samples])
    return Batch(
        pixels, torch.from_numpy(faces), tensor(clean) if clean else pixels[:0], torch.tensor(asked, dtype=torch.long)
    )


def tensor(pictures: list[np.ndarray]) -> Tensor:
    """H×W×3 RGB pictures as B×3×H×W BGR."""
    return torch.from_numpy(np.stack([p[:, :, ::-1].transpose(2, 0, 1) for p in pictures]))


def step(net: FaceNet, optimizer: torch.optim.Optimizer, batch: Batch, bf16: bool) -> dict[str, float]:
    """One step of the branch; gives the losses. The trunk is YuNet-n, and so the teacher."""
    height, width = batch.pixels.shape[2:]
    said = None
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        if len(batch.asked):
            said = opinion(net.trunk, batch.clean)
            size = (int(batch.clean.shape[2]), int(batch.clean.shape[3]))
            said = turned_maps([part.float() for part in said], *size, batch.quarters, batch.mirror, MIRROR)
        with torch.no_grad():
            fine, levels = net.trunk.features(brightened(batch.pixels))
        outputs = rows_of(net.branch(fine, levels))
    parts = detection_loss(outputs, batch.faces, height, width, Weights(), said, batch.asked)
    optimizer.zero_grad(set_to_none=True)
    parts["total"].backward()
    torch.nn.utils.clip_grad_norm_(net.branch.parameters(), 20.0)
    optimizer.step()
    return {name: float(value.detach()) for name, value in parts.items()}


@torch.no_grad()
def opinion(trunk: Trunk, pixels: Tensor) -> list[Tensor]:
    """What the trunk alone says of B×3×H×W uint8 pictures, N×cells×16 at each stride."""
    return rows_of(trunk.maps(trunk.features(brightened(pixels))[1]))


def brightened(pixels: Tensor) -> Tensor:
    """B×3×H×W uint8 as the network gets it: float, dark pictures with more light."""
    gains = torch.tensor([gain_for(picture.permute(1, 2, 0).numpy(), BRIGHT) for picture in pixels])
    return (pixels * gains[:, None, None, None]).clamp(max=255).contiguous(memory_format=torch.channels_last)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "labels", "negatives", "yunet", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--start", type=Path, help="last.pt of an earlier run")
    parser.add_argument("--blocks", type=int, nargs=2, default=list(BLOCKS))
    parser.add_argument("--modest", type=float, default=0.0, help="taken from the branch's obj logits in faces.onnx")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--fp32", action="store_true", help="for processors without bfloat16 units")
    return parser.parse_args()


class Run:
    """The state of a training run, which a file can hold.

    Args:
        args: The command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(7)
        self.args, self.number, self.spent = args, 0, 0.0
        self.begin = time.monotonic()
        self.net = FaceNet(args.blocks)
        load_yunet(self.net, args.yunet)
        if args.start:
            earlier = torch.load(args.start, weights_only=True)["mean"]
            own = {name.removeprefix("branch."): value for name, value in earlier.items() if name.startswith("branch.")}
            self.net.branch.load_state_dict(own)
        self.net = self.net.to(memory_format=torch.channels_last).train()
        self.mean = copy.deepcopy(self.net)
        self.optimizer = torch.optim.AdamW(self.net.branch.parameters(), lr=args.rate, weight_decay=1e-4)
        self.last = args.out / "last.pt"
        if self.last.exists():
            state = torch.load(self.last, weights_only=True)
            self.net.load_state_dict(state["net"])
            self.mean.load_state_dict(state["mean"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.number, self.spent = state["number"], state["spent"]

    @property
    def minutes(self) -> float:
        """Trained so far, over all starts."""
        return self.spent + (time.monotonic() - self.begin) / 60

    def step(self, batch: Batch) -> dict[str, float]:
        """One step at the rate of the moment (warm-up, then half a cosine over the steps); gives the losses."""
        wave = (1 + math.cos(math.pi * min(1, self.number / self.args.steps))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.rate * min(1, (self.number + 1) / WARMUP) * (0.02 + 0.98 * wave)
        losses = step(self.net, self.optimizer, batch, not self.args.fp32)
        self.number += 1
        keep = min(0.998, self.number / (self.number + 20))
        with torch.no_grad():
            for ours, theirs in zip(self.mean.branch.parameters(), self.net.branch.parameters(), strict=True):
                ours.lerp_(theirs, 1 - keep)
        return losses

    def save(self) -> None:
        """Write the checkpoint and the network, each whole or not at all."""
        state = {"net": self.net.state_dict(), "mean": self.mean.state_dict(), "optimizer": self.optimizer.state_dict()}
        extra = {"number": self.number, "spent": self.minutes}
        torch.save({**state, **extra}, self.last.with_suffix(".tmp"))
        self.last.with_suffix(".tmp").replace(self.last)
        export(self.mean, self.args.out / "new.onnx", self.args.modest)
        (self.args.out / "new.onnx").replace(self.args.out / "faces.onnx")


def main() -> None:
    """Train for a number of steps, counted over all starts."""
    args = arguments()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    if run.number >= args.steps:
        run.save()  # of a run that has ended: the network once more, say with another --modest
        return
    loader = DataLoader(Batches(args, run.number + 1), batch_size=None, num_workers=args.workers, prefetch_factor=6)
    log = (args.out / "log.csv").open("a")
    sums: dict[str, float] = {}
    counted, saved = 0, time.monotonic()
    for batch in loader:
        for name, value in run.step(batch).items():
            sums[name] = sums.get(name, 0.0) + value
        counted += 1
        if counted == 50:
            text = ",".join(f"{sums.get(k, 0.0) / counted:.4f}" for k in LOSSES)
            print(f"{run.number},{run.minutes:.2f},{text}", file=log, flush=True)
            sums, counted = {}, 0
        ended = run.number >= args.steps
        if ended or time.monotonic() - saved > args.every * 60:
            saved = time.monotonic()
            run.save()
        if ended:
            break


if __name__ == "__main__":
    main()
