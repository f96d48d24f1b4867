"""Where to look for faces, and at what size, with a network that takes one picture of one size at a time.

A network of the YuNet family finds faces from about 24 px to about half of what it looks at. So a picture is looked
at several times, cheapest first, and no longer than needed: whole, at most 640 px; where nothing sure came out or a
face reaches the frame, reduced inside a black border, which makes a face that fills the picture one of middling size;
where only small faces or none came out, in overlapping tiles, first at the middle size of a pyramid, then at full size.
What is not sure after that is looked at again, alone, as it is and upright as its points say, at the size that the
network knows best: a face is one again, the pattern of a leaf or a hand seldom.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.faces.resize import scaled, shrink
from unmask.faces.types import Box, Effort, Face
from unmask.faces.yunet import YuNet


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """Every number of the search; lengths in pixels of what the network sees unless said otherwise.

    Attributes:
        threshold: Least score of a face that is reported.
        candidate: Least score with which a face may come out of a look. Below ``sure`` its score is then the mean of
            that and of the looks at it alone.
        sure: From this score on a face ends the search for larger ones.
        whole: Long side of the look at the whole picture.
        quick: The same for ``quick``.
        padded: Long sides of the reduced looks, border included; a later one only where those before found nothing.
        border: Width of that border over the side of the picture in it.
        fills: A face longer than this share of the picture's long side calls for the padded look.
        small: A face below this side calls for tiles, as none at all does.
        tile: Longest side of a tile.
        overlap: Of neighbouring tiles; a face up to this size is whole in at least one of them.
        most_pixels: Larger pictures are reduced to so many pixels before they are cut into tiles.
        alone: Side of the looks at one face alone; 0 leaves them out.
        around: Side of each of these looks over the face's longer side; ``quick`` takes the first. A face that seems
            turned is looked at as it is and upright, and the better score holds: the points of a profile mislead.
        doubts: Most faces of a picture that are looked at alone, which costs one or two passes for each of ``around``;
            of more, those with the highest scores. For the others their first score stands.
        least: Faces below this side, in pixels of the picture, are dropped.
        longest: Most that one side of a box may be of the other.
    """

    threshold: float = 0.6
    candidate: float = 0.6
    sure: float = 0.8
    whole: int = 640
    quick: int = 448
    padded: tuple[int, ...] = (320, 224)
    border: float = 0.25
    fills: float = 0.8
    small: float = 32.0
    tile: int = 640
    overlap: int = 72
    most_pixels: int = 16_000_000
    alone: int = 0
    around: tuple[float, ...] = (3.0, 2.2)
    doubts: int = 8
    least: float = 20.0
    longest: float = 2.5


DEFAULT = SearchSpec()
_LARGE = 800
_LOWEST = 0.2
_LEVEL = 0.1
"""A face is turned upright from so many radians on."""


def search(
    net: YuNet, image: NDArray[np.uint8], *, effort: Effort = "thorough", spec: SearchSpec = DEFAULT
) -> list[Face]:
    """Find the faces of a picture.

    Args:
        net: The network.
        image: H×W×3 uint8 RGB.
        effort: ``thorough``: all looks that the picture calls for; ``quick``: the whole picture at ``spec.quick``, and
            inside a border where that calls for it; no tiles.
        spec: The numbers of the search.

    Returns:
        Faces in pixels of ``image``, largest first, each at least ``spec.least`` px; boxes may reach beyond it.
    """
    longest = max(image.shape[:2])
    side = spec.whole if effort == "thorough" else spec.quick
    faces = look(net, image, side, spec)
    sure = [face for face in faces if face.score >= spec.sure]
    if not sure or any(_fills(face, image, spec) for face in faces):
        for framed in spec.padded if effort == "thorough" else spec.padded[:1]:
            faces = merge(faces + look_padded(net, image, framed, spec))
            if any(face.score >= spec.threshold for face in faces):
                break
        sure = [face for face in faces if face.score >= spec.sure]
    for finer in pyramid(image.shape[0], image.shape[1], spec) if effort == "thorough" else ():
        # The smallest sure face tells whether there may be faces that were too small to be seen so far.
        if sure and min(face.size for face in sure) / _factor(longest, side) >= spec.small:
            break
        side = finer
        faces = merge(faces + [face for face in look_tiles(net, image, side, spec) if not _is_part(face, faces)])
        sure = [face for face in faces if face.score >= spec.sure]
    return _tidy(settled(net, image, faces, spec, effort), spec)


def look(net: YuNet, image: NDArray[np.uint8], side: int, spec: SearchSpec) -> list[Face]:
    """One pass over the whole picture, reduced to a long side of at most ``side`` (and more than 3/4 of it)."""
    small, factor = _reduced(image, side)
    return [_moved(face, factor, 0, 0) for face in net.find(small, spec.candidate)]


def look_padded(net: YuNet, image: NDArray[np.uint8], side: int, spec: SearchSpec) -> list[Face]:
    """One pass over the whole picture inside a black border, at most ``side`` px long in all."""
    small, factor = _reduced(image, side / (1 + 2 * spec.border))
    height, width = small.shape[:2]
    top, left = round(height * spec.border), round(width * spec.border)
    canvas = np.zeros((height + 2 * top, width + 2 * left, 3), np.uint8)
    canvas[top : top + height, left : left + width] = small
    return [_moved(face, factor, -left, -top) for face in net.find(canvas, spec.candidate)]


def settled(
    net: YuNet, image: NDArray[np.uint8], faces: list[Face], spec: SearchSpec, effort: Effort = "thorough"
) -> list[Face]:
    """The faces that stay once every doubtful one has been looked at alone, with the mean score of all looks."""
    if not spec.alone:
        return [face for face in faces if face.score >= spec.threshold]
    kept = [face for face in faces if face.score >= spec.sure]
    doubtful = sorted((face for face in faces if face.score < spec.sure), key=lambda face: -face.score)
    arounds = spec.around if effort == "thorough" else spec.around[:1]
    for face in doubtful[: spec.doubts]:
        scores = [face.score, *(_best_alone(net, image, face, spec.alone, around) for around in arounds)]
        score = sum(scores) / len(scores)
        if score >= spec.threshold:
            kept.append(replace(face, score=score))
    return kept + [face for face in doubtful[spec.doubts :] if face.score >= spec.threshold]


def _best_alone(net: YuNet, image: NDArray[np.uint8], face: Face, side: int, around: float) -> float:
    turn = face.turn or 0.0
    turns = [0.0, turn] if abs(turn) > _LEVEL else [0.0]
    return max(look_alone(net, image, face.box, side, around, turn) for turn in turns)


def look_alone(net: YuNet, image: NDArray[np.uint8], box: Box, side: int, around: float, turn: float = 0.0) -> float:
    """One pass over the surroundings of a face; see :func:`surroundings`.

    Returns:
        The highest score of a face that is found about there and about as large, 0...1; 0 where none is.
    """
    found = net.find(surroundings(image, box, side, around, turn), _LOWEST)
    return max((face.score for face in found if _is_in_the_middle(face, side / 2, side / around)), default=0.0)


def surroundings(image: NDArray[np.uint8], box: Box, side: int, around: float, turn: float = 0.0) -> NDArray[np.uint8]:
    """Cut out a square with a face in its middle, black where the picture ends.

    Args:
        image: H×W×3 uint8 RGB.
        box: Of the face, in pixels of ``image``.
        side: Of the square that is given back, in pixels.
        around: Side of the square in the picture over the longer side of the face.
        turn: Radians by which the face is turned counter-clockwise, as seen; it is turned back.

    Returns:
        ``side``×``side``×3 uint8 RGB.
    """
    x0, y0, x1, y1 = box
    # What is turned needs its corners.
    wide = math.ceil(side * math.sqrt(2)) if turn else side
    factor = max(x1 - x0, y1 - y0) * around / side
    middle_x, middle_y, half = (x0 + x1) / 2, (y0 + y1) / 2, wide * factor / 2
    height, width = image.shape[:2]
    left, right = max(0, math.floor(middle_x - half)), min(width, math.ceil(middle_x + half))
    top, bottom = max(0, math.floor(middle_y - half)), min(height, math.ceil(middle_y + half))
    canvas = Image.new("RGB", (wide, wide))
    columns, rows = round((right - left) / factor), round((bottom - top) / factor)
    if columns > 0 and rows > 0:
        at = (round((left - middle_x) / factor + wide / 2), round((top - middle_y) / factor + wide / 2))
        canvas.paste(Image.fromarray(scaled(image[top:bottom, left:right], columns, rows)), at)
    if turn:
        canvas = canvas.rotate(-math.degrees(turn), Image.Resampling.BILINEAR)
        edge = (wide - side) // 2
        canvas = canvas.crop((edge, edge, edge + side, edge + side))
    return np.asarray(canvas)


def _is_in_the_middle(face: Face, middle: float, expected: float) -> bool:
    """Whether a face lies within a third of its expected side of the middle, and is about as large."""
    x0, y0, x1, y1 = face.box
    away = math.hypot((x0 + x1) / 2 - middle, (y0 + y1) / 2 - middle)
    return away < expected / 3 and 0.5 < max(x1 - x0, y1 - y0) / expected < 1.8


def pyramid(height: int, width: int, spec: SearchSpec) -> list[int]:
    """Long sides at which to look in tiles, rising, each at most 2.5 times the one before; the last is full size."""
    longest = max(height, width)
    if longest <= spec.whole:
        return []
    full = longest * min(1.0, (spec.most_pixels / (height * width)) ** 0.5)
    steps = max(1, math.ceil(math.log(full / spec.whole) / math.log(2.5) - 1e-9))
    return [round(spec.whole * (full / spec.whole) ** (step / steps)) for step in range(1, steps + 1)]


def look_tiles(net: YuNet, image: NDArray[np.uint8], side: int, spec: SearchSpec) -> list[Face]:
    """Passes over overlapping tiles of the picture reduced to a long side of ``side``."""
    factor = max(1.0, max(image.shape[:2]) / side)
    height, width = (max(1, round(length / factor)) for length in image.shape[:2])
    whole: list[Face] = []
    cut: list[Face] = []
    for top, bottom in cuts(height, spec):
        for left, right in cuts(width, spec):
            # Reduced tile by tile: a reduced copy of a 24-megapixel picture would take 160 MB on its way.
            x, y = round(left * factor), round(top * factor)
            part = image[y : round(bottom * factor), x : round(right * factor)]
            inner = (left > 0, top > 0, right < width, bottom < height)
            for face in net.find(shrink(part, right - left, bottom - top), spec.candidate):
                is_cut = _touches(face, right - left, bottom - top, inner)
                (cut if is_cut else whole).append(_moved(face, factor, left, top))
    # A box that a tile's edge cuts is only worth something where no neighbour has the face whole.
    found = merge(whole)
    return found + [face for face in merge(cut) if all(overlap_of_smaller(face, other) < 0.3 for other in found)]


def cuts(length: int, spec: SearchSpec) -> Iterator[tuple[int, int]]:
    """Cut a length into evenly spread, overlapping pieces of at most ``spec.tile``, as few as possible."""
    if length <= spec.tile:
        yield 0, length
        return
    count = -(-(length - spec.overlap) // (spec.tile - spec.overlap))
    piece = min(-(-(-(-(length - spec.overlap) // count) + spec.overlap) // 32) * 32, spec.tile)
    for index in range(count):
        start = round(index * (length - piece) / (count - 1))
        yield start, start + piece


def merge(faces: list[Face], overlap: float = 0.3, inside: float = 0.7) -> list[Face]:
    """Keep the most certain of every group of faces that are one and the same.

    Two boxes are one face when their intersection over union is above ``overlap``, or when the smaller lies to
    ``inside`` or more in the larger (an eye or a half face that another look took for a face).
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(iou(face, other) <= overlap and overlap_of_smaller(face, other) < inside for other in kept):
            kept.append(face)
    return kept


