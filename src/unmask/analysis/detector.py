"""The detector: loaded once, used often, from several threads; behind every surface of unmask."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unmask.analysis.clip import Sample, TrackLog, bounded
from unmask.analysis.judge import hold_back_turned, judge_clip, judge_face, judge_picture, judge_track
from unmask.base.errors import MediaError, UnmaskError, UsageError
from unmask.faces import Box, ClipSearch, Face, load_backend
from unmask.faces.crop import crop_face, crop_square
from unmask.faces.search import iou
from unmask.media import Frame, Media, open_media
from unmask.model import Bundle, load_bundle, p_fake
from unmask.provenance import read_provenance
from unmask.report import ErrorInfo, Evidence, ModelInfo, Report, Result
from unmask.report import Media as MediaFacts

if TYPE_CHECKING:
    from PIL import Image

Source: TypeAlias = "str | Path | bytes | Image.Image | NDArray[np.uint8]"
"""What can be analysed: a path, the bytes of a file, a Pillow picture, an H×W×3 uint8 RGB array."""

Progress = Callable[[float], None]
"""Called with the share of the file that is done, in [0, 1]."""

SAME_FACE = 0.4
"""Overlap (intersection over union) from which on a box given by the user is the same face as one found."""

AHEAD = 3
"""Frames of a clip that are decoded beside detection and scoring; few, for a 4K frame takes 25 MB."""

BOX_TRACK = -1
"""The track of a box given by the user, until the tracks are numbered."""


class Detector:
    """Finds faces, scores them and judges the file.

    Args:
        model: A bundle; None for the one in the package.
        faces: Face backend ``default``, ``dlib``, ``yunet:FILE`` or ``none``; None for the one that the bundle's card
            names.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ...
        threads: Threads of each network; default: all processors.
        sha256: Hash that the bundle must have.

    Raises:
        BundleError: The bundle cannot be used.
        DeviceError: The device asked for is not there.
        MissingExtraError: The face backend needs a package that is not installed.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        *,
        faces: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        sha256: str | None = None,
    ) -> None:
        self.bundle: Bundle = load_bundle(model, device=device, threads=threads, sha256=sha256)
        self.card = self.bundle.card
        self.faces = faces or self.card.crop.faces
        self.backend = load_backend(self.faces, device=device, threads=threads)

    def analyze(self, source: Source, **options: Any) -> Report:
        """As :meth:`run`, without the evidence."""
        return self.run(source, **options).report

    def run(
        self,
        source: Source,
        *,
        name: str | None = None,
        fps: float = 3.0,
        max_frames: int | None = None,
        box: Box | None = None,
        progress: Progress | None = None,
        on_error: Literal["raise", "report"] = "raise",
    ) -> Result:
        """Analyse one picture or clip.

        Args:
            source: See :data:`Source`.
            name: What ``path`` in the report says; default: the path, or ``<bytes>`` and the like.
            fps: Frames a second that are looked at in a clip.
            max_frames: At most so many frames, spread over the clip.
            box: x0, y0, x1, y1 in pixels of the upright picture: a face that the search may miss. It is judged beside
                those found.
            progress: Called with the share done, in [0, 1], as a clip goes on.
            on_error: ``report``: a file that cannot be read becomes a report with the verdict ``error``.

        Returns:
            The report and the evidence behind it.

        Raises:
            UsageError: ``fps``, ``max_frames`` or ``box`` make no sense.
            MediaError: The file cannot be read (with ``on_error="raise"``).
        """
        look = _Look(fps, max_frames, box, progress)
        started = time.perf_counter()
        shown = name if name is not None else _name_of(source)
        report = Report(path=shown, verdict="error", model=self._model_info())
        self._warn_of_backend(report)
        clock = _Clock()
        evidence: list[Evidence] = []
        try:
            with clock("decode"):
                media = open_media(source, name=shown)
            with media:
                report.sha256 = media.sha256
                report.media = _facts(media)
                report.provenance = read_provenance(media)
                if media.info.kind == "picture":
                    evidence = self._picture(media, report, look, clock)
                else:
                    evidence = self._clip(media, report, look, clock)
                report.warnings.extend(media.warnings)
        except UnmaskError as error:
            if on_error == "raise":
                raise
            hint = f". {error.hint}" if error.hint else ""
            report.verdict, report.p_fake = "error", None
            report.faces, report.tracks, report.reasons = [], [], []
            report.error = ErrorInfo(code=error.code, message=f"{error.message}{hint}")
        report.timing_ms = clock.milliseconds(time.perf_counter() - started)
        return Result(report, evidence)

    def _picture(self, media: Media, report: Report, look: _Look, clock: _Clock) -> list[Evidence]:
        with clock("decode"):
            image = next(iter(media.frames())).image
        with clock("detect"):
            faces = look.with_box(self.backend.find(image), image)
        with clock("score"):
            scored = self._score(Frame(image), faces)
        for face, sample in zip(faces, scored, strict=True):
            report.faces.append(judge_face(self.card, len(report.faces), face.box, sample.logit, sample.quality))
        judge_picture(self.card, report.faces, [sample.logit for sample in scored], report)
        hold_back_turned({number: face.roll for number, face in enumerate(faces)}, "face", report)
        return [self._evidence(number, sample) for number, sample in enumerate(scored)]

    def _clip(self, media: Media, report: Report, look: _Look, clock: _Clock) -> list[Evidence]:
        search = ClipSearch(self.backend)
        logs: dict[int, TrackLog] = {}
        count = 0
        for frame in clock.wrap("decode", media.frames(look.fps, look.max_frames, ahead=AHEAD)):
            count += 1
            with clock("detect"):
                found = look.with_box_track(search.update(frame), frame.image)
            with clock("score"):
                scored = self._score(frame, [face for _, face in found])
            for (number, _), sample in zip(found, scored, strict=True):
                log = logs.setdefault(number, TrackLog())
                log.add(sample)
                if log.wants(sample.logit):
                    log.keep(sample.logit, self._evidence(number, sample))
            if look.progress and media.info.duration_s:
                look.progress(min(1.0, frame.time_s / media.info.duration_s))
        if not count:
            raise MediaError("the clip holds no frame that can be decoded", path=media.name)
        logs = _renumbered(logs, {track.id for track in search.tracks} | {BOX_TRACK})
        report.media = _facts(media, count)
        report.tracks = [judge_track(self.card, number, log) for number, log in logs.items()]
        judge_clip(self.card, report.tracks, [log.mean_logit for log in logs.values()], report)
        hold_back_turned({number: log.roll for number, log in logs.items()}, "track", report)
        return bounded(logs)

    def _evidence(self, subject: int, sample: Sample) -> Evidence:
        p = p_fake(self.card.level("face"), sample.logit)
        return Evidence(subject, sample.time_s, sample.square, sample.crop.copy(), sample.map.copy(), p)

    def _score(self, frame: Frame, faces: list[Face]) -> list[Sample]:
        """All faces of a frame in one batch."""
        spec = self.card.crop
        crops = np.empty((len(faces), spec.size, spec.size, 3), np.uint8)
        for i, face in enumerate(faces):
            crops[i] = crop_face(frame.image, face.box, spec)
        logits, maps = self.bundle.score(crops)
        height, width = frame.image.shape[:2]
        return [
            Sample(
                frame.time_s,
                face,
                crop_square(face.box, spec.margin, width, height),
                crops[i],
                maps[i],
                float(logits[i]),
            )
            for i, face in enumerate(faces)
        ]

    def _model_info(self) -> ModelInfo:
        card = self.card
        names = [level.kind if level.faces == 1 else f"{level.kind}_{level.faces}" for level in card.levels]
        return ModelInfo(
            name=card.name,
            version=card.version,
            sha256=self.bundle.sha256,
            provider=self.bundle.provider,
            thresholds={name: level.thresholds.model_dump() for name, level in zip(names, card.levels, strict=True)},
            domain=card.domain,
            faces=self.faces,
        )

    def _warn_of_backend(self, report: Report) -> None:
        if self.faces != self.card.crop.faces:
            report.warnings.append(
                f"faces were found by {self.faces!r}, but the model was trained and calibrated with "
                f"{self.card.crop.faces!r}: scores may be off"
            )


