"""Calibration of a bundle: the levels of its card, fitted on validation predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from unmask.analysis.segments import windows
from unmask.base.errors import DataError
from unmask.evaluate.metrics import balance, expected_calibration_error
from unmask.evaluate.platt import fit_platt, fit_shift, sigmoid
from unmask.evaluate.thresholds import STRENGTH, Choice, Limits, Sample, likely_fake, likely_real, settle
from unmask.model import Card, Level, Thresholds
from unmask.model.card import LevelKind

Array = NDArray[np.float64]

PICTURE_FACES = (1, 2, 3, 5, 10, 20)
CLIP_TRACKS = (1, 2, 3, 5)
MIN_CLIPS = 100
"""Fewer clips of a class than this fit no level of their own: one false alarm in fifty would be half a clip."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Result of :func:`calibrate`.

    Attributes:
        levels: For a card.
        report: What was found on the data it was fitted on, for the model card: plain values for JSON.
    """

    levels: list[Level]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Fit:
    """Scale, shift and expected calibration error."""

    scale: float
    shift: float
    ece: float


def calibrate(predictions: pl.DataFrame, limits: Limits | None = None) -> Calibration:
    """Fit every level of a card.

    ``face``: Platt scaling on the faces of the pictures and frames, a file weighing 1 however many frames it has.

    ``picture`` with n faces: the highest of n logits, n independent reals against one fake among n - 1 reals. Its
    distribution follows exactly from that of single faces (order statistics), so nothing is drawn at random. Faces of
    one picture are more alike than faces of different pictures, which makes these thresholds careful ones.

    ``track``, ``segment`` and ``clip``: from clips where there are :data:`MIN_CLIPS` of each class; else the levels of
    single faces with half of the permitted errors, moved apart where the few clips there are ask for it.

    Args:
        predictions: Of :func:`unmask.evaluate.predict.predict` on validation rows.
        limits: See :class:`unmask.evaluate.thresholds.Limits`.

    Raises:
        DataError: A class is missing, or the scores do not rise from real to fake.
    """
    limits = limits or Limits()
    reals, fakes = samples(predictions)
    clips = _clip_samples(predictions)
    fitted = f"{_n(reals.files)} real and {_n(fakes.files)} fake validation files"
    levels = [_highest("face", reals, fakes, 1, limits, fitted)]
    levels += [_highest("picture", reals, fakes, n, limits, fitted) for n in PICTURE_FACES]
    levels += _moving(reals, fakes, clips, limits, fitted)
    return Calibration(levels, _report(reals, fakes, clips, levels[0], limits))


def samples(predictions: pl.DataFrame) -> tuple[Sample, Sample]:
    """Reals by source and fakes by method and source: rows with a face; the frames of a clip weigh 1 together.

    Raises:
        DataError: A class has no row with a face.
    """
    seen = predictions.filter(pl.col("logit").is_not_null()).with_columns(
        pl.when(pl.col("clip").is_null()).then(1.0).otherwise(1.0 / pl.len().over("root", "clip")).alias("weight")
    )
    result = []
    for label, kind in ((0, pl.col("source")), (1, pl.format("{} ({})", "method", "source"))):
        part = seen.filter(pl.col("label") == label).with_columns(kind.alias("kind"))
        if not part.height:
            raise DataError(
                f"no {'fake' if label else 'real'} row with a face to calibrate on",
                hint="See the counts with: unmask data show MANIFEST",
            )
        result.append(Sample(part["logit"].to_numpy(), part["weight"].to_numpy(), part["kind"].to_numpy().astype(str)))
    return result[0], result[1]


@dataclass(frozen=True, slots=True)
class _Clips:
    """Validation clips: mean logits of the reals and fakes, and the highest second of each real."""

    reals: Sample
    fakes: Sample
    seconds: Sample

    @property
    def enough(self) -> bool:
        return min(self.reals.files, self.fakes.files) >= MIN_CLIPS

    def __str__(self) -> str:
        return f"{_n(self.reals.files)} real and {_n(self.fakes.files)} fake validation clips"


def _clip_samples(predictions: pl.DataFrame) -> _Clips:
    frames = predictions.filter(pl.col("clip").is_not_null() & pl.col("logit").is_not_null()).sort("clip", "time_s")
    rows = []
    for part in frames.partition_by("root", "clip", maintain_order=True):
        first, z = part.row(0, named=True), part["logit"].to_numpy()
        kind = f"{first['method']} ({first['source']})" if first["label"] else first["source"]
        rows.append((first["label"], kind, float(z.mean()), highest_second(part["time_s"].to_numpy(), z)))

    def column(label: int, place: int) -> Sample:
        chosen = [row for row in rows if row[0] == label]
        logit = np.array([row[place] for row in chosen], np.float64)
        return Sample(logit, np.ones(len(chosen)), np.array([row[1] for row in chosen], dtype=str))

    return _Clips(column(0, 2), column(1, 2), column(0, 3))


def highest_second(times: Array, logits: Array) -> float:
    """The highest mean logit over a second (at least two samples), as faked stretches are looked for."""
    return float(max((logits[first:last].mean() for first, last in windows(times)), default=logits.mean()))


def _highest(
    kind: LevelKind, reals: Sample, fakes: Sample, faces: int, limits: Limits, fitted: str, note: str = ""
) -> Level:
    """A level for the highest of ``faces`` logits."""
    fit = _fit_highest(reals, fakes, faces)
    high = likely_fake(reals, limits, faces)
    low = likely_real(fakes, limits, reals, faces)
    what = fitted if faces == 1 else f"{fitted}: the highest of {faces} independent faces"
    return _level(kind, faces, fit, low, high, f"{what}{note}")


def _level(kind: LevelKind, faces: int, fit: _Fit, low: Choice, high: Choice, fitted: str) -> Level:
    real, fake, crossed = settle(low.logit, high.logit)
    words = [fitted, f"likely_fake bound by: {high.bound_by}", *high.notes, f"likely_real bound by: {low.bound_by}"]
    if crossed:
        words.append("the two thresholds crossed, so the band between them is empty")
    at = sigmoid(np.array([real, fake]) * fit.scale + fit.shift)
    return Level(
        kind=kind,
        faces=faces,
        scale=fit.scale,
        shift=fit.shift,
        thresholds=Thresholds(likely_real=float(at[0]), likely_fake=float(at[1])),
        fitted_on="; ".join(words),
        ece=fit.ece,
    )


def _fit_highest(reals: Sample, fakes: Sample, faces: int) -> _Fit:
    """Platt scaling on the exact distribution of the highest of ``faces`` logits.

    Where the highest logit of all is a real one, the highest of many reals lies above the highest of as many with a
    fake among them: no rising scale fits, though single faces are told apart. There the scale of single faces stands.
    """
    z, real, fake = order_statistics(reals, fakes, faces)
    logit = np.concatenate([z, z])
    truth = np.repeat([False, True], len(z))
    weights = np.concatenate([real, fake])
    rows = weights > 0
    logit, truth, weights = logit[rows], truth[rows], weights[rows]
    try:
        scale, shift = fit_platt(truth, logit, weights)
    except DataError:
        if faces == 1:
            raise
        scale, shift = fit_shift(truth, logit, weights, _fit_highest(reals, fakes, 1).scale)
    even = balance(truth, weights[None])
    ece = expected_calibration_error(truth, sigmoid(scale * logit + shift), even)
    return _Fit(scale, shift, float(ece[0]))


def order_statistics(reals: Sample, fakes: Sample, faces: int) -> tuple[Array, Array, Array]:
    """Distribution of the highest logit of a picture with ``faces`` independent faces.

    Returns:
        The distinct logits, rising; at each the weight of pictures with real faces only, whose highest is a draw of
        F_real(z)^n, and of pictures with one fake, F_fake(z) F_real(z)^(n-1). The weights sum to the number of
        pictures that the faces at hand would make: n real faces make one.
    """
    z = np.unique(np.concatenate([reals.logit, fakes.logit]))

    def cumulated(sample: Sample) -> Array:
        mass = np.bincount(np.searchsorted(z, sample.logit), sample.weight, len(z))
        total: Array = np.cumsum(mass) / sample.files
        return np.clip(total, 0, 1)

    real, fake = cumulated(reals), cumulated(fakes)
    only_real = np.diff(real**faces, prepend=0) * max(1.0, reals.files / faces)
    one_fake = np.diff(fake * real ** (faces - 1), prepend=0) * fakes.files
    return z, np.clip(only_real, 0, None), np.clip(one_fake, 0, None)


def _moving(reals: Sample, fakes: Sample, clips: _Clips, limits: Limits, fitted: str) -> list[Level]:
    """Levels ``track``, ``segment`` and ``clip``."""
    if clips.enough:
        own = f"{clips}: mean logit over the frames"
        track = _highest("track", clips.reals, clips.fakes, 1, limits, own)
        second = likely_fake(clips.seconds, limits)
        segment = _raised(track, "segment", second.logit, f"{clips}: highest second of each real clip")
        more = [_highest("clip", clips.reals, clips.fakes, n, limits, own) for n in CLIP_TRACKS]
        return [track, segment, *more]
    half = replace(limits, target_fpr=limits.target_fpr / 2, target_miss=limits.target_miss / 2)
    note = (
        f" (single faces with half of the permitted errors, and held against {clips}, too few to fit a level on: "
        "no more of them beyond a threshold than a posterior with the faces as prior allows)"
    )
    fit = _fit_highest(reals, fakes, 1)
    low = likely_real(fakes, half)
    low = replace(low, logit=min(low.logit, -_few(-clips.fakes.logit, limits.target_miss, 2 * limits.target_miss)))
    levels = []
    kind: LevelKind
    for kind, observed in (("track", clips.reals), ("segment", clips.seconds)):
        high = _above(likely_fake(reals, half), observed, limits)
        levels.append(_level(kind, 1, fit, low, high, fitted + note))
    for n in CLIP_TRACKS:
        high = _above(likely_fake(reals, half, n), clips.reals, limits)
        levels.append(_level("clip", n, _fit_highest(reals, fakes, n), low, high, fitted + note))
    return levels


def _above(choice: Choice, observed: Sample, limits: Limits) -> Choice:
    least = _few(observed.logit, limits.target_fpr, limits.fpr_limit)
    return Choice(least, "the real clips", choice.notes) if least > choice.logit else choice


def _few(values: Array, rate: float, limit: float) -> float:
    """The lowest threshold above which no more of a few values lie than a posterior permits.

    The posterior mean of k of n is (k + rate * strength) / (n + strength).
    """
    if not len(values):
        return -np.inf
    falling = np.sort(values)[::-1]
    permitted = int(np.floor(limit * (len(values) + STRENGTH) - rate * STRENGTH + 1e-9))
    if permitted >= len(values):
        return -np.inf
    first_below = float(falling[max(permitted, 0)])
    above = float(falling[permitted - 1]) if permitted > 0 else first_below + (float(np.std(values)) / 5 or 0.1)
    return (first_below + above) / 2


def _raised(level: Level, kind: LevelKind, logit: float, fitted: str) -> Level:
    at = float(sigmoid(level.scale * logit + level.shift))
    high = max(level.thresholds.likely_fake, at)
    thresholds = Thresholds(likely_real=level.thresholds.likely_real, likely_fake=high)
    return level.model_copy(update={"kind": kind, "thresholds": thresholds, "fitted_on": fitted})


def _report(reals: Sample, fakes: Sample, clips: _Clips, face: Level, limits: Limits) -> dict[str, Any]:
    edges = np.array([face.thresholds.likely_real, face.thresholds.likely_fake])
    low, high = (np.log(edges / (1 - edges)) - face.shift) / face.scale

    def rows(sample: Sample, kinds: Sequence[str]) -> list[dict[str, Any]]:
        parts = [(kind, sample.part(kind)) for kind in kinds]
        return [
            {
                "kind": kind,
                "files": round(part.files, 3),
                "called_fake": part.share_above(high),
                "called_real": part.share_below(low),
            }
            for kind, part in parts
        ]

    return {
        "limits": {name: getattr(limits, name) for name in limits.__slots__},
        "reals": {
            "files": reals.files,
            "called_fake": reals.share_above(high),
            "called_real": reals.share_below(low),
            "by_source": rows(reals, reals.kinds()),
        },
        "fakes": {
            "files": fakes.files,
            "called_fake": fakes.share_above(high),
            "called_real": fakes.share_below(low),
            "by_method": rows(fakes, fakes.kinds()),
        },
        "clips": {"real": clips.reals.files, "fake": clips.fakes.files},
    }


def _n(count: float) -> str:
    return f"{round(count):,}"


def with_calibration(card: Card, calibration: Calibration, *, domain: str) -> Card:
    """A card with the new levels and the limits they were fitted for; its old figures, made with other ones, go."""
    limits = calibration.report["limits"]
    new = {"levels": calibration.levels, "target_fpr": limits["target_fpr"], "target_miss": limits["target_miss"]}
    return card.model_copy(update=new | {"prior": 0.5, "domain": domain, "metrics": {}})