def _is_part(face: Face, others: list[Face]) -> bool:
    """Whether a face found in a tile is a part of a larger one that is not much less certain: an eye, half a face."""
    return any(
        overlap_of_smaller(face, other) >= 0.7 and _area(other) > 2 * _area(face) and face.score < other.score + 0.2
        for other in others
    )


def iou(one: Face, other: Face) -> float:
    """Intersection over union of two boxes."""
    both = _intersection(one, other)
    return both / (_area(one) + _area(other) - both) if both > 0 else 0.0


def overlap_of_smaller(one: Face, other: Face) -> float:
    """Intersection over the area of the smaller box."""
    both = _intersection(one, other)
    return both / min(_area(one), _area(other)) if both > 0 else 0.0


def _intersection(one: Face, other: Face) -> float:
    a, b = one.box, other.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _factor(longest: int, side: float) -> float:
    """How many pixels of a picture make one when its long side is reduced to at most ``side``."""
    factor = max(1.0, longest / side)
    # Reducing a large picture by a whole number takes a fifth of the time of any other factor.
    whole = math.ceil(factor)
    return whole if longest > _LARGE and longest / whole >= 0.75 * side else factor


def _reduced(image: NDArray[np.uint8], side: float) -> tuple[NDArray[np.uint8], float]:
    factor = _factor(max(image.shape[:2]), side)
    height, width = (max(1, round(length / factor)) for length in image.shape[:2])
    return shrink(image, width, height), factor


