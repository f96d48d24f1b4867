"""The annotated clip: box, label and score on each face as it plays, and a time line below."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from unmask.base.errors import MediaError, UsageError
from unmask.base.files import replacing
from unmask.media import Media, open_media
from unmask.media.color import Geometry
from unmask.media.media import ClipMedia
from unmask.render.annotate import font_size
from unmask.render.labels import draw_label, place_labels, text_size
from unmask.render.motion import Motion, moments
from unmask.render.names import MARK
from unmask.render.sinks import report_of
from unmask.render.sound import Sound
from unmask.render.strip import Strip
from unmask.render.verdict import LOOKS, score
from unmask.render.yuv import BT709, UNSPECIFIED, Canvas, Colour, Sprite, to_yuv, upright_planes
from unmask.report import Report, Result, Verdict

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer

TIME_BASE = Fraction(1, 90_000)
"""Fine enough for the times of every container; 24, 25, 30 and 29.97 frames a second fall on whole steps."""

ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf", "h264")
"""H.264 encoders, best first; PyAV's wheels bring the first."""

_SHORTEST_SIDE = 320


def annotate_clip(
    source: Path | str | bytes,
    report: Report | Result,
    out_path: Path,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write a clip with its result drawn into it, as it plays.

    Boxes and scores between the times that were looked at are interpolated. Every frame and its time are kept, a
    rotation is applied, pixels become square, and a clip below 320 px is enlarged by a whole factor, since text would
    not be readable in it. The file is mp4 with H.264 (yuv420p, even sizes, index in front) and the sound of the clip:
    AAC and MP3 copied, anything else as AAC. One frame is in memory at a time.

    Args:
        source: The clip that was analysed.
        report: Its report.
        out_path: Ends in ``.mp4``; written under another name and renamed.
        progress: Called with the share that is done, in [0, 1].

    Returns:
        ``out_path``.

    Raises:
        UsageError: ``source`` is a picture, or ``out_path`` is the source or does not end in ``.mp4``.
        MediaError: The clip cannot be read, or nothing here can encode H.264.
        OSError: The place cannot be written.
    """
    if out_path.suffix.lower() != ".mp4":
        raise UsageError("an annotated clip is an mp4 file", hint="End its name in .mp4", path=str(out_path))
    if not isinstance(source, bytes) and out_path.exists() and out_path.samefile(source):
        raise UsageError("the clip would overwrite itself", hint="Name another file", path=str(out_path))
    with open_media(source) as media:
        if media.info.kind != "clip":
            raise UsageError("this is a picture, not a clip", path=media.name)
        with replacing(out_path) as temporary:
            _write(media, report_of(report), temporary, progress)
    return out_path


def _write(media: Media, report: Report, path: Path, progress: Callable[[float], None] | None) -> None:
    import av

    options = {"movflags": "+faststart"}
    with ExitStack() as stack:
        out = stack.enter_context(av.open(_url(path), "w", format="mp4", options=options))
        out.metadata["comment"] = MARK
        frames = stack.enter_context(closing(_frames(media)))
        painter = _Painter(media, report)
        video = _video_track(out, painter, media.info.fps)
        sound = None
        if isinstance(media, ClipMedia) and media.info.has_audio:
            counted = media.clock().by_count
            sound = Sound(media.open_container(), out, None if counted else media.start_s)
            stack.callback(sound.close)
        last = -1
        for frame, time_s in frames:
            painted = painter.paint(frame, time_s)
            last = max(last + 1, round(time_s / TIME_BASE))
            painted.pts, painted.time_base = last, TIME_BASE
            if video.codec_context.is_open is False:
                painter.tag(video.codec_context)
            out.mux(video.encode(painted))
            if sound:
                sound.advance(time_s)
            if progress and media.info.duration_s:
                progress(min(1.0, time_s / media.info.duration_s))
        if last < 0:
            raise MediaError("no picture of this clip can be decoded", path=media.name)
        out.mux(video.encode(None))
        if sound:
            sound.finish()
    if progress:
        progress(1.0)


def _url(path: Path) -> str:
    """A path that FFmpeg takes for a file, also where a folder's name has a colon as an address has."""
    url = f"file:{path.absolute()}"
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the name of this folder is not UTF-8", hint="Name another one", path=ascii(url)) from error
    return url


def _frames(media: Media) -> Generator[tuple[VideoFrame, float], None, None]:
    """Decoded frames with their times, not converted where PyAV reads the file."""
    if isinstance(media, ClipMedia):
        yield from media.decoded()
        return
    from av import VideoFrame

    for frame in media.frames(fps=None):
        yield VideoFrame.from_ndarray(frame.image, format="rgb24"), frame.time_s


def _video_track(out: OutputContainer, painter: _Painter, fps: float | None) -> Any:
    import av

    for name in ENCODERS:
        try:
            av.codec.Codec(name, "w")
        except (av.error.FFmpegError, ValueError):
            continue
        rate = Fraction(fps).limit_denominator(1001) if fps and fps <= 1000 else Fraction(25)
        options = {"preset": "veryfast", "crf": "20"} if name == "libx264" else {}
        video: Any = out.add_stream(name, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = painter.width, painter.height, "yuv420p"
        video.codec_context.time_base = TIME_BASE
        return video
    raise MediaError("this build of PyAV cannot encode H.264", hint="Install the wheel: pip install av")


class _Painter:
    """Draws one report into the frames of one clip."""

    def __init__(self, media: Media, report: Report) -> None:
        from av.video.reformatter import VideoReformatter

        info = media.info
        self._geometry = media.geometry if isinstance(media, ClipMedia) else Geometry(info.width, info.height)
        self._factor = max(1, -(-_SHORTEST_SIDE // max(info.width, info.height)))
        self._picture = (info.width * self._factor, info.height * self._factor)
        self.width = (self._picture[0] + 1) & ~1
        self._bottom = (self._picture[1] + 1) & ~1
        size = font_size(*self._picture)
        small = max(12, min(round(size * 0.8), self._picture[0] // 26))
        ends = [track.end_s for track in report.tracks]
        self._strip = Strip(report, self.width, small, info.duration_s or max(ends, default=0.0))
        self.height = self._bottom + self._strip.height
        self._size, self._line = size, max(2, round(size / 7)) & ~1
        self._motions = [Motion(report, track) for track in report.tracks]
        self._names = len(report.tracks) > 1
        self._reformatter = VideoReformatter()
        self._bt709: bool | None = None
        self._tags: tuple[int, int, int] | None = None

    def paint(self, frame: VideoFrame, time_s: float) -> VideoFrame:
        """A new frame: the picture, its boxes and labels, the strip with the playhead."""
        if self._tags is None:
            self._begin(frame)
        planes, kept = upright_planes(frame, self._geometry, self._factor, self._reformatter)
        canvas = Canvas(self.width, self.height)
        canvas.put(planes)
        del kept  # the planes of the source were read from it until here
        if self._picture[1] < self._bottom:
            canvas.extend_down(self._picture[1], self._bottom)
        canvas.paste(self._strip_sprite, 0, self._bottom)
        x, top = self._strip.x(time_s), self._bottom + self._strip.top - 4
        canvas.fill(x - self._line // 2, top, x + max(2, self._line // 2), top + self._strip.bottom, self._white)
        self._draw_faces(canvas, time_s)
        if self._tags is not None:
            canvas.frame.colorspace, canvas.frame.color_range = self._tags[0], 1
        return canvas.frame

    def tag(self, context: Any) -> None:
        """Say in the file how the colours are meant, as the source does."""
        if self._tags is not None:
            context.colorspace, context.color_primaries, context.color_trc = self._tags
            context.color_range = 1

    def _begin(self, frame: VideoFrame) -> None:
        rgb = frame.format.name.startswith("rgb")
        space = UNSPECIFIED if rgb else frame.colorspace
        large = frame.height >= 720 or frame.width >= 1280
        self._bt709 = space == BT709 or (space == UNSPECIFIED and large and not rgb)
        self._tags = (space, UNSPECIFIED if rgb else frame.color_primaries, UNSPECIFIED if rgb else frame.color_trc)
        self._white = self._colour((255, 255, 255))
        self._strip_sprite = Sprite.of(self._strip.picture, bt709=self._bt709)
        self._colours: dict[Verdict, Colour] = {verdict: self._colour(look.rgb) for verdict, look in LOOKS.items()}
        self._label = lru_cache(maxsize=512)(self._make_label)

    def _colour(self, rgb: tuple[int, int, int]) -> Colour:
        import numpy as np

        y, u, v = to_yuv(np.full((2, 2, 3), rgb, np.uint8), bt709=bool(self._bt709))
        return int(y[0, 0]), int(u[0, 0]), int(v[0, 0])

    def _make_label(self, text: str, size: int, verdict: Verdict) -> Sprite:
        picture = Image.new("RGB", text_size(text, size), LOOKS[verdict].rgb)
        draw_label(ImageDraw.Draw(picture), (0, 0), text, size, LOOKS[verdict].rgb)
        return Sprite.of(picture, bt709=bool(self._bt709))

    def _draw_faces(self, canvas: Canvas, time_s: float) -> None:
        there = moments(self._motions, time_s)
        boxes = []
        for moment in there:
            x0, y0, x1, y1 = (v * self._factor for v in moment.box)
            boxes.append((x0, y0, x1, y1))
            canvas.rectangle(boxes[-1], self._colours[moment.verdict], self._line, self._bottom)
        forms = []
        for moment in there:
            number = f"{moment.track}  " if self._names else ""
            value = score(moment.p_fake, missing="")
            forms.append([f"{number}{LOOKS[moment.verdict].word}  {value}".rstrip(), f"{number}{value}".rstrip()])
        for label in place_labels(boxes, forms, self._size, self._picture):
            sprite = self._label(label.text, label.size, there[label.index].verdict)
            canvas.paste(sprite, label.rect[0], label.rect[1])
