"""Animated pictures are clips."""

from __future__ import annotations

import pytest
from PIL import Image

from media_samples import STORED, encode, make_animation, number_of, scene
from unmask.base.errors import MediaError, UsageError
from unmask.media import open_media
from unmask.media.animation import delay_ms

KINDS = {"GIF": "gif", "WEBP": "webp", "PNG": "png", "AVIF": "avif"}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_at_their_times(kind: str) -> None:
    delays = [100, 200, 50, 50, 120, 300, 100, 100]
    with open_media(make_animation(kind, delay=delays), name="a.jpg") as media:
        info = media.info
        assert (info.kind, info.format, info.width, info.height) == ("clip", KINDS[kind], 320, 96)
        assert info.duration_s == pytest.approx(1.02, abs=0.001)
        assert info.fps == pytest.approx(8 / 1.02, abs=0.01)
        assert not info.has_audio
        for ahead in (0, 3):
            frames = list(media.frames(None, ahead=ahead))
            assert [number_of(f.image) for f in frames] == list(range(8))
            assert [f.index for f in frames] == list(range(8))
            assert [f.time_s for f in frames] == pytest.approx([0, 0.1, 0.3, 0.35, 0.4, 0.52, 0.82, 0.92], abs=0.001)
        assert [number_of(f.image) for f in media.frames(3.0)] == [0, 3, 6]
        assert len(list(media.frames(None, 4))) == 4
        assert media.warnings == []


def test_delays_that_no_browser_keeps() -> None:
    assert [delay_ms(ms) for ms in (0, 10, 20)] == [100, 100, 20]
    with open_media(make_animation("GIF", frames=5, delay=0)) as media:
        assert media.info.duration_s == pytest.approx(0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_is_a_picture(kind: str) -> None:
    with open_media(encode(Image.fromarray(scene()), kind)) as media:
        assert (media.info.kind, media.info.duration_s) == ("picture", None)
        assert len(list(media.frames())) == 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_a_file_that_is_cut_off_the_beginning_is_used(kind: str) -> None:
    data = make_animation(kind, frames=20)
    try:
        with open_media(data[: int(len(data) * 0.6)]) as media:
            frames = list(media.frames(None))
            assert 5 <= len(frames) < 20
            assert [number_of(f.image) for f in frames] == list(range(len(frames)))
            assert any("cut off" in note for note in media.warnings)
    except MediaError:
        assert kind == "WEBP"  # its decoder wants the whole file


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("kind", ["WEBP", "PNG"])  # GIF stores none, and Pillow 13 crashes where it is to write AVIF
def test_animations_are_turned_upright_as_pictures_are(kind: str, orientation: int) -> None:
    data = make_animation(kind, frames=4, orientation=orientation)
    with open_media(data) as media:
        frames = list(media.frames(None))
        assert (media.info.width, media.info.height) == (320, 96)
        assert [f.image.shape for f in frames] == [(96, 320, 3)] * 4
        assert [number_of(f.image) for f in frames] == [0, 1, 2, 3]
        assert [number_of(f.image) for f in media.frames(None, 2)] == [0, 2]


def test_transparent_animations_lie_on_white() -> None:
    pictures = [Image.new("RGBA", (8, 8), (255, 0, 0, alpha)) for alpha in (255, 0)]
    data = encode(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    with open_media(data) as media:
        first, second = (f.image[4, 4].tolist() for f in media.frames(None))
    assert (first, second) == ([255, 0, 0], [255, 255, 255])


def test_there_is_no_container_to_open() -> None:
    with open_media(make_animation("GIF")) as media, pytest.raises(UsageError):
        media.open_container()
