"""Fakes made of real pictures: a face blended with an altered copy of itself, or with another's.

A detector that has to tell these from untouched pictures learns the traces that every swap leaves (a seam, two
resolutions, two lights in one face) instead of those of one generator. NumPy and Pillow only, a few milliseconds each.

Sources: Shiohara, Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022 (arXiv 2204.08376); Li et al.,
"Face X-ray for More General Face Forgery Detection", CVPR 2020 (arXiv 1912.13458) for blends of two people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from unmask.data.blend_masks import draw_mask, face_axes
from unmask.faces.types import Box

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]

# Five points in units of the face box: right eye, left eye, nose, right and left corner of the mouth (as the person
# has them, so the right eye is on the left); means over YuNet's boxes and points on LFW.
_MEAN_POINTS = np.array([[0.31, 0.41], [0.69, 0.41], [0.50, 0.59], [0.34, 0.76], [0.66, 0.76]], np.float32)
_LUMA = np.array([0.299, 0.587, 0.114])


def points_from_box(box: Box) -> Points:
    """Five points where a frontal face has them, for boxes that came without."""
    x0, y0, x1, y1 = box
    return np.array([x0, y0], np.float32) + _MEAN_POINTS * np.array([x1 - x0, y1 - y0], np.float32)


def self_blend(image: Picture, landmarks: Points, rng: np.random.Generator) -> Picture:
    """A fake made of one real picture; see :func:`self_blend_masked`."""
    return self_blend_masked(image, landmarks, rng)[0]


def self_blend_masked(image: Picture, landmarks: Points, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Replace a part of the face by an altered copy of itself.

    The copy is moved and scaled by a few percent, passed through the resolution of a swap network, changed in colour,
    light, contrast or sharpness, and blended in by a soft, deformed mask (whole face, inner face, one half, single
    features). In every second picture it is the surroundings that are changed instead.

    Args:
        image: H×W×3 uint8 RGB, the face with its surroundings.
        landmarks: 5×2 pixels of ``image``.
        rng: Source of all chance: the same state gives the same fake.

    Returns:
        The fake (a new array) and the H×W uint8 mask of what was replaced, 255 = wholly.
    """
    region = _region(landmarks, image.shape)
    if region is None:
        return image.copy(), np.zeros(image.shape[:2], np.uint8)
    left, top, right, bottom = region
    here = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    points = landmarks - np.array([left, top], np.float32)
    _, _, across, down = face_axes(points)
    size = float(np.hypot(*across) + np.hypot(*down))
    moved = _moved(points.mean(axis=0), size, rng)
    mask = draw_mask(points, here.size, rng, valid=_inside(moved, here.height, here.width))
    place = mask.getbbox()
    if place is None:
        return image.copy(), np.zeros(image.shape[:2], np.uint8)
    copy = _warp(here, moved, place, _bottleneck(size, here.size, rng, chance=0.6), rng)
    gray = _is_gray(here)
    outside = here.copy()
    if rng.random() < 0.5:
        copy = _recolour(copy, rng, gray)
    else:
        # The change must not end at the region's edge: it fades out towards it.
        outside.paste(_recolour(here, rng, gray), mask=_fade(here.size))
    outside.paste(copy, place, mask.crop(place))
    return _put(image, outside, mask, region)


def cross_blend(
    target: Picture, target_landmarks: Points, donor: Picture, donor_landmarks: Points, rng: np.random.Generator
) -> Picture:
    """A fake made of two real pictures; see :func:`cross_blend_masked`."""
    return cross_blend_masked(target, target_landmarks, donor, donor_landmarks, rng)[0]


def cross_blend_masked(
    target: Picture, target_landmarks: Points, donor: Picture, donor_landmarks: Points, rng: np.random.Generator
) -> tuple[Picture, Picture]:
    """Put the face of one real picture on another.

    The donor is laid on the target by the similarity transform that fits the five points best (Umeyama 1991), brought
    to the target's colours (mean and deviation of each channel in the mask, mostly, not always), passed through the
    resolution of a swap network and blended in softly. Take donors of a like pose: :func:`pose_key`.

    Args:
        target: H×W×3 uint8 RGB.
        target_landmarks: 5×2 pixels of ``target``.
        donor: H'×W'×3 uint8 RGB.
        donor_landmarks: 5×2 pixels of ``donor``.
        rng: Source of all chance.

    Returns:
        The fake (a new array) and the H×W uint8 mask of what was replaced.
    """
    region = _region(target_landmarks, target.shape)
    if region is None:
        return target.copy(), np.zeros(target.shape[:2], np.uint8)
    left, top, right, bottom = region
    here = Image.fromarray(np.ascontiguousarray(target[top:bottom, left:right]))
    points = target_landmarks - np.array([left, top], np.float32)
    to_donor = similarity(points, donor_landmarks)
    if not 1e-2 < float(np.hypot(*to_donor[:, 0])) < 1e2:
        # Points that fell together say nothing about how the faces lie on each other.
        return target.copy(), np.zeros(target.shape[:2], np.uint8)
    _, _, across, down = face_axes(points)
    size = float(np.hypot(*across) + np.hypot(*down))
    mask = draw_mask(points, here.size, rng, valid=_inside(to_donor, *donor.shape[:2]))
    place = mask.getbbox()
    if place is None:
        return target.copy(), np.zeros(target.shape[:2], np.uint8)
    face = _warp(Image.fromarray(donor), to_donor, place, _bottleneck(size, here.size, rng, chance=0.8), rng)
    soft = mask.crop(place)
    face = _match_colours(face, here.crop(place), soft, strength=float(rng.choice([0.5, 0.8, 1.0, 1.0])))
    if rng.random() < 0.3:
        face = _recolour(face, rng, _is_gray(here), force=0.4)
    here.paste(face, place, soft)
    return _put(target, here, mask, region)