def _fills(face: Face, image: NDArray[np.uint8], spec: SearchSpec) -> bool:
    x0, y0, x1, y1 = face.box
    height, width = image.shape[:2]
    side = max(x1 - x0, y1 - y0)
    return bool(side > spec.fills * max(height, width) or side > min(height, width))


def _touches(face: Face, width: int, height: int, inner: tuple[bool, bool, bool, bool]) -> bool:
    x0, y0, x1, y1 = face.box
    near = (x0 < 2, y0 < 2, x1 > width - 2, y1 > height - 2)
    return any(edge and is_near for edge, is_near in zip(inner, near, strict=True))


def _moved(face: Face, factor: float, left: float, top: float) -> Face:
    x0, y0, x1, y1 = face.box
    box = ((x0 + left) * factor, (y0 + top) * factor, (x1 + left) * factor, (y1 + top) * factor)
    points = face.landmarks
    if points is not None:
        points = ((points + np.array([left, top], np.float32)) * np.float32(factor)).astype(np.float32)
    return Face(box, face.score, points)


def _tidy(faces: list[Face], spec: SearchSpec) -> list[Face]:
    kept = []
    for face in faces:
        x0, y0, x1, y1 = face.box
        if face.size >= spec.least and max(x1 - x0, y1 - y0) <= spec.longest * face.size:
            kept.append(face)
    return sorted(kept, key=lambda face: -face.size)
