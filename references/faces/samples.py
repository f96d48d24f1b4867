"""Step 3 reads this: pictures made up for training, and where the faces in them are.

A sample is a canvas that is filled with one picture (turned, scaled, cut), with many small or large faces on a
strange background, or with nothing that is a face. Then the light, the lens and the JPEG encoder do their worst.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Array = NDArray[np.float32]
SURE, LIKELY = 0.65, 0.35
"""Teacher's score from which a face is taught; from which one that fills a good part of its picture is."""
WITH_BODIES = {"press", "portraits", "ai-portraits", "web", "ffhq", "synthetic-sdxl"}
"""Sources with more than a face in the picture: hands, badges and cloth are what is taken for faces most often."""
MIRROR = [1, 0, 2, 4, 3]


@dataclass
class Source:
    """A picture with its faces: boxes N×4, points N×5×2 (pixels), sure N (others are neither taught nor denied)."""

    path: Path
    boxes: Array
    points: Array
    sure: NDArray[np.bool_]


@dataclass
class Canvas:
    """What a sample has so far: pixels, and for each face box (4), points (10), taught (1)."""

    image: Image.Image
    rows: list[Array] = field(default_factory=list)
    upright: bool = True
    """Whether the teacher itself can be trusted on it: no face is turned by more than 25°."""


def load_sources(labels: Path, data: Path) -> dict[str, list[Source]]:
    """The teacher's labels by source, pictures without a taught face left out."""
    with np.load(labels) as file:
        paths, names, owner, faces = file["paths"], file["sources"], file["owner"], file["faces"]
    starts = np.searchsorted(owner, np.arange(len(paths) + 1))
    out: dict[str, list[Source]] = {}
    for index, (path, name) in enumerate(zip(paths, names, strict=True)):
        rows = faces[starts[index] : starts[index + 1]]
        if not len(rows):
            continue
        size = (rows[:, 2:4] - rows[:, :2]).min(1)
        # The largest face of a face crop is one, also where dark or turned so far that the teacher doubts it.
        largest = (size == size.max()) & (size > 60)
        sure = (rows[:, 4] >= SURE) | (largest & (rows[:, 4] >= LIKELY))
        if sure.any():
            source = Source(data / str(path), rows[:, :4], rows[:, 5:].reshape(-1, 5, 2), sure)
            out.setdefault(str(name), []).append(source)
    return out


def turned_box(box: Array, points: Array, matrix: Array) -> Array:
    """Box and points (15 numbers less the score) after x' = M·(x, 1); the box bounds the turned ellipse in it."""
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    cos, sin = matrix[0, 0] / scale, matrix[1, 0] / scale
    a, b = (box[2] - box[0]) * scale / 2, (box[3] - box[1]) * scale / 2
    half = np.array([math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)])
    centre = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([centre - half, centre + half, moved.reshape(-1)]).astype(np.float32)