def pose_key(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks without place, size and roll: N×10 for N×5×2; the nearer two keys, the liker the two poses.

    The points are centred, turned until the eyes are level and scaled to unit root mean square.
    """
    points = np.asarray(landmarks, np.float32).reshape(-1, 5, 2)
    centred = points - points.mean(axis=1, keepdims=True)
    flat = centred[..., 0] + 1j * centred[..., 1]
    eyes = flat[:, 1] - flat[:, 0]
    flat = flat * np.exp(-1j * np.angle(eyes))[:, None]
    flat = flat / np.maximum(np.sqrt(np.mean(np.abs(flat) ** 2, axis=1, keepdims=True)), 1e-6)
    return np.stack([flat.real, flat.imag], axis=2).reshape(-1, 10).astype(np.float32)


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """2×3 matrix of the similarity transform (turn, scale, shift) from source to target points, least squares.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991; in
    the plane the solution is one complex division.
    """
    a = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    b = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    da, db = a - a.mean(), b - b.mean()
    turn = (np.conj(da) @ db) / max(float(np.sum(np.abs(da) ** 2)), 1e-9)
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _region(landmarks: Points, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """The part of the picture that a blend can touch; None where the face is too small or outside."""
    centre, middle, across, down = face_axes(landmarks)
    del centre
    reach = 2.3 * max(float(np.hypot(*across)), float(np.hypot(*down)))
    left, top = (int(max(0.0, value)) for value in middle - reach)
    right, bottom = int(min(shape[1], middle[0] + reach)), int(min(shape[0], middle[1] + reach))
    return (left, top, right, bottom) if min(right - left, bottom - top) >= 16 else None


def _put(
    image: Picture, blended: Image.Image, mask: Image.Image, region: tuple[int, int, int, int]
) -> tuple[Picture, Picture]:
    left, top, right, bottom = region
    result, where = image.copy(), np.zeros(image.shape[:2], np.uint8)
    result[top:bottom, left:right] = np.asarray(blended)
    where[top:bottom, left:right] = np.asarray(mask)
    return result, where


def _moved(centre: NDArray[np.float32], size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Region -> source: up to 3 % of the face moved, 5 % scaled, 3 degrees turned."""
    turn = rng.uniform(0.95, 1.05) * np.exp(1j * np.deg2rad(rng.uniform(-3, 3)))
    stretch = rng.uniform(0.97, 1.03)
    linear = np.array([[turn.real * stretch, -turn.imag], [turn.imag, turn.real / stretch]])
    shift = rng.uniform(-0.03, 0.03, 2) * size
    return np.hstack([linear, (centre + shift - linear @ centre)[:, None]])


def _bottleneck(size: float, region: tuple[int, int], rng: np.random.Generator, chance: float) -> float:
    """Scale at which the face is seen on its way: that of a swap network of 64 to 256 px, or 1."""
    if rng.random() >= chance:
        return 1.0
    side = rng.choice([64, 96, 112, 128, 128, 160, 192, 256])
    # Networks see about 2 units of the face (eye distance plus eye-to-mouth distance); never below a fifth.
    return float(np.clip(side / (1.6 * size), max(0.2, 16 / min(region)), 1.0))


def _warp(
    image: Image.Image,
    matrix: NDArray[np.float64],
    place: tuple[int, int, int, int],
    scale: float,
    rng: np.random.Generator,
) -> Image.Image:
    """The source seen through ``matrix`` (region -> source pixels) at ``scale``, enlarged again; only ``place`` of it.

    Reducing comes first and with antialiasing, since an affine transform in Pillow looks at four pixels only.
    """
    left, top, right, bottom = place
    size = (right - left, bottom - top)
    matrix = np.hstack([matrix[:, :2], matrix @ np.array([[left], [top], [1.0]])])
    shrink = min(1.0, scale / max(1e-6, float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))))
    if shrink < 0.95:
        corners = np.array([[0, 0, 1], [size[0], 0, 1], [0, size[1], 1], [size[0], size[1], 1]], float) @ matrix.T
        x0, y0 = np.clip(np.floor(corners.min(axis=0)) - 4, 0, None).astype(int)
        x1, y1 = np.minimum(np.ceil(corners.max(axis=0)) + 4, image.size).astype(int)
        if x1 - x0 >= 8 and y1 - y0 >= 8:
            small = (max(4, round((x1 - x0) * shrink)), max(4, round((y1 - y0) * shrink)))
            image = image.resize(small, Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
            ratio = np.array([small[0] / (x1 - x0), small[1] / (y1 - y0)])
            matrix = np.hstack([matrix[:, :2], matrix[:, 2:] - np.array([[x0], [y0]])]) * ratio[:, None]
    # Tools enlarge in either manner, and each leaves its own trace.
    kind = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return image.transform(size, Image.Transform.AFFINE, tuple(matrix.reshape(-1)), kind)


def _inside(matrix: NDArray[np.float64], height: int, width: int) -> list[tuple[float, float]]:
    """The source picture's outline in the region's pixels, a little drawn in."""
    corners = np.array([[2, 2], [width - 3, 2], [width - 3, height - 3], [2, height - 3]], float)
    back = np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T).T
    return [(float(x), float(y)) for x, y in back]


