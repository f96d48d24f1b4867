"""Clips through PyAV: opened by rules that keep FFmpeg inside the one file, decoded as a stream."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unmask.base.errors import MediaError
from unmask.media.color import Geometry
from unmask.media.pictures import MAX_PIXELS, check_size
from unmask.media.sampling import TOLERANCE_S
from unmask.media.sniff import Kind
from unmask.media.source import Source

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# No camera writes more into a file that people share; some writers store 1/1000 s steps that were meant as frames.
_FASTEST_FPS = 300.0
_ASSUMED_FPS = 25.0
_MAX_DEMUX_ERRORS = 100
_INTRA = 1  # AV_PICTURE_TYPE_I
# Time stamps that go back by less are disorder, by more a new beginning.
_SPLICE_S = 1.0


def open_container(source: Source, kind: Kind) -> InputContainer:
    """Open a clip with the demuxer that its content calls for and no other.

    FFmpeg's formats that refer to further files or addresses (playlists, concat lists, DASH, SDP, image sequences) are
    out of reach: the demuxer is named, the whitelist holds just that one, QuickTime's external references are
    off, and of the protocols only ``file`` and ``pipe`` may be used. The ``file:`` prefix keeps a file whose
    name looks like an address (``concat:a|b``) from being taken for one.

    Raises:
        MediaError: The file is damaged or cut off.
    """
    import av

    target: Any
    if source.path is not None:
        target = "file:" + os.path.abspath(source.path)  # noqa: PTH100 (resolve() would follow links)
        try:
            target.encode("utf-8")
        except UnicodeEncodeError:  # a name that is no UTF-8: PyAV takes only text, so read through Python
            target = source.open()
    else:
        target = io.BytesIO(source.data or b"")
    options = {"protocol_whitelist": "file,pipe", "format_whitelist": kind.codec}
    if kind.codec == "mov":
        options |= {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2", "enable_drefs": "0", "use_absolute_path": "0"}
    try:
        container: InputContainer = av.open(
            target, mode="r", format=kind.codec, container_options=options, metadata_errors="replace"
        )
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        detail = (
            "its index is missing" if kind.codec == "mov" else (getattr(error, "strerror", "") or str(error)).lower()
        )
        raise MediaError(
            f"the clip is damaged or cut off: {detail}", hint="Copy or download it again", path=source.name
        ) from error


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The picture track to look at; cover art does not count.

    Raises:
        MediaError: There is none, or nothing here can decode it.
    """
    import av

    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        what = "only sound" if container.streams.audio else "no pictures"
        raise MediaError(f"there is {what} in this file", hint="Give a file with a picture track", path=name)
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    stream = max(default or streams, key=lambda s: (s.width or 0) * (s.height or 0) if s.codec_context else -1)
    if stream.codec_context is None:
        raise MediaError(
            "no decoder here knows the codec of this clip", hint="Convert it to H.264 mp4 first", path=name
        )
    return stream


@dataclass
class Clock:
    """Turns the time stamps of decoded frames into seconds since the first frame, always rising.

    Attributes:
        rate: Frames a second, for frames without a time stamp.
        by_count: Ignore the time stamps, which are known to be nonsense.
        by_dts: Take the decoding times. AVI stores none to show a frame at, and FFmpeg's guesses are wrong where
            frames are stored in another order than shown; decoders give them in the order shown.
        start: Time of the first frame in the file's own seconds; set by the first frame.
        guessed: Whether a time had to be made up, so that times depend on every frame before.
    """

    rate: float
    by_count: bool = False
    by_dts: bool = False
    start: float | None = None
    last: float | None = None
    shift: float = 0.0
    guessed: bool = False

    def stamp(self, frame: VideoFrame) -> float | None:
        """Seconds on the file's own clock, or None."""
        stamp = frame.dts if self.by_dts else frame.pts
        return None if stamp is None or frame.time_base is None else float(stamp * frame.time_base)

    def time(self, frame: VideoFrame) -> float:
        """Seconds since the start of the clip."""
        step = 1.0 / self.rate
        stamp = self.stamp(frame)
        if self.by_count:
            now = 0.0 if self.last is None else self.last + step
        elif stamp is None:
            self.guessed = True
            now = 0.0 if self.last is None else self.last + step
        else:
            if self.start is None:
                self.start = stamp
            now = stamp - self.start + self.shift
            if self.last is not None and now <= self.last:
                self.guessed = True
                if self.last - now > _SPLICE_S:
                    # The time stamps start anew (a splice, an overflow): go on from where we are.
                    self.shift += self.last + step - now
                now = self.last + step
        self.last = now
        return now


@dataclass
class ClipFacts:
    """What :func:`probe` found out.

    Attributes:
        geometry: How a frame becomes an upright picture.
        rate: Frames a second.
        by_count: The time stamps are nonsense; frames are taken to follow each other at ``rate``.
        by_dts: See :class:`Clock`.
        start_s: Time of the first frame on the file's own clock, or None where it has none.
        notes: Warnings for the user.
    """

    geometry: Geometry
    rate: float
    duration_s: float | None
    has_rate: bool
    by_count: bool
    by_dts: bool
    has_audio: bool
    start_s: float | None
    notes: list[str] = field(default_factory=list)


def clock(facts: ClipFacts) -> Clock:
    """A new clock for a clip."""
    return Clock(facts.rate, by_count=facts.by_count, by_dts=facts.by_dts, start=facts.start_s)


