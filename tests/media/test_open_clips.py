"""Clips of every container: right frames at the right times, upright, in right colours, whatever is broken."""

from __future__ import annotations

import io
import itertools
import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media_samples import CONTAINERS, make_clip, make_sound, number_of, numbered
from unmask.base.errors import MediaError, UnmaskError, UsageError
from unmask.media import Media, clip, open_media, pictures, walk
from unmask.media.hdr import to_sdr
from unmask.media.sampling import Sampler
from unmask.provenance import read_provenance

DATA = os.environ.get("UNMASK_DATA")
THEORA = Path(__file__).parent / "theora.ogv"


def seen(media: Media, fps: float | None = None, count: int | None = None, ahead: int = 0) -> list[tuple[float, int]]:
    """(time, number shown) of the frames."""
    frames = list(media.frames(fps, count, ahead=ahead))
    assert [f.index for f in frames] == list(range(len(frames)))
    width, height = media.info.width, media.info.height
    assert all(f.image.shape == (height, width, 3) and f.image.flags.c_contiguous for f in frames)
    return [(round(f.time_s, 3), number_of(f.image)) for f in frames]


@pytest.mark.parametrize("container", CONTAINERS)
def test_each_container(container: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.jpg"
    path.write_bytes(make_clip(container, frames=50, fps=25, sound=True))
    names = {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg", "wmv": "asf"}
    with open_media(path) as media:
        info = media.info
        assert (info.kind, info.format) == ("clip", names.get(container, container))
        assert (info.width, info.height, info.has_audio) == (320, 96, True)
        assert info.fps == pytest.approx(25, abs=0.1)
        # An MPEG program stream does not say how long it is; FFmpeg guesses by its last time stamps.
        assert info.duration_s == pytest.approx(2, abs=0.5 if container == "mpg" else 0.03)
        everything = [(round(n / 25, 3), n) for n in range(50)]
        assert seen(media) == everything
        assert seen(media, ahead=4) == everything
        sampled = seen(media, 5.0)
        assert len(sampled) == 10
        assert all(0 <= n - 5 * k <= 2 and t == round(n / 25, 3) for k, (t, n) in enumerate(sampled))
        assert media.warnings == []
    with open_media(path.read_bytes(), name="bytes.mp4") as media:
        assert seen(media, 5.0) == sampled
        assert media.name == "bytes.mp4"


def test_theora() -> None:
    with open_media(THEORA) as media:
        assert seen(media) == [(round(n / 10, 3), n) for n in range(20)]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4", "mjpeg", "ffv1"])
def test_codecs_in_matroska(codec: str) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with open_media(make_clip("mkv", codec=codec, pixels=pixels, frames=40, fps=20)) as media:
        assert seen(media) == [(round(n / 20, 3), n) for n in range(40)]


def test_three_a_second_is_the_first_frame_at_or_after_each_third() -> None:
    # Intra frames only, so that every frame is a candidate.
    with open_media(make_clip("mp4", codec="mjpeg", pixels="yuvj420p", frames=60, fps=30)) as media:
        assert [n for _, n in seen(media, 3.0)] == [0, 10, 20, 30, 40, 50]
    with open_media(make_clip("mp4", codec="mjpeg", pixels="yuvj420p", frames=50, fps=25)) as media:
        assert [n for _, n in seen(media, 3.0)] == [0, 9, 17, 25, 34, 42]


def test_leaving_out_unneeded_frames_moves_the_choice_by_at_most_two() -> None:
    data = make_clip("mp4", frames=150, fps=30, options={"bf": "3"})
    with open_media(data) as media:
        chosen = [n for _, n in seen(media, 3.0)]
        assert len(chosen) == 15
        assert all(0 <= n - 10 * k <= 2 for k, n in enumerate(chosen))


def test_what_is_decoded_is_the_same_with_and_without_leaving_out() -> None:
    data = make_clip("mp4", frames=90, fps=30, options={"bf": "3"})
    with open_media(data) as media:
        every = {round(f.time_s, 4): f.image for f in media.frames(None)}
        for frame in media.frames(3.0):
            assert np.array_equal(frame.image, every[round(frame.time_s, 4)])


def test_where_leaving_out_opens_gaps_it_is_given_up() -> None:
    # Without references between pictures nearly all of them may be left out.
    data = make_clip(
        "mp4",
        codec="libx264",
        frames=90,
        fps=30,
        options={"x264-params": "bframes=16:b-adapt=0:b-pyramid=none:keyint=250"},
    )
    with open_media(data) as media:
        chosen = [n for _, n in seen(media, 3.0)]
    assert chosen == [0, 10, 20, 30, 40, 50, 60, 70, 80]


def test_more_a_second_than_there_are_gives_each_once() -> None:
    with open_media(make_clip(frames=10, fps=10)) as media:
        assert seen(media, 240.0) == [(n / 10, n) for n in range(10)]


def test_max_frames_spreads_over_the_clip() -> None:
    with open_media(make_clip("mkv", frames=100, fps=25)) as media:
        assert media.info.duration_s == pytest.approx(4, abs=0.05)
        assert [n for _, n in seen(media, 10.0, 4)] == pytest.approx([0, 25, 50, 75], abs=2)
        assert len(seen(media, None, 7)) == 7
        assert [n for _, n in seen(media, 2.0, 100)] == pytest.approx([0, 13, 25, 38, 50, 63, 75, 88], abs=2)
        assert len(seen(media, 3.0, 1)) == 1


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("keys", ["25", "40", "1000"])
def test_few_frames_of_a_long_clip_are_the_same_whether_it_jumps_or_not(container: str, keys: str) -> None:
    data = make_clip(
        container, frames=900, fps=25, size=(160, 64), options={"g": keys, "preset": "ultrafast", "bf": "2"}
    )
    with open_media(data) as media:
        assert media.info.duration_s == pytest.approx(36, abs=0.1)
        for count, wanted in ((4, [0, 225, 450, 675]), (1, [0]), (7, [0, 129, 258, 386, 515, 643, 772])):
            found = seen(media, 3.0, count)
            assert [n for _, n in found] == pytest.approx(wanted, abs=2)
            assert all(t == round(n / 25, 3) for t, n in found)
        assert media.warnings == []


def test_jumping_saves_the_decoding_of_what_lies_between(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(make_clip("mp4", frames=900, fps=25, size=(160, 64), options={"g": "25", "preset": "ultrafast"}))
    decoded_frames = 0
    with open_media(path) as media:
        sampler = Sampler(3.0, 4, media.info.duration_s)
        for _, time_s in walk.timed(media._source, media._kind, media._facts, [], sampler):  # type: ignore[attr-defined]
            decoded_frames += 1
            sampler.wants(time_s)
            if sampler.done:
                break
    assert decoded_frames < 900 / 4


@pytest.mark.parametrize(("fps", "count"), [(0, None), (-1, None), (float("nan"), None), (float("inf"), None), (3, 0)])
def test_senseless_requests(fps: float, count: int | None) -> None:
    with open_media(make_clip(frames=5)) as media, pytest.raises(UsageError):
        media.frames(fps, count)


def test_variable_frame_rate_goes_by_time() -> None:
    times = [0, 40, 80, 500, 900, 940, 980, 1020, 2000, 2040]
    for container in ("mp4", "mkv"):
        data = make_clip(container, codec="mpeg4", times=times, fps=25, options={"bf": "0"})
        with open_media(data) as media:
            assert [n for _, n in seen(media)] == list(range(10))
            assert [t for t, _ in seen(media)] == pytest.approx([t / 1000 for t in times], abs=0.002)
            assert [n for _, n in seen(media, 2.0)] == [0, 3, 7, 8]


def test_avi_with_reordered_frames_keeps_the_times() -> None:
    with open_media(make_clip("avi", codec="libx264", frames=50, fps=25)) as media:
        assert seen(media) == [(round(n / 25, 3), n) for n in range(50)]
        assert [n for _, n in seen(media, 5.0)] == list(range(0, 50, 5))


def test_time_stamps_that_cannot_be_right() -> None:
    # 25 frames in 20 ms: written with a wrong time base.
    with open_media(make_clip("mp4", frames=25, fps=1250)) as media:
        assert (media.info.fps, media.info.duration_s) == (25.0, 1.0)
        assert "1250" in media.warnings[0]
        assert [n for _, n in seen(media, 5.0)] == [0, 5, 10, 15, 20]


def test_frames_start_at_the_beginning_each_time_and_may_run_side_by_side() -> None:
    with open_media(make_clip(frames=20)) as media:
        first, second = media.frames(None), media.frames(None, ahead=2)
        pairs = [(number_of(a.image), number_of(b.image)) for a, b in zip(first, second, strict=True)]
    assert pairs == [(n, n) for n in range(20)]


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_the_rotation_of_the_container_is_applied(angle: int) -> None:
    with open_media(make_clip("mp4", frames=3, rotation=angle)) as media:
        image = next(media.frames()).image
        assert (media.info.height, media.info.width) == image.shape[:2]
    # The display matrix turns counter-clockwise, as numpy does.
    expected = np.rot90(numbered(0), angle // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4


def test_pixels_that_are_not_square_are_stretched() -> None:
    with open_media(make_clip("mp4", frames=3, pixel_shape=Fraction(4, 3))) as media:
        assert (media.info.width, media.info.height) == (427, 96)
        image = next(media.frames()).image
    expected = np.asarray(Image.fromarray(numbered(0)).resize((427, 96)))
    assert np.abs(image.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_pixels_count_with_their_shape_and_before_they_are_decoded(
    container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_clip(container, frames=3, pixel_shape=Fraction(4, 1))  # 320×96 in the file, 1280×96 upright
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1280 * 96)
    with open_media(data) as media:
        assert next(media.frames()).image.shape == (96, 1280, 3)
    monkeypatch.setattr(clip, "decoded", lambda *_, **__: pytest.fail("something was decoded"))
    for most in (1280 * 96 - 1, 320 * 96 - 1):
        monkeypatch.setattr(pictures, "MAX_PIXELS", most)
        with pytest.raises(MediaError, match="more than the"):
            open_media(data)


def test_a_shape_that_only_the_pictures_tell_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_clip("mp4", frames=3, pixel_shape=Fraction(4, 1))
    real = clip.square_width
    monkeypatch.setattr(clip, "square_width", lambda width, shape: width)  # noqa: ARG005 (the header says nothing)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1280 * 96 - 1)
    assert real(320, Fraction(4, 1)) == 1280
    with pytest.raises(MediaError, match="1280×96 pixels"):
        open_media(data)


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_a_clip_is_opened_twice_and_no_more(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for its facts, once for its pictures."""
    data = make_clip(container, frames=10)
    opened: list[object] = []
    real = av.open
    monkeypatch.setattr(av, "open", lambda *given, **options: opened.append(given) or real(*given, **options))
    with open_media(data) as media:
        assert read_provenance(media)["streams"]
        assert len(list(media.frames())) == 3
    assert len(opened) == 2


WEIGHTS = {"709": (1, 0.2126, 0.0722), "601": (6, 0.299, 0.114), "2020": (9, 0.2627, 0.0593)}
PATCHES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 90), (128, 128, 128)]


def colour_clip(matrix: str, full: bool, pixels: str, tagged: bool, height: int = 64) -> bytes:
    """Patches turned to YCbCr by the book (ITU-R BT.601, BT.709, BT.2020), without swscale."""
    space, red, blue = WEIGHTS[matrix]
    rgb = np.repeat(np.repeat(np.array([PATCHES], float) / 255, 64, 1), height, 0)
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    bits = 10 if pixels.endswith("10le") else 8
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    if full:
        planes = [p * (2**bits - 1) + (0 if i == 0 else 2 ** (bits - 1)) for i, p in enumerate(planes)]
    else:
        planes = [(p * (219, 224, 224)[i] + (16, 128, 128)[i]) * 2 ** (bits - 8) for i, p in enumerate(planes)]
    if "420" in pixels:
        planes[1:] = [p[::2, ::2] for p in planes[1:]]
    kind = np.uint16 if bits > 8 else np.uint8
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], height, pixels
        if tagged:
            stream.codec_context.colorspace = space
        stream.codec_context.color_range = 2 if full else 1
        for number in range(2):
            frame = av.VideoFrame(rgb.shape[1], height, pixels)
            for plane, values in zip(frame.planes, planes, strict=True):
                store = np.frombuffer(plane, kind).reshape(plane.height, -1).copy()
                store[:, : values.shape[1]] = np.clip(np.rint(values), 0, 2**bits - 1)
                plane.update(store.tobytes())
            frame.pts = number
            frame.color_range = 2 if full else 1
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("matrix", "full", "pixels", "tagged", "height"),
    [
        *itertools.product(
            ("709", "601", "2020"), (False, True), ("yuv420p", "yuv444p", "yuv420p10le"), (True,), (64,)
        ),
        ("601", False, "yuv420p", False, 64),
        ("709", False, "yuv420p", False, 768),
    ],
)
def test_colours(matrix: str, full: bool, pixels: str, tagged: bool, height: int) -> None:
    with open_media(colour_clip(matrix, full, pixels, tagged, height)) as media:
        image = next(media.frames()).image
    found = image[height // 2, 32::64].astype(int)
    assert np.abs(found - np.array(PATCHES)).max() <= 4


def pq_signal(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, the inverse EOTF."""
    light = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375


def hlg_signal(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100: grey of a 1000-nit display back to the scene, then the OETF."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize(("transfer", "signal"), [(16, pq_signal), (18, hlg_signal)])
def test_hdr_is_brought_down(transfer: int, signal: Any) -> None:
    grey = np.array([0.0, 0.02, 0.1, 0.3, 0.5, 0.7])  # light relative to SDR white, which lies at 203 nits
    height, width = 64, 64 * len(grey)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("libx265", rate=10, options={"x265-params": "log-level=error:lossless=1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        frame = av.VideoFrame(width, height, "yuv420p10le")
        luma = np.repeat((16 + 219 * signal(grey * 203)) * 4, 64)[None].repeat(height, 0)
        for plane, values in zip(
            frame.planes, (luma, np.full((32, width // 2), 512), np.full((32, width // 2), 512)), strict=True
        ):
            store = np.frombuffer(plane, np.uint16).reshape(plane.height, -1).copy()
            store[:, : values.shape[1]] = np.rint(values)
            plane.update(store.tobytes())
        frame.pts = 0
        frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 9, 9, transfer, 1
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with open_media(buffer.getvalue()) as media:
        image = next(media.frames()).image
        assert "HDR" in media.warnings[0]
    expected = np.where(grey <= 0.0031308, 12.92 * grey, 1.055 * grey ** (1 / 2.4) - 0.055) * 255
    assert np.abs(image[32, 32::64].astype(float) - expected[:, None]).max() <= 4


def test_hdr_colours_return_to_what_they_were() -> None:
    srgb = np.array([[(200, 120, 90), (60, 110, 40), (30, 60, 150), (128, 128, 128)]], float) / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    wide = light @ np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]).T
    signal = np.rint(pq_signal(wide * 203) * 65535).astype(np.uint16)
    assert np.abs(to_sdr(signal, 16, 9).astype(float) - srgb * 255).max() <= 3
    bright = np.rint(pq_signal(np.array([[[203.0] * 3, [1000.0] * 3, [10_000.0] * 3]])) * 65535).astype(np.uint16)
    values = to_sdr(bright, 16, 9)[0, :, 0]
    assert 235 <= values[0] < values[1] <= values[2] == 255


def test_interlaced() -> None:
    data = make_clip("mp4", frames=20, options={"x264-params": "interlaced=1"})
    with open_media(data) as media:
        assert [n for _, n in seen(media)] == list(range(20))


@pytest.mark.parametrize("container", ["mkv", "webm", "avi", "ts", "flv", "ogg", "mpg", "wmv"])
def test_of_a_clip_that_is_cut_off_the_rest_is_used(container: str) -> None:
    data = make_clip(container, frames=100, fps=25, sound=True, options={"g": "25"})
    with open_media(data[: int(len(data) * 0.6)]) as media:
        frames = seen(media)
        assert 30 <= len(frames) <= 95
        assert all(abs(t * 25 - n) < 0.6 for t, n in frames)
        if container in {"mkv", "webm", "flv"}:  # these say at the start how long they meant to be
            assert any("cut off" in note for note in media.warnings)


def test_an_mp4_that_is_cut_off(tmp_path: Path) -> None:
    data = make_clip("mp4", frames=100, fps=25, sound=True)
    with pytest.raises(MediaError, match="index is missing"):
        open_media(data[: int(len(data) * 0.6)])
    path = tmp_path / "fast.mp4"
    with (
        av.open(io.BytesIO(data)) as source,
        av.open(str(path), "w", format="mp4", container_options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = path.read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    with open_media(whole[: int(len(whole) * 0.7)]) as media:
        frames = seen(media)
        assert 20 <= len(frames) < 100
        assert any("cut off" in note for note in media.warnings)


@pytest.mark.parametrize("container", CONTAINERS)
def test_damage_in_the_middle(container: str) -> None:
    data = make_clip(container, frames=100, fps=25, options={"g": "10"})
    for seed in range(3):
        chance = random.Random(seed)
        broken = bytearray(data)
        place = chance.randrange(len(data) // 3, 2 * len(data) // 3)
        broken[place : place + 40] = chance.randbytes(40)
        with open_media(bytes(broken)) as media:
            frames = seen(media)
            assert len(frames) >= 20
            if len(frames) < 90 and container in {"mp4", "mov", "avi", "ts"}:
                assert any("left out" in note for note in media.warnings)
            times = [t for t, _ in frames]
            assert times == sorted(set(times))


def test_no_pictures_in_it() -> None:
    for muxer, codec in (("mp4", "aac"), ("ogg", "libopus"), ("matroska", "flac")):
        with pytest.raises(MediaError, match="only sound"):
            open_media(make_sound(muxer, codec))
    with pytest.raises(MediaError):
        open_media(make_clip(frames=0))


def test_cover_art_is_no_clip() -> None:
    buffer = io.BytesIO()
    cover = io.BytesIO()
    Image.new("RGB", (64, 64)).save(cover, "PNG")
    with av.open(io.BytesIO(make_sound("mp4", "aac"))) as source, av.open(buffer, "w", format="mp4") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        art = target.add_stream("png", rate=1)
        art.width = art.height = 64
        art.pix_fmt = "rgb24"
        art.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 1)
        target.mux(packet)
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
    with pytest.raises(MediaError, match="only sound"):
        open_media(buffer.getvalue())


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/clip\xff.mp4"))
    path.write_bytes(make_clip(frames=5))
    with open_media(path) as media:
        assert len(seen(media)) == 5


def test_full_rate_access_agrees_with_the_frames() -> None:
    with open_media(make_clip("mkv", frames=20, fps=10, sound=True, rotation=0)) as media:
        wanted = [(f.time_s, f.image) for f in media.frames(None)]
        clock = media.clock()
        with media.open_container() as container:
            stream = media.video_stream(container)
            for (time_s, image), frame in zip(wanted, container.decode(stream), strict=True):
                assert clock.time(frame) == time_s
                assert np.array_equal(media.rgb(frame), image)


SAMPLES = [make_clip(name, frames=8, fps=25, size=(64, 32)) for name in CONTAINERS]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=12))
def test_changed_bytes_are_never_more_than_an_unmask_error(data: bytes, changes: list[tuple[float, bytes]]) -> None:
    broken = bytearray(data)
    for place, value in changes:
        start = int(place * (len(data) - len(value)))
        broken[start : start + len(value)] = value
    found = None
    try:
        with open_media(bytes(broken)) as media:
            last = -1.0
            for frame in media.frames(None, 50):
                assert frame.time_s > last
                last = frame.time_s
    except UnmaskError as error:
        found = error
    assert found is None or found.path


MEMORY = """
import resource, sys
from unmask.media import open_media
with open_media(sys.argv[1]) as media:
    count = sum(1 for _ in media.frames(3.0, ahead=4))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = {}
    for seconds in (10, 60):
        path = tmp_path / f"{seconds}.mp4"
        path.write_bytes(
            make_clip("mp4", frames=25 * seconds, fps=25, size=(1280, 720), options={"preset": "ultrafast"})
        )
        result = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
        count, peaks[seconds] = map(int, result.stdout.split())
        assert count == 3 * seconds
    assert peaks[60] < peaks[10] * 1.05 + 4000, peaks


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="$UNMASK_DATA is not set")
@pytest.mark.parametrize(
    ("path", "size", "duration", "fps", "sound"),
    [
        ("dfdc-clips/train_sample_videos/abofeumbvv.mp4", (1920, 1080), 10.01, 29.97, True),
        ("ffpp-clips/original_sequences/youtube/c23/videos/004.mp4", (1280, 720), 12.36, 25, False),
        ("real-clips/d10.mp4", (512, 512), 14.93, 30, True),
        ("real-clips/pcavs-00002.mp4", (224, 224), 5.04, 25, True),
        ("uadfv-clips/fake/0018_fake.mp4", (450, 500), 12.9, 30, False),
        ("talking-clips/fake/hallo3-OXoTJEhpsr8.mp4", (512, 340), 2.0, 25, False),
    ],
)
def test_real_clips(path: str, size: tuple[int, int], duration: float, fps: float, sound: bool) -> None:
    with open_media(Path(DATA or "") / path) as media:
        info = media.info
        assert (info.width, info.height) == size
        assert info.duration_s == pytest.approx(duration, abs=0.03)
        assert info.fps == pytest.approx(fps, abs=0.01)
        assert info.has_audio == sound
        times = [f.time_s for f in media.frames(3.0)]
    assert len(times) == pytest.approx(3 * duration, abs=1)
    assert all(0 <= t - k / 3 < 0.12 for k, t in enumerate(times))
