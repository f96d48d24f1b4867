"""The sound of a clip into the annotated one: copied where players of mp4 know it, else turned into AAC."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

log = logging.getLogger(__name__)

_COPIED = ("aac", "mp3")
_GAP_S = 0.1
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


class Sound:
    """Feeds the sound of one container into another, in step with the pictures.

    Args:
        source: Opened for this alone; closed by :meth:`close`.
        target: Where the packets go.
        start_s: Time on the clock of ``source`` that becomes 0; None: where the sound itself begins.
    """

    def __init__(self, source: InputContainer, target: OutputContainer, start_s: float | None) -> None:
        self._source, self._target, self._start_s = source, target, start_s
        self._track: Any = _audio_track(source)
        self._packets: Iterator[tuple[float, Packet[Any]]] | None = None
        self._waiting: tuple[float, Packet[Any]] | None = None
        self._last_dts: int | None = None
        if self._track is None:
            return
        if self._track.codec_context.codec.canonical_name in _COPIED:
            self._out: Any = target.add_stream_from_template(self._track)
            self._packets = self._copied()
        else:
            rate = self._track.rate if self._track.rate in _AAC_RATES else 48000
            layout = "mono" if self._track.codec_context.layout.nb_channels == 1 else "stereo"
            self._out = target.add_stream("aac", rate=rate, layout=layout)
            self._packets = self._encoded(rate, layout)

    def advance(self, time_s: float) -> None:
        """Write everything up to a time."""
        while self._packets is not None:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
                if self._waiting is None:
                    self._packets = None
                    return
            if self._waiting[0] > time_s:
                return
            self._target.mux(self._waiting[1])
            self._waiting = None

    def finish(self) -> None:
        """Write the rest."""
        self.advance(float("inf"))

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _shift(self, stamp: int, time_base: Any) -> int:
        if self._start_s is None:
            self._start_s = float(stamp * time_base)
        return stamp - round(self._start_s / float(time_base))

    def _copied(self) -> Iterator[tuple[float, Packet[Any]]]:
        for packet in self._read():
            if packet.dts is None or packet.pts is None:
                continue
            base = packet.time_base
            shift = packet.pts - self._shift(packet.pts, base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if self._last_dts is not None and packet.dts <= self._last_dts:
                continue  # the time stamps go back: a splice, which mp4 does not allow
            self._last_dts = packet.dts
            packet.stream = self._out
            yield float(packet.dts * base), packet

    def _encoded(self, rate: int, layout: str) -> Iterator[tuple[float, Packet[Any]]]:
        import av

        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        expected: int | None = None
        for frame in self._decoded():
            if frame is not None:
                frame.pts = None if frame.pts is None else self._shift(frame.pts, frame.time_base)
            for part in resampler.resample(frame):
                # Containers that count in milliseconds let the pieces overlap by a few samples, which the encoder
                # takes for going back in time. Only a real gap is kept.
                at = None if part.pts is None else round(part.pts * (part.time_base or 0) * rate)
                if expected is not None and (at is None or at - expected < rate * _GAP_S):
                    at = expected
                part.pts, part.time_base = at or 0, Fraction(1, rate)
                expected = part.pts + part.samples
                for packet in self._out.encode(part):
                    yield _time_of(packet), packet
        for packet in self._out.encode(None):
            yield _time_of(packet), packet

    def _decoded(self) -> Iterator[Any]:
        import av

        for packet in self._read():
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                continue  # a damaged packet of sound: a moment of silence
        yield None

    def _read(self) -> Iterator[Any]:
        import av

        try:
            yield from self._source.demux(self._track)
        except av.error.FFmpegError as error:
            log.warning("the sound ends early: %s", error)


def _time_of(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * packet.time_base) if packet.time_base else 0.0


def _audio_track(source: InputContainer) -> AudioStream | None:
    """The sound that a player takes: the default track, else the first that can be decoded."""
    import av

    tracks = [s for s in source.streams.audio if s.codec_context is not None and s.codec_context.name]
    default = [s for s in tracks if s.disposition & av.stream.Disposition.default]
    return next(iter(default or tracks), None)