def turn(
    image: Image.Image, scale: float, angle: float, mask: Image.Image | None
) -> tuple[Image.Image, Image.Image, Array]:
    """Scale, then turn by ``angle`` degrees counter-clockwise. Gives pixels, coverage and the 2×3 matrix of points."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    cover = Image.new("L", size, 255) if mask is None else mask.resize(size)
    out = small.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    cover = cover.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    fx, fy = size[0] / image.width, size[1] / image.height
    linear = np.array([[c * fx, s * fy], [-s * fx, c * fy]])
    shift = np.array([out.width / 2, out.height / 2]) - linear @ np.array([image.width / 2, image.height / 2])
    return out, cover, np.concatenate([linear, shift[:, None]], axis=1)


@dataclass
class Sample:
    """One made-up picture.

    Attributes:
        pixels: H×W×3 uint8 RGB, what the network sees.
        rows: Faces N×15: box, points, taught (else neither taught nor denied).
        clean: The same before anything was covered, darkened or encoded, where the teacher can be asked about it.
    """

    pixels: NDArray[np.uint8]
    rows: Array
    clean: NDArray[np.uint8] | None


class Maker:
    """Makes samples. Its randomness is all in ``rng``.

    Args:
        sources: See :func:`load_sources`.
        negatives: Folder of RGBA pictures without faces.
        rng: Random numbers.
    """

    def __init__(self, sources: dict[str, list[Source]], negatives: Path, rng: np.random.Generator) -> None:
        self.sources, self.rng = sources, rng
        self.names = sorted(sources)
        weight = np.array([len(sources[n]) ** 0.5 * (2.5 if n in WITH_BODIES else 1) for n in self.names])
        self.weights = weight / weight.sum()
        files = sorted(negatives.glob("*.png"))
        self.walls = [f for f in files if f.name.startswith("wall")]
        self.stamps = [f for f in files if f.name.startswith("stamp") and len(f.stem) > 14]
        self.letters = [f for f in files if f.name.startswith("stamp") and len(f.stem) <= 14]
        self.decoded: dict[Path, Image.Image] = {}
        self.fonts = [ImageFont.load_default(size) for size in (10, 14, 20, 32, 60)]

    def negative(self, path: Path, mode: str) -> Image.Image:
        """A faceless picture, kept decoded: there are few, and decoding them cost as much as all the rest."""
        if path not in self.decoded:
            with Image.open(path) as file:
                self.decoded[path] = file.convert(mode)
        return self.decoded[path]

    # ---- choices

    def pick(self) -> Source:
        """A training picture; small sources are drawn more often than their size alone would give."""
        name = self.names[self.rng.choice(len(self.names), p=self.weights)]
        return self.sources[name][self.rng.integers(len(self.sources[name]))]

    def angle(self) -> float:
        """Degrees: nearly half upright, most at the angles that people and phones produce, the rest anywhere."""
        kind = self.rng.random()
        if kind < 0.45:
            return float(self.rng.normal(0, 7))
        if kind < 0.85:
            return float(self.rng.choice([-90, -60, -30, 30, 60, 90]) + self.rng.normal(0, 9))
        return float(self.rng.uniform(-180, 180))

    def log_uniform(self, low: float, high: float) -> float:
        """A size between two bounds, every octave as likely as the next."""
        return float(math.exp(self.rng.uniform(math.log(low), math.log(max(high, low * 1.01)))))

    # ---- backgrounds

    def plain(self, width: int, height: int) -> Image.Image:
        """One colour, a gradient, or noise of some grain."""
        kind = self.rng.random()
        colour = self.rng.integers(0, 256, 3) * (self.rng.random() < 0.7)
        if kind < 0.4:
            return Image.new("RGB", (width, height), tuple(int(v) for v in colour))
        grain = int(self.rng.choice([1, 2, 4, 8, 16, 40]))
        noise = self.rng.normal(0, self.log_uniform(4, 90), (max(2, height // grain), max(2, width // grain), 3))
        if self.rng.random() < 0.5:
            noise = noise[:, :, :1].repeat(3, axis=2)
        field_ = Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))
        return field_.resize((width, height), Image.Resampling.BICUBIC)

    def pebbles(self, width: int, height: int) -> Image.Image:
        """Blobs of all sizes upon each other, with rims and spots: gravel, coins, cells, leaves."""
        image = self.plain(width, height)
        draw = ImageDraw.Draw(image)
        base, spread = self.rng.integers(0, 200, 3), int(self.rng.integers(10, 120))
        low = self.log_uniform(5, 0.3 * min(width, height))
        for _ in range(int(self.rng.integers(10, 160))):
            x, y, r = self.rng.uniform(0, width), self.rng.uniform(0, height), self.log_uniform(low, low * 4)
            q = r * self.rng.uniform(0.6, 1.4)
            colour = tuple(int(v) for v in np.clip(base + self.rng.integers(-spread, spread + 1), 0, 255))
            dark = tuple(int(v * 0.6) for v in colour)
            draw.ellipse((x - r, y - q, x + r, y + q), fill=colour, outline=dark, width=int(self.rng.integers(0, 3)))
            for _ in range(int(self.rng.integers(0, 4))):
                u, v, t = (
                    x + self.rng.uniform(-r, r) / 1.6,
                    y + self.rng.uniform(-q, q) / 1.6,
                    r * self.rng.uniform(0.05, 0.3),
                )
                draw.ellipse((u - t, v - t * 0.7, u + t, v + t * 0.7), fill=dark)
        return image.filter(ImageFilter.GaussianBlur(self.rng.uniform(0.3, 2.0)))

    def text(self, width: int, height: int) -> Image.Image:
        """Lines of letters in one or several sizes."""
        dark = self.rng.random() < 0.3
        paper, ink = (self.rng.integers(180, 256, 3), self.rng.integers(0, 90, 3))
        if dark:
            paper, ink = ink, paper
        image = Image.new("RGB", (width, height), tuple(int(v) for v in paper))
        draw = ImageDraw.Draw(image)
        y = 0
        while y < height:
            font = self.fonts[self.rng.integers(len(self.fonts))]
            letters = "".join(
                chr(c) for c in self.rng.choice([*range(97, 123), 32, 32, 32, 48, 56, 46, *range(65, 91)], 90)
            )
            draw.text((self.rng.integers(-20, 40), y), letters, font=font, fill=tuple(int(v) for v in ink))
            y += int(font.size * self.rng.uniform(1.0, 2.2))
        return image

    def wall(self, width: int, height: int) -> Image.Image:
        """A part of a wallpaper."""
        image = self.negative(self.walls[self.rng.integers(len(self.walls))], "RGB")
        zoom = max(width / image.width, height / image.height) * self.log_uniform(1.0, 3.0)
        w, h = min(image.width, width / zoom), min(image.height, height / zoom)
        x, y = self.rng.uniform(0, image.width - w), self.rng.uniform(0, image.height - h)
        out = image.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h), reducing_gap=2.0)
        return out.transpose(Image.Transpose.ROTATE_180) if self.rng.random() < 0.2 else out

    def place_without_face(self, width: int, height: int) -> Image.Image:
        """A part of a training picture in which the teacher saw nothing at all."""
        for _ in range(8):
            source = self.pick()
            with Image.open(source.path) as file:
                w, h = file.size
                side = self.rng.uniform(0.15, 0.5) * min(w, h)
                x, y = self.rng.uniform(0, w - side), self.rng.uniform(0, h - side)
                grow = 0.2 * (source.boxes[:, 2:] - source.boxes[:, :2])
                free = (source.boxes[:, 2] + grow[:, 0] < x) | (source.boxes[:, 0] - grow[:, 0] > x + side)
                free |= (source.boxes[:, 3] + grow[:, 1] < y) | (source.boxes[:, 1] - 2 * grow[:, 1] > y + side)
                if free.all():
                    return file.convert("RGB").resize(
                        (width, height), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side)
                    )
        return self.plain(width, height)

    def background(self, width: int, height: int) -> Image.Image:
        """Anything without a face."""
        kind = self.rng.random()
        for share, make in (
            (0.42, self.wall),
            (0.66, self.place_without_face),
            (0.76, self.pebbles),
            (0.84, self.text),
        ):
            if kind < share:
                return make(width, height)
        return self.plain(width, height)

    # ---- what is put on it

    def put(
        self, canvas: Canvas, source: Source, scale: float, degrees: float, at: tuple[float, float] | None, cut: str
    ) -> bool:
        """Put a picture, or (``cut`` = ``ellipse``, ``rect``) the surroundings of one of its faces, on the canvas.

        ``at`` is where the centre of the chosen face comes, anywhere if None. False: it would cover other faces.
        """
        with Image.open(source.path) as file:
            width = file.width
            if scale < 0.4:  # a JPEG is decoded at half or a quarter of its size where that is enough
                file.draft("RGB", (int(file.width * scale * 2), int(file.height * scale * 2)))
            full = file.convert("RGB")
        shrink = full.width / width
        boxes, points = source.boxes * shrink, source.points * shrink
        scale = scale / shrink
        chosen = int(self.rng.choice(np.flatnonzero(source.sure)))
        region = (0, 0, full.width, full.height)
        mask: Image.Image | None = None
        if cut:
            grow = self.rng.uniform(0.05, 0.6) * (boxes[chosen, 2:] - boxes[chosen, :2])
            low, high = boxes[chosen, :2] - grow, boxes[chosen, 2:] + grow
            region = (
                max(0, int(low[0])),
                max(0, int(low[1])),
                min(full.width, int(high[0])),
                min(full.height, int(high[1])),
            )
            if region[2] - region[0] < 8 or region[3] - region[1] < 8:
                return False
            mask = Image.new("L", (region[2] - region[0], region[3] - region[1]), 0 if cut == "ellipse" else 255)
            if cut == "ellipse":
                ImageDraw.Draw(mask).ellipse((1, 1, mask.width - 2, mask.height - 2), fill=255)
                mask = mask.filter(ImageFilter.GaussianBlur(max(1.0, mask.width * self.rng.uniform(0.01, 0.06))))
        picture = full.crop(region)
        if self.rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mask else None
            boxes, points = boxes.copy(), points[:, MIRROR].copy()
            boxes[:, [0, 2]] = region[0] + region[2] - boxes[:, [2, 0]]
            points[:, :, 0] = region[0] + region[2] - points[:, :, 0]
        canvas.upright &= abs(degrees) < 25
        out, cover, matrix = turn(picture, scale, degrees, mask)
        matrix[:, 2] -= matrix[:, :2] @ np.array(region[:2], float)
        rows = [turned_box(b, p, matrix) for b, p in zip(boxes, points, strict=True)]
        face = rows[chosen]
        width, height = canvas.image.size
        half = np.minimum((face[2:4] - face[:2]) * 0.4, [width / 2, height / 2])
        target = at or (self.rng.uniform(half[0], width - half[0]), self.rng.uniform(half[1], height - half[1]))
        move = np.round(np.array(target) - (face[:2] + face[2:4]) / 2)
        for row in rows:
            row[0::2] += move[0]
            row[1::2] += move[1]
        area = (move[0], move[1], move[0] + out.width, move[1] + out.height)
        if any(meets(area, old[:4]) > 0.15 for old in canvas.rows):
            return False
        canvas.image.paste(out, (int(move[0]), int(move[1])), cover)
        for index, row in enumerate(rows):
            if cut and index != chosen:
                x, y = (boxes[index, :2] + boxes[index, 2:]) / 2
                if not (region[0] < x < region[2] and region[1] < y < region[3]):
                    continue
            seen = meets((0, 0, width, height), row[:4])
            if seen > 0.02:
                big = (row[2:4] - row[:2]).min() >= 8
                canvas.rows.append(np.append(row, float(source.sure[index] and seen > 0.5 and big)))
        return True

    def distract(self, canvas: Canvas, count: int) -> None:
        """Put cut-outs and rectangles of faceless things where no face is: an edge alone must not mean a face."""
        width, height = canvas.image.size
        for _ in range(count):
            if self.rng.random() < 0.75:
                pool = self.letters if self.rng.random() < 0.08 else self.stamps
                thing = self.negative(pool[self.rng.integers(len(pool))], "RGBA")
            else:
                side = int(self.log_uniform(20, 160))
                thing = self.background(side, side).convert("RGBA")
            size = self.log_uniform(24, min(width, height) * 0.9)
            factor = size / max(thing.size)
            thing = thing.resize(
                (max(4, int(thing.width * factor)), max(4, int(thing.height * factor))), reducing_gap=2.0
            )
            thing = thing.rotate(self.angle(), Image.Resampling.BILINEAR, expand=True)
            x, y = int(self.rng.integers(-thing.width // 4, width)), int(self.rng.integers(-thing.height // 4, height))
            if any(meets((x, y, x + thing.width, y + thing.height), row[:4]) > 0.1 for row in canvas.rows):
                continue
            canvas.image.paste(thing, (x, y), thing)

    def cover_half(self, canvas: Canvas, row: Array) -> None:
        """Hide one half (or a little less) of a face behind something."""
        x0, y0, x1, y1 = (float(v) for v in row[:4])
        part, w, h = self.rng.uniform(0.3, 0.55), x1 - x0, y1 - y0
        side = int(self.rng.integers(4))
        hidden = [
            (x0 - w * 0.1, y0 - h * 0.1, x1 + w * 0.1, y0 + h * part),
            (x0 - w * 0.1, y1 - h * part, x1 + w * 0.1, y1 + h * 0.1),
            (x0 - w * 0.1, y0 - h * 0.1, x0 + w * part, y1 + h * 0.1),
            (x1 - w * part, y0 - h * 0.1, x1 + w * 0.1, y1 + h * 0.1),
        ][side]
        left, top, right, bottom = (int(v) for v in hidden)
        size = (max(2, right - left), max(2, bottom - top))
        patch = self.background(*size) if self.rng.random() < 0.5 else self.plain(*size)
        shape = Image.new("L", size, 255)
        if self.rng.random() < 0.3:
            shape = Image.new("L", size, 0)
            ImageDraw.Draw(shape).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=min(size) // 3, fill=255)
        canvas.image.paste(patch, (left, top), shape)

    # ---- samples

    def scene(self, width: int, height: int, low: float, high: float) -> Canvas:
        """One picture, its chosen face ``low`` to ``high`` of the canvas's shorter side."""
        canvas = Canvas(self.plain(width, height) if self.rng.random() < 0.7 else self.background(width, height))
        source = self.pick()
        face = source.boxes[source.sure][0]
        size = self.log_uniform(low, high) * min(width, height)
        self.put(canvas, source, size / max(face[2] - face[0], face[3] - face[1]), self.angle(), None, "")
        return canvas

    def crowd(self, width: int, height: int) -> Canvas:
        """Several faces of all sizes on something faceless."""
        canvas = Canvas(self.background(width, height))
        self.distract(canvas, int(self.rng.integers(0, 3)))
        for _ in range(int(self.rng.integers(2, 9))):
            source = self.pick()
            face = source.boxes[source.sure][0]
            size = self.log_uniform(15, 0.4 * min(width, height))
            kind = str(self.rng.choice(["ellipse", "rect", ""], p=[0.45, 0.3, 0.25]))
            self.put(canvas, source, size / max(face[2] - face[0], face[3] - face[1]), self.angle(), None, kind)
        return canvas

    def nothing(self, width: int, height: int) -> Canvas:
        """No face at all."""
        # One thing alone in the middle of a plain picture is what the look inside a black border shows.
        alone = self.rng.random() < 0.35
        canvas = Canvas(self.plain(width, height) if alone else self.background(width, height))
        self.distract(canvas, 1 if alone else int(self.rng.integers(0, 6)))
        return canvas

    def sample(self, width: int, height: int) -> Sample:
        """A sample of this size."""
        kind, large = self.rng.random(), min(width, height) >= 512
        if kind < 0.45:
            canvas = self.nothing(width, height)
        elif kind < (0.52 if large else 0.6):
            canvas = self.crowd(width, height)
        else:
            fills = large and self.rng.random() < 0.35
            canvas = self.scene(width, height, *((0.75, 1.2) if fills else (0.3, 1.15) if large else (0.09, 1.1)))
        clean = np.asarray(canvas.image.copy()) if canvas.rows and canvas.upright else None
        for row in canvas.rows:
            if row[14] and (row[2:4] - row[:2]).min() > 20 and self.rng.random() < 0.22:
                self.cover_half(canvas, row)
        pixels, least = self.worsen(canvas.image)
        for row in canvas.rows:
            if row[14] and (row[2:4] - row[:2]).min() < least:
                row[14], clean = 0.0, None
        rows = np.stack(canvas.rows).astype(np.float32) if canvas.rows else np.zeros((0, 15), np.float32)
        return Sample(pixels, rows, clean)

    def worsen(self, image: Image.Image) -> tuple[NDArray[np.uint8], float]:
        """Light, colour, blur, size, noise, JPEG; and the side of the least face that is still one after that.

        A blurred spot must not be taught as a face: a network that learns it sees faces in every spot.
        """
        rng, least = self.rng, 15.0
        if rng.random() < 0.12:
            image = image.convert("L").convert("RGB")
        if rng.random() < 0.18:
            sigma = self.log_uniform(0.5, 3.0)
            least = max(least, 10 * sigma)
            image = image.filter(ImageFilter.GaussianBlur(sigma))
        if rng.random() < 0.1:
            small = self.log_uniform(0.35, 0.9)
            least = max(least, 15 / small)
            image = image.resize(
                (int(image.width * small), int(image.height * small)), Image.Resampling.BILINEAR
            ).resize(image.size)
        if rng.random() < 0.3:
            quality = int(rng.integers(15, 96))
            least = max(least, 20.0 if quality < 30 else 0.0)
            image = encoded(image, quality)
        if rng.random() < 0.85:
            dark = rng.random() < 0.3
            gain = self.log_uniform(0.04, 0.4) if dark else self.log_uniform(0.5, 1.6)
            curve = self.log_uniform(0.7, 1.5)
            pixels = np.asarray(image, np.float32)
            tint = rng.normal(1, 0.06, 3).astype(np.float32)
            pixels = (pixels / 255) ** curve * (255 * gain * tint)
            if not dark:
                pixels = (pixels - 128 * gain) * rng.uniform(0.6, 1.2) + 128 * gain + rng.normal(0, 12)
            if rng.random() < (0.7 if dark else 0.2):
                noise = self.log_uniform(0.5, 5 if dark else 14)
                least = max(least, min(64.0, noise / gain))
                pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * noise
            image = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
        if rng.random() < 0.2:
            image = encoded(image, int(rng.integers(30, 96)))
        return np.asarray(image), least


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """Through JPEG and back."""
    memory = io.BytesIO()
    image.save(memory, "JPEG", quality=quality)
    return Image.open(memory).convert("RGB")


def meets(area: tuple[float, ...] | Array, box: Array) -> float:
    """Share of ``box`` that lies in ``area``."""
    w = min(area[2], box[2]) - max(area[0], box[0])
    h = min(area[3], box[3]) - max(area[1], box[1])
    return float(max(w, 0) * max(h, 0) / max((box[2] - box[0]) * (box[3] - box[1]), 1e-6))
