"""The strip below an annotated clip: verdict, and the time of every track with its faked stretches."""

from __future__ import annotations

from PIL import Image, ImageDraw

from unmask.render.labels import font, padding
from unmask.render.verdict import LOOKS, score
from unmask.report import Report, TrackResult

GROUND, INK, FAINT = (22, 24, 29), (233, 236, 241), (164, 171, 182)
_LIFE, _EMPTY = (122, 129, 140), (43, 47, 55)
_LANES = 4


class Strip:
    """Its layout for a clip of a given size.

    Attributes:
        height: Even; pixels that the clip grows by.
        left, right: Columns of the first and of the last moment.
        picture: The strip without the playhead.
    """

    def __init__(self, report: Report, width: int, size: int, duration_s: float) -> None:
        self.duration_s = max(duration_s, 1e-3)
        self.pad = padding(size) * 2
        self.left, self.right = self.pad, width - self.pad
        tracks = sorted(report.tracks, key=lambda track: -(track.p_fake or 0.0))[:_LANES]
        lanes = max(1, len(tracks))
        self._lane = max(6, round(size * 0.5)) & ~1
        self._gap = max(2, self._lane // 3)
        row = round(size * 1.9)
        self.top = row
        self.bottom = row + lanes * (self._lane + self._gap)
        self.height = (self.bottom + self.pad // 2 + 1) & ~1
        self.picture = Image.new("RGB", (width, self.height), GROUND)
        draw = ImageDraw.Draw(self.picture)
        self._write(draw, report, size, row)
        for number in range(lanes):
            y = row + number * (self._lane + self._gap)
            draw.rectangle((self.left, y, self.right, y + self._lane - 1), fill=_EMPTY)
            if number < len(tracks):
                self._draw_track(draw, tracks[number], y)

    def x(self, time_s: float) -> int:
        """The column of a time."""
        share = min(1.0, max(0.0, time_s / self.duration_s))
        return round(self.left + share * (self.right - self.left))

    def _draw_track(self, draw: ImageDraw.ImageDraw, track: TrackResult, y: int) -> None:
        fake = LOOKS["likely_fake"].rgb
        low = y + self._lane - 1
        life = fake if track.verdict == "likely_fake" and not track.segments else _LIFE
        draw.rectangle((self.x(track.start_s), y, max(self.x(track.end_s), self.x(track.start_s) + 2), low), fill=life)
        for segment in track.segments:
            start, end = self.x(segment.start_s), self.x(segment.end_s)
            draw.rectangle((start, y, max(end, start + 2), low), fill=fake)

    def _write(self, draw: ImageDraw.ImageDraw, report: Report, size: int, row: int) -> None:
        look = LOOKS[report.verdict]
        text = f"{look.word}  {score(report.p_fake, missing='')}".rstrip()
        side = round(size * 0.8)
        draw.rectangle((self.pad, row / 2 - side / 2, self.pad + side, row / 2 + side / 2), fill=look.rgb)
        x = self.pad + side + round(size * 0.5)
        draw.text((x, row / 2), text, fill=INK, font=font(size), anchor="lm")
        x += round(font(size).getlength(text)) + self.pad
        small = max(10, round(size * 0.85))
        for note in (f"evidence, not proof · unmask{_model(report)}", "evidence, not proof"):
            if x + font(small).getlength(note) <= self.right:
                draw.text((self.right, row / 2), note, fill=FAINT, font=font(small), anchor="rm")
                break


def _model(report: Report) -> str:
    return f", {report.model.name} {report.model.version}" if report.model else ""
