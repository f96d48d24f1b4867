"""Clips through PyAV: opened by rules that keep FFmpeg inside the one file, decoded as a stream."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from unmask.base.errors import MediaError
from unmask.media.color import Geometry, is_hdr, square_width
from unmask.media.decode import Clock, Damage, decoded
from unmask.media.pictures import check_size
from unmask.media.sniff import Kind
from unmask.media.source import Source

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# No camera writes more into a file that people share; some programs write 50 frames into 0.04 s by a wrong time base.
_FASTEST_FPS = 300.0
_ASSUMED_FPS = 25.0
MAX_TRACKS = 40
"""Tracks of a clip whose labels are read."""


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


class Labels(NamedTuple):
    """Unchecked text of a container: its metadata and ``format``, and of each track with ``type``, ``codec``."""

    container: dict[str, str]
    tracks: list[dict[str, str]]


@dataclass
class ClipFacts:
    """What :func:`probe` found out.

    Attributes:
        geometry: How a frame becomes an upright picture.
        rate: Frames a second.
        by_count: The time stamps are nonsense; frames are taken to follow each other at ``rate``.
        by_dts: See :class:`Clock`.
        start_s: Time of the first frame on the file's own clock, or None where it has none.
        labels: What the container says of itself, and each of its tracks, as it stands there.
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
    labels: Labels
    notes: list[str] = field(default_factory=list)


def probe(source: Source, kind: Kind) -> ClipFacts:
    """Open a clip and decode its first picture.

    Raises:
        MediaError: No picture track, no picture that can be decoded, too many pixels.
    """
    with open_container(source, kind) as container:
        stream = video_stream(container, source.name)
        # As it is stored, and as it will be once its pixels are square; some containers say nothing of either.
        width, height, shape = max(stream.width or 0, 1), max(stream.height or 0, 1), stream.sample_aspect_ratio
        check_size(width, height, source.name)
        check_size(square_width(width, shape), height, source.name)
        notes: list[str] = []
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        fps = float(rate) if rate else 0.0
        duration = _duration(container, stream)
        if fps > _FASTEST_FPS:
            fps = 0.0  # browsers' recordings count in milliseconds and say 1000
        by_count = bool(duration and stream.frames > 1 and stream.frames / duration > _FASTEST_FPS)
        if by_count:
            fps = stream.frames / (duration or 1.0)
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
        geometry = Geometry.of(frame, stream.sample_aspect_ratio)
        check_size(geometry.width, geometry.height, source.name)
        by_dts = kind.codec == "avi"
        start = Clock(fps or _ASSUMED_FPS, by_dts=by_dts).stamp(frame)
        if is_hdr(frame):
            notes.append("the clip is HDR; its colours were brought down to ordinary ones")
        return ClipFacts(
            geometry=geometry,
            rate=fps or _ASSUMED_FPS,
            duration_s=duration,
            has_rate=fps > 0,
            by_count=by_count,
            by_dts=by_dts,
            has_audio=bool(container.streams.audio),
            start_s=start,
            labels=_labels(container),
            notes=notes,
        )


def _labels(container: InputContainer) -> Labels:
    tracks = []
    for stream in list(container.streams)[:MAX_TRACKS]:
        facts: dict[str, str] = {**stream.metadata, "type": stream.type}
        if stream.codec_context is not None:
            facts["codec"] = stream.codec_context.name
        profile = getattr(stream, "profile", None)
        if profile:
            facts["profile"] = profile
        tracks.append(facts)
    return Labels({**container.metadata, "format": container.format.name}, tracks)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return container.duration / 1_000_000
    return None
