"""Annotated clips: every frame, its time and the sound, in a file that players open."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from media_samples import make_animation, make_clip, number_of, scene
from render_samples import clip_report, make_track
from unmask.base.errors import MediaError, UsageError
from unmask.media import open_media
from unmask.render.clip import annotate_clip
from unmask.render.names import is_ours
from unmask.render.verdict import LOOKS
from unmask.report import Report


class Written:
    """What lies in an annotated clip."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            self.codec, self.pixels = video.codec_context.name, video.pix_fmt
            self.size = (video.width, video.height)
            self.frames: list[Any] = []
            self.times: list[float] = []
            for frame in container.decode(video):
                self.frames.append(frame.to_ndarray(format="rgb24"))
                self.times.append(float(frame.pts * frame.time_base))
        with av.open(str(path)) as container:
            self.audio = container.streams.audio[0].codec_context.name if container.streams.audio else None
            packets = [p for p in container.demux(container.streams.audio) if p.pts is not None] if self.audio else []
            self.sound_s = float(sum(p.duration * p.time_base for p in packets))
            self.packets = len(packets)


def annotated(tmp_path: Path, source: bytes | Path, report: Report | None = None) -> Written:
    out = tmp_path / "out" / "clip.mp4"
    assert annotate_clip(source, report or clip_report(make_track()), out) == out
    assert [file.name for file in out.parent.iterdir()] == ["clip.mp4"]
    return Written(out)


def packets_of(data: bytes) -> int:
    with av.open(io.BytesIO(data)) as container:
        return sum(p.pts is not None for p in container.demux(container.streams.audio))


def test_a_file_that_players_open(tmp_path: Path) -> None:
    data = make_clip("mp4", sound=True)
    found = annotated(tmp_path, data)
    assert (found.codec, found.pixels, found.audio) == ("h264", "yuv420p", "aac")
    assert all(side % 2 == 0 for side in found.size)
    assert found.packets == packets_of(data)
    assert [number_of(frame[:96]) for frame in found.frames] == list(range(30))
    assert np.allclose(found.times, np.arange(30) / 10, atol=1e-3)
    content = (tmp_path / "out" / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert is_ours(tmp_path / "out" / "clip.mp4")


def near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - np.array(colour)).max() < 45)


def test_the_box_goes_with_the_face(tmp_path: Path) -> None:
    track = make_track(start=0.0, end=2.0, box=(40.0, 40.0, 90.0, 90.0), segments=((0.0, 2.0),))
    found = annotated(tmp_path, make_clip("mp4"), clip_report(track))
    red = LOOKS["likely_fake"].rgb
    for number in (0, 5, 10, 15):
        x = round((40 + 30 * number / 10) / 2) * 2
        assert near(found.frames[number][65, x], red), number
        assert not near(found.frames[number][65, x - 6], red)
    assert not (np.abs(found.frames[28][:96].astype(int) - red).max(axis=2) < 45)[40:].any()  # gone


