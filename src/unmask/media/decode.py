"""Decoded frames of a picture track: their times, and which of them are damaged."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unmask.media.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MAX_DEMUX_ERRORS = 100
_INTRA = 1  # AV_PICTURE_TYPE_I
# Time stamps that go back by less are disorder, by more a new beginning.
_SPLICE_S = 1.0


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
) -> Generator[VideoFrame, None, None]:
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
