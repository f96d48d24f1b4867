"""The way through a clip: no more of it is decoded than is wanted."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from unmask.base.errors import MediaError
from unmask.media.clip import ClipFacts, open_container, video_stream
from unmask.media.decode import Clock, Damage, decoded
from unmask.media.sampling import TOLERANCE_S, Sampler
from unmask.media.sniff import Kind
from unmask.media.source import Source

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Farther away than most clips' key frames lie from each other.
_FAR_S = 4.0
# A jump aims a little before its goal: key frames are found by decoding times, which run ahead of what is shown.
_MARGIN_S = 0.5
_MAX_VAIN_JUMPS = 3


def clock(facts: ClipFacts) -> Clock:
    """A new clock for a clip."""
    return Clock(facts.rate, by_count=facts.by_count, by_dts=facts.by_dts, start=facts.start_s)


def timed(
    source: Source, kind: Kind, facts: ClipFacts, notes: list[str], sampler: Sampler
) -> Generator[tuple[VideoFrame, float], None, None]:
    """Decode a clip in order, as little of it as ``sampler`` allows; the caller asks the sampler about every frame.

    When pictures are wanted at most every fourth, those that no other picture refers to are not decoded at all
    (``skip_frame=NONREF``; what is decoded is bit for bit the same, since nothing refers to what is left out). Where
    the next wanted one is far away and the container has an index, what lies between is not decoded either. Where
    that goes wrong (a gap of more than half the sampling interval), decoding starts anew from the beginning, leaves
    nothing out, and goes on behind what was already given.

    Args:
        notes: Gets warnings for the user when the end is reached.

    Yields:
        (frame, seconds since the start).
    """
    trusted = facts.start_s is not None and not facts.by_count and not facts.by_dts
    skip = trusted and facts.has_rate and sampler.interval_s * facts.rate >= 4
    jumps = _MAX_VAIN_JUMPS if trusted and kind.codec in {"mov", "matroska"} else 0
    given = -1.0
    while True:
        once = _Pass(source, kind, facts, sampler, skip=skip, jumps=jumps)
        for frame, time_s in once.frames():
            if time_s > given:
                given = time_s
                yield frame, time_s
        if not once.failed:
            break
        skip, jumps = False, 0
    if given < 0:
        raise MediaError("no picture of this clip can be decoded", hint="Copy or download it again", path=source.name)
    damage = once.damage
    if damage.errors:
        behind = f", and {damage.left_out} pictures that build on them" if damage.left_out else ""
        notes.append(f"{damage.errors} damaged places of the clip were left out{behind}")
    if facts.duration_s and facts.duration_s - given > max(1.0, 3 / facts.rate) and not facts.by_count:
        notes.append(f"the clip ends after {given:.1f} s of {facts.duration_s:.1f} s: it is cut off or damaged")


class _Pass:
    """One way through a clip.

    Attributes:
        failed: What was left out is missing; only to be read when :meth:`frames` has ended.
        damage: What was wrong.
    """

    def __init__(
        self, source: Source, kind: Kind, facts: ClipFacts, sampler: Sampler, *, skip: bool, jumps: int
    ) -> None:
        self.failed = False
        self.damage = Damage()
        self._source, self._kind, self._facts, self._sampler = source, kind, facts, sampler
        self._skip, self._jumps = skip, jumps

    def frames(self) -> Iterator[tuple[VideoFrame, float]]:
        """Every frame that is decoded, with its time; times may fall behind once after a jump."""
        now, reach = clock(self._facts), self._sampler.interval_s / 2 + TOLERANCE_S
        with open_container(self._source, self._kind) as container:
            stream = video_stream(container, self._source.name)
            stream.thread_type = "AUTO"
            frames = decoded(container, stream, self.damage, skip=self._skip)
            # Frames are expected at most ``reach`` behind this time.
            expected = 0.0
            left_at: float | None = None
            while (frame := next(frames, None)) is not None:
                time_s = now.time(frame)
                if left_at is not None and time_s <= left_at:
                    self._jumps -= 1  # there is no key frame in between
                    expected = time_s
                if (self._skip or left_at is not None) and time_s > expected + reach:
                    self.failed = True
                    return
                expected, left_at = time_s, None
                yield frame, time_s
                goal = self._sampler.next_s
                if self._jumps > 0 and goal - time_s > _FAR_S and not self._sampler.done:
                    frames.close()
                    if not self._seek(container, stream, goal - _MARGIN_S):
                        self.failed = True
                        return
                    now.last, expected, left_at = None, goal, time_s
                    frames = decoded(container, stream, self.damage, skip=self._skip)

    def _seek(self, container: InputContainer, stream: VideoStream, time_s: float) -> bool:
        import av

        assert stream.time_base is not None
        goal = int((time_s + (self._facts.start_s or 0.0)) / stream.time_base)
        try:
            container.seek(goal, stream=stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True