def probe(source: Source, kind: Kind) -> ClipFacts:
    """Open a clip and decode its first picture.

    Raises:
        MediaError: No picture track, no picture that can be decoded, too many pixels.
    """
    with open_container(source, kind) as container:
        stream = video_stream(container, source.name)
        check_size(max(stream.width or 0, 1), max(stream.height or 0, 1), source.name)
        notes: list[str] = []
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        fps = float(rate) if rate else 0.0
        duration = _duration(container, stream)
        by_count = fps > _FASTEST_FPS
        if by_count:
            notes.append(
                f"the time stamps ({fps:.0f} frames a second) cannot be right; {_ASSUMED_FPS:.0f} were assumed"
            )
            duration = stream.frames / _ASSUMED_FPS if stream.frames else None
            fps = _ASSUMED_FPS
        # Slices only: frame threads would read many packets for the one picture.
        stream.thread_type = "SLICE"
        frame = next(decoded(container, stream, Damage()), None)
        if frame is None:
            raise MediaError(
                "no picture of this clip can be decoded", hint="Copy or download it again", path=source.name
            )
        check_size(frame.width, frame.height, source.name)
        by_dts = kind.codec == "avi"
        start = Clock(fps or _ASSUMED_FPS, by_dts=by_dts).stamp(frame)
        return ClipFacts(
            geometry=Geometry.of(frame, stream.sample_aspect_ratio),
            rate=fps or _ASSUMED_FPS,
            duration_s=duration,
            has_rate=fps > 0,
            by_count=by_count,
            by_dts=by_dts,
            has_audio=bool(container.streams.audio),
            start_s=start,
            notes=notes,
        )


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return container.duration / 1_000_000
    return None


@dataclass
class Damage:
    """What was wrong in the middle of a clip.

    Attributes:
        errors: Packets and pictures that could not be decoded.
        left_out: Pictures that were decoded but refer to damaged ones.
    """

    errors: int = 0
    left_out: int = 0
    _smeared: bool = False

    def error(self) -> None:
        """Something was lost: pictures that refer to it are smeared, up to one that refers to nothing."""
        self.errors += 1
        self._smeared = True

    def is_clean(self, frame: VideoFrame) -> bool:
        """Whether a decoded picture shows what was filmed; a smeared face could pass for a fake."""
        if frame.is_corrupt:
            self.error()
            return False
        if self._smeared and not (frame.key_frame or frame.pict_type == _INTRA):
            self.left_out += 1
            return False
        self._smeared = False
        return True


def decoded(
    container: InputContainer, stream: VideoStream, damage: Damage, *, skip: bool = False
) -> Iterator[VideoFrame]:
    """Decode a picture track; what is damaged is left out and counted."""
    import av

    context = stream.codec_context
    context.skip_frame = "NONREF" if skip else "DEFAULT"
    if not context.is_open:
        context.options = {"max_pixels": str(MAX_PIXELS)}
    failures = 0
    while True:
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    damage.error()
                try:
                    frames = packet.decode()
                except EOFError:
                    frames = []
                except av.error.FFmpegError:
                    damage.error()
                    continue
                yield from (frame for frame in frames if damage.is_clean(frame))
        except (av.error.FFmpegError, IndexError):  # IndexError: PyAV meets a track that was not there before
            damage.error()
            failures += 1
            if failures > _MAX_DEMUX_ERRORS:
                return
            continue  # read on behind the damaged place
        return


def timed(
    source: Source, kind: Kind, facts: ClipFacts, notes: list[str], interval_s: float
) -> Iterator[tuple[VideoFrame, float]]:
    """Decode the whole clip once, in order.

    When pictures are wanted at most every fourth, those that no other picture refers to are not decoded at all
    (``skip_frame=NONREF``; what is decoded is bit for bit the same, since nothing refers to what is left out). Where
    that leaves a gap of more than half the sampling interval, it starts again without leaving anything out, and goes
    on behind what was already given.

    Args:
        interval_s: Seconds between the pictures that will be used; 0.0 for all.
        notes: Gets warnings for the user when the end is reached.

    Yields:
        (frame, seconds since the start).
    """
    skip = interval_s * facts.rate >= 4 and facts.has_rate and not facts.by_count
    # What is left out would shift times that are counted, or come from the decoding times.
    skip = skip and facts.start_s is not None and not facts.by_dts
    after = -1.0
    last = 0.0
    while True:
        again = False
        damage = Damage()
        now = clock(facts)
        with open_container(source, kind) as container:
            stream = video_stream(container, source.name)
            stream.thread_type = "AUTO"
            for frame in decoded(container, stream, damage, skip=skip):
                previous = last if now.last is not None else 0.0
                last = now.time(frame)
                if skip and last - previous > interval_s / 2 + TOLERANCE_S:
                    again, after = True, previous
                    break
                if last <= after:
                    continue
                yield frame, last
        if not again:
            break
        skip = False
    if now.last is None:
        raise MediaError("no picture of this clip can be decoded", hint="Copy or download it again", path=source.name)
    if damage.errors:
        behind = f", and {damage.left_out} pictures that build on them" if damage.left_out else ""
        notes.append(f"{damage.errors} damaged places of the clip were left out{behind}")
    if facts.duration_s and facts.duration_s - last > max(1.0, 3 / facts.rate) and not facts.by_count:
        notes.append(f"the clip ends after {last:.1f} s of {facts.duration_s:.1f} s: it is cut off or damaged")