def _is_gray(image: Image.Image) -> bool:
    sample = np.asarray(image.resize((16, 16))).astype(np.int16)
    return int(np.ptp(sample, axis=2).max()) < 6


def _recolour(image: Image.Image, rng: np.random.Generator, gray: bool, force: float | None = None) -> Image.Image:
    """Change colour and light, and sometimes sharpness; mostly by as much as a careful maker would overlook."""
    force = float(rng.choice([0.4, 0.6, 0.8, 1.0])) if force is None else force
    level = np.arange(256.0)[:, None].repeat(3, axis=1)
    light, colour, detail = rng.random(3) < (0.7, 0.5, 0.35)
    if not (light or colour or detail) or (gray and not detail):
        light = True
    if light:
        level = (level - 128) * (1 + force * rng.uniform(-0.2, 0.2)) + 128 + force * rng.uniform(-20, 20)
        level = 255 * np.clip(level / 255, 0, 1) ** np.exp(force * rng.uniform(-0.2, 0.2))
    if not gray and (colour or rng.random() < 0.4):
        level = level + force * rng.uniform(-12, 12, 3)
    image = image.point(np.clip(level.T.reshape(-1), 0, 255).round().astype(int).tolist())
    if colour and not gray:
        image = image.convert(
            "RGB", _hue_and_saturation(force * rng.uniform(-8, 8), 1 + force * rng.uniform(-0.3, 0.3))
        )
    if detail:
        blur = ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.6)))
        soft = image.filter(blur)
        image = soft if rng.random() < 0.5 else Image.blend(soft, image, 1 + force * float(rng.uniform(0.3, 1.0)))
    return image


def _hue_and_saturation(degrees: float, saturation: float) -> tuple[float, ...]:
    """Colour matrix (3×4, for Pillow) that turns hue around the gray axis and scales saturation about the luma."""
    angle = np.deg2rad(degrees)
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * axis
    gray = np.tile(_LUMA, (3, 1))
    matrix = (gray + saturation * (np.eye(3) - gray)) @ turn
    return tuple(np.hstack([matrix, np.zeros((3, 1))]).reshape(-1).tolist())


def _fade(size: tuple[int, int]) -> Image.Image:
    """Full in the middle, nothing at the edge."""
    mask = Image.new("L", (32, 32))
    ImageDraw.Draw(mask).rectangle((5, 5, 26, 26), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(2)).resize(size, Image.Resampling.BICUBIC)


def _match_colours(face: Image.Image, here: Image.Image, mask: Image.Image, strength: float) -> Image.Image:
    """Mean and deviation of each channel in the mask as in the target (Reinhard et al. 2001, in RGB)."""
    side = (48, 48)
    weight = np.asarray(mask.resize(side, Image.Resampling.BOX), np.float32).reshape(-1, 1)
    weight = weight / max(float(weight.sum()), 1.0)
    a, b = (np.asarray(one.resize(side, Image.Resampling.BOX), np.float32).reshape(-1, 3) for one in (face, here))
    mean_a, mean_b = (weight * a).sum(axis=0), (weight * b).sum(axis=0)
    std_a, std_b = (np.sqrt((weight * (c - m) ** 2).sum(axis=0)) for c, m in ((a, mean_a), (b, mean_b)))
    gain = np.clip(std_b / np.maximum(std_a, 1), 0.5, 2.0)
    level = np.arange(256.0)[:, None]
    matched = (level - mean_a) * gain + mean_b
    mixed = np.clip(level + strength * (matched - level), 0, 255)
    return face.point(mixed.T.reshape(-1).round().astype(int).tolist())


__all__ = [
    "cross_blend",
    "cross_blend_masked",
    "points_from_box",
    "pose_key",
    "self_blend",
    "self_blend_masked",
    "similarity",
]