def test_the_strip_shows_stretch_and_playhead(tmp_path: Path) -> None:
    found = annotated(tmp_path, make_clip("mp4"), clip_report(make_track()))
    assert found.size[1] > 96
    strip = found.frames[29][96:].astype(int)
    red = np.abs(strip - LOOKS["likely_fake"].rgb).max(axis=2) < 45
    lane = red[strip.shape[0] // 2 :].any(axis=0)
    columns = np.flatnonzero(lane)
    width = found.size[0]
    assert columns.min() == pytest.approx(width / 3, abs=width * 0.06)
    assert columns.max() == pytest.approx(2 * width / 3, abs=width * 0.06)
    white = [np.flatnonzero((frame[-10:].min(axis=2) > 190).any(axis=0)).mean() for frame in found.frames]
    assert np.all(np.diff(white) > 0)


def test_uneven_times_stay(tmp_path: Path) -> None:
    times = [0, 40, 200, 250, 1000, 1033, 2500]
    found = annotated(tmp_path, make_clip("mkv", times=times), clip_report(make_track()))
    assert [round(1000 * t) for t in found.times] == pytest.approx(times, abs=1)


@pytest.mark.parametrize("container", ["mov", "mkv", "webm", "avi", "ts", "mpg", "flv", "ogg", "wmv"])
def test_every_container_with_its_sound(tmp_path: Path, container: str) -> None:
    found = annotated(tmp_path, make_clip(container, frames=25, fps=25, sound=True))
    assert len(found.frames) in (24, 25)  # MPEG's last frame may be held back by its decoder
    assert (found.codec, found.pixels) == ("h264", "yuv420p")
    assert found.audio in ("aac", "mp3float")
    assert found.sound_s == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    data = make_clip("mp4", rotation=rotation, frames=3)
    with open_media(data) as media:
        upright = next(iter(media.frames())).image
    found = annotated(tmp_path, data, clip_report())
    height, width = upright.shape[:2]
    assert found.size[0] == width
    assert np.abs(found.frames[0][:height].astype(int) - upright.astype(int)).mean() < 4


@pytest.mark.parametrize(
    ("size", "pixels", "shape"),
    [
        ((321, 97), "yuv444p", None),
        ((320, 96), "yuv422p", None),
        ((320, 96), "yuv420p", Fraction(4, 3)),
        ((64, 48), "yuv420p", None),
    ],
)
def test_other_sizes_and_pixels(tmp_path: Path, size: tuple[int, int], pixels: str, shape: Fraction | None) -> None:
    data = make_clip("mkv", frames=3, size=size, pixels=pixels, pixel_shape=shape)
    with open_media(data) as media:
        upright = next(iter(media.frames())).image
    found = annotated(tmp_path, data, clip_report())
    factor = -(-320 // max(upright.shape[:2]))
    height, width = upright.shape[0] * factor, upright.shape[1] * factor
    assert found.size[0] == width + width % 2
    wanted = np.asarray(Image.fromarray(upright).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(found.frames[0][:height, :width].astype(int) - wanted).mean() < 6
    # An odd last column is doubled, not left black.
    assert np.abs(found.frames[0][:height, -1].astype(int) - found.frames[0][:height, -2].astype(int)).mean() < 12


@pytest.mark.parametrize("full", [False, True])
def test_colours_stay(tmp_path: Path, full: bool) -> None:
    """Limited and full range, through the same player."""
    buffer = io.BytesIO()
    picture = scene(320, 240)
    with av.open(buffer, "w", format="mov") as output:
        stream: Any = output.add_stream("mjpeg" if full else "libx264", rate=10)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuvj420p" if full else "yuv420p"
        stream.options = {"qmin": "1", "qmax": "2"} if full else {"crf": "10"}
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        for number in range(3):
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    found = annotated(tmp_path, buffer.getvalue(), clip_report())
    assert np.abs(found.frames[1][:240].astype(int) - picture.astype(int)).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations(tmp_path: Path, kind: str) -> None:
    found = annotated(tmp_path, make_animation(kind, delay=200), clip_report(make_track()))
    assert [number_of(frame[:96]) for frame in found.frames] == list(range(8))
    assert np.allclose(found.times, np.arange(8) / 5, atol=2e-3)
    assert found.audio is None


def test_no_face_no_box(tmp_path: Path) -> None:
    found = annotated(tmp_path, make_clip("mp4", frames=3), clip_report())
    assert number_of(found.frames[2][:96]) == 2


def test_progress_rises_to_one(tmp_path: Path) -> None:
    shares: list[float] = []
    annotate_clip(make_clip("mp4"), clip_report(), tmp_path / "a.mp4", shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 10


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_clip(make_clip("mp4", sound=True), clip_report(), tmp_path / "a.mp4", stop)
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(make_clip("mp4"))
    before = clip.read_bytes()
    (tmp_path / "link.mp4").hardlink_to(clip)
    for out in (clip, tmp_path / "link.mp4"):
        with pytest.raises(UsageError, match="overwrite"):
            annotate_clip(clip, clip_report(), out)
    assert clip.read_bytes() == before


def test_pictures_and_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mp4"):
        annotate_clip(make_clip("mp4"), clip_report(), tmp_path / "a.avi")
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "PNG")
    with pytest.raises(UsageError, match="picture"):
        annotate_clip(buffer.getvalue(), clip_report(), tmp_path / "a.mp4")
    with pytest.raises(MediaError):
        annotate_clip(tmp_path / "none.mp4", clip_report(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


MEASURE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from media_samples import make_clip
from render_samples import clip_report, make_track
from unmask.render.clip import annotate_clip
data = Path({source!r})
annotate_clip(data, clip_report(make_track(end={seconds})), Path({out!r}))
# VmHWM and not ru_maxrss, which starts at what the parent process took.
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_memory_is_flat_in_the_length(tmp_path: Path) -> None:
    peaks = []
    for frames in (90, 360):
        source = tmp_path / f"{frames}.mp4"
        source.write_bytes(make_clip("mp4", frames=frames, fps=30, size=(640, 360), sound=True))
        code = textwrap.dedent(MEASURE).format(
            tests=str(Path(__file__).parents[1]),
            source=str(source),
            out=str(tmp_path / "out.mp4"),
            seconds=frames / 30,
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 20 << 10  # KiB


def test_a_folder_whose_name_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = annotate_clip(make_clip(), clip_report(make_track()), Path("day:1") / "clip.mp4")
    assert (tmp_path / out).is_file()
