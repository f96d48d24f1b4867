"""What the benchmark does to pictures, and what it then asks of a detector."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from teach import overlap

Pixels = NDArray[np.uint8]
HERE = Path(__file__).parent


@dataclass
class Case:
    """A picture with what the teacher saw in it, upright and clean.

    Attributes:
        image: RGB.
        rows: Faces N×15: box, teacher's score, points.
        path: Where it comes from.
    """

    image: Image.Image
    rows: NDArray[np.float32]
    path: str


Change = Callable[[Case, np.random.Generator], Case]


def same(case: Case, rng: np.random.Generator) -> Case:  # noqa: ARG001
    """Nothing."""
    return case


def turned(degrees: float) -> Change:
    """Turn counter-clockwise, the picture growing so that nothing is lost, corners black."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        angle = degrees * (1 if rng.random() < 0.5 else -1)
        out = case.image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.array([[c, s], [-s, c]])
        old = np.array([case.image.width, case.image.height]) / 2
        new = np.array([out.width, out.height]) / 2
        rows = case.rows.copy()
        for row in rows:
            a, b = (row[2] - row[0]) / 2, (row[3] - row[1]) / 2
            # The upright box around the turned ellipse that the box holds.
            half = np.array([math.hypot(a * c, b * s), math.hypot(a * s, b * c)])
            centre = turn @ ((row[:2] + row[2:4]) / 2 - old) + new
            row[:4] = np.concatenate([centre - half, centre + half])
            row[5:] = ((row[5:].reshape(5, 2) - old) @ turn.T + new).reshape(-1)
        return Case(out, rows, case.path)

    return change


def darkened(case: Case, rng: np.random.Generator) -> Case:
    """A tenth of the light, the noise of a sensor (2 of 255), rounded."""
    pixels = np.asarray(case.image, np.float32) * 0.1 + rng.normal(0, 2, (case.image.height, case.image.width, 3))
    return Case(Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8)), case.rows, case.path)


def half_covered(case: Case, rng: np.random.Generator) -> Case:
    """One half of every face (upper, lower, left or right) behind a grey, black or white area."""
    image = case.image.copy()
    for x0, y0, x1, y1 in case.rows[:, :4]:
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        halves = [(x0, y0, x1, middle_y), (x0, middle_y, x1, y1), (x0, y0, middle_x, y1), (middle_x, y0, x1, y1)]
        grey = int(rng.choice([0, 90, 160, 255]))
        image.paste((grey, grey, grey), tuple(round(float(v)) for v in halves[rng.integers(4)]))
    return Case(image, case.rows, case.path)


def blurred_and_small(case: Case, rng: np.random.Generator) -> Case:  # noqa: ARG001
    """Reduced so that the largest face is 32 px, and enlarged again: what a zoom leaves."""
    largest = max(1.0, float((case.rows[:, 2:4] - case.rows[:, :2]).max()) if len(case.rows) else 64.0)
    factor = min(1.0, 32 / largest)
    small = case.image.resize(
        (max(8, int(case.image.width * factor)), max(8, int(case.image.height * factor))), Image.Resampling.BILINEAR
    )
    return Case(small.resize(case.image.size, Image.Resampling.BICUBIC), case.rows, case.path)


def fills(side: int) -> Change:
    """The picture cut to its largest face, enlarged to ``side``: the face reaches all four edges."""

    def change(case: Case, rng: np.random.Generator) -> Case:  # noqa: ARG001
        if not len(case.rows):
            return Case(case.image.resize((side, side)), case.rows, case.path)
        box = case.rows[np.argmax((case.rows[:, 2:4] - case.rows[:, :2]).prod(1)), :4]
        centre, half = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) / 2 * 1.02
        half = min(half, case.image.width / 2, case.image.height / 2)
        low = np.clip(centre - half, 0, np.array(case.image.size) - 2 * half)
        area = (float(low[0]), float(low[1]), float(low[0] + 2 * half), float(low[1] + 2 * half))
        image = case.image.resize((side, side), Image.Resampling.BICUBIC, box=area)
        rows = case.rows.copy()
        rows[:, [0, 2, *range(5, 15, 2)]] -= low[0]
        rows[:, [1, 3, *range(6, 15, 2)]] -= low[1]
        rows[:, [*range(4), *range(5, 15)]] *= side / (2 * half)
        return Case(image, rows, case.path)

    return change


@dataclass(frozen=True)
class Condition:
    """One line of the table; ``looks``: at which sizes (long side, border) a detector sees the picture."""

    name: str
    change: Change
    looks: tuple[tuple[int, float], ...]


BOTH = ((640, 0.0), (256, 0.25))
CONDITIONS = [
    Condition("upright", same, BOTH),
    Condition("turned 30°", turned(30), BOTH),
    Condition("turned 60°", turned(60), BOTH),
    Condition("turned 90°", turned(90), BOTH),
    Condition("darkened to a tenth", darkened, BOTH),
    Condition("half covered", half_covered, BOTH),
    Condition("blurred to 32 px", blurred_and_small, BOTH),
    Condition("fills 320 px", fills(320), ((320, 0.0),)),
    Condition("fills 640 px", fills(640), ((640, 0.0),)),
]


def faceless() -> list[Path]:
    """The files of ``faceless.txt`` that lie in installed packages.

    Raises:
        SystemExit: Less than 20 of them are there.
    """
    folders = {"skimage": "data", "sklearn": "datasets/images"}
    out = []
    for line in (HERE / "faceless.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, package = line.split()
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / folders[package] / name
            out += [path] if path.exists() else []
    if len(out) < 20:
        raise SystemExit("The faceless pictures lie in packages: pip install scikit-image scikit-learn")
    return out


def matches(found: NDArray[np.float32], row: NDArray[np.float32], least: float = 0.4) -> NDArray[np.bool_]:
    """Which found faces (N×15) are this one: intersection over union of at least ``least``."""
    return overlap(row[:4], found[:, :4]) >= least