def analyze(source: Source, *, model: Path | str | None = None, faces: str | None = None, **options: Any) -> Report:
    """Analyse one picture or clip with a detector that is loaded once and kept.

    Args:
        source: See :data:`Source`.
        model: See :class:`Detector`.
        faces: See :class:`Detector`.
        options: See :meth:`Detector.run`.

    Raises:
        UnmaskError: See :class:`Detector` and :meth:`Detector.run`.
    """
    return _shared_detector(str(model) if model is not None else None, faces).analyze(source, **options)


class _Clock:
    """Adds up the wall time of each stage."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent[stage] = self._spent.get(stage, 0.0) + time.perf_counter() - started

    def wrap(self, stage: str, items: Iterator[Any]) -> Iterator[Any]:
        """Count the time that an iterator takes for its items."""
        while True:
            with self(stage):
                item = next(items, None)
            if item is None:
                return
            yield item

    def milliseconds(self, total_s: float) -> dict[str, float]:
        """Stages and the total in milliseconds."""
        return {stage: round(s * 1000, 2) for stage, s in {**self._spent, "total": total_s}.items()}


@functools.lru_cache(maxsize=2)
def _shared_detector(model: str | None, faces: str | None) -> Detector:
    return Detector(model, faces=faces)


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file is looked at; see :meth:`Detector.run`."""

    fps: float
    max_frames: int | None
    box: Box | None
    progress: Progress | None

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise UsageError(f"{self.fps} frames a second make no sense", hint="Give a number above 0, for instance 3")
        if self.max_frames is not None and self.max_frames < 1:
            raise UsageError("at least one frame must be looked at", hint="Give 1 or more")
        box = self.box
        if box is not None and not (box[0] < box[2] and box[1] < box[3] and all(map(math.isfinite, box))):
            raise UsageError(f"{box} is not a box", hint="Give X0,Y0,X1,Y1 in pixels with X0 < X1 and Y0 < Y1")

    def with_box(self, faces: list[Face], image: NDArray[np.uint8]) -> list[Face]:
        """The faces found and the one given; a found one that it covers is left out, for it is the same."""
        if self.box is None:
            return faces
        given = self._given(self.box, image)
        return [given, *(face for face in faces if iou(face, given) < SAME_FACE)]

    def with_box_track(self, found: list[tuple[int, Face]], image: NDArray[np.uint8]) -> list[tuple[int, Face]]:
        """The same for a clip, where the given box is a track of its own."""
        if self.box is None:
            return found
        given = self._given(self.box, image)
        return [(BOX_TRACK, given), *((n, face) for n, face in found if iou(face, given) < SAME_FACE)]

    @staticmethod
    def _given(box: Box, image: NDArray[np.uint8]) -> Face:
        """The box as a face. One that lies beside the picture would be judged by pixels that are not in it."""
        height, width = image.shape[:2]
        if min(box[2], width) - max(box[0], 0) < 1 or min(box[3], height) - max(box[1], 0) < 1:
            raise UsageError(
                f"the box {box} holds no pixel of the picture, which is {width}×{height}",
                hint="Give X0,Y0,X1,Y1 in pixels of the upright picture",
            )
        return Face(box, 1.0)


def _renumbered(logs: dict[int, TrackLog], stays: set[int]) -> dict[int, TrackLog]:
    """Tracks that the tracker kept, numbered from 0 by their start."""
    kept = sorted((log.times[0], number) for number, log in logs.items() if number in stays)
    return {new: logs[number] for new, (_, number) in enumerate(kept)}


def _facts(media: Media, frames: int = 1) -> MediaFacts:
    info = media.info
    return MediaFacts(
        kind=info.kind,
        format=info.format,
        width=info.width,
        height=info.height,
        duration_s=info.duration_s,
        fps=info.fps,
        frames_analyzed=frames,
    )


def _name_of(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
