"""Pictures of every kind, upright and in RGB; broken ones are refused."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from media_samples import STORED, encode, make_animation, make_clip, scene
from unmask.base.errors import MediaError, MissingExtraError, UnmaskError, UnsupportedMediaError, UsageError
from unmask.media import open_media, pictures
from unmask.media.pictures import MAX_PIXELS

KINDS = {
    "JPEG": ("jpeg", {"quality": 95, "subsampling": 0}, 6),
    "PNG": ("png", {}, 0),
    "WEBP": ("webp", {"quality": 95}, 12),
    "AVIF": ("avif", {"quality": 95}, 8),
    "TIFF": ("tiff", {}, 0),
    "BMP": ("bmp", {}, 0),
}


def only_frame(data: object, **options: object) -> np.ndarray:
    with open_media(data, **options) as media:
        frames = list(media.frames())
    assert len(frames) == 1
    assert frames[0].time_s == 0.0
    image = frames[0].image
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_known_by_its_content_under_a_wrong_name(kind: str, tmp_path: Path) -> None:
    name, options, tolerance = KINDS[kind]
    data = encode(Image.fromarray(scene()), kind, **options)
    path = tmp_path / "picture.mp4"
    path.write_bytes(data)
    with open_media(path) as media:
        assert (media.info.kind, media.info.format) == ("picture", name)
        assert (media.info.width, media.info.height) == (160, 120)
        assert (media.info.duration_s, media.info.fps, media.info.has_audio) == (None, None, False)
        assert media.name == str(path)
        assert media.path == path
        assert media.sha256 == hashlib.sha256(data).hexdigest()
        image = next(media.frames()).image
    assert np.abs(image.astype(int) - scene()).max() <= tolerance
    assert np.array_equal(only_frame(data), image)


def test_heic_is_read_with_the_extra() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(scene())).save(buffer, quality=95)
    with open_media(buffer.getvalue()) as media:
        assert media.info.format == "heic"
        assert np.abs(next(media.frames()).image.astype(int) - scene()).max() <= 12


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError) as caught:
        open_media(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), name="IMG_1.HEIC")
    assert "pip install 'unmask[heic]'" in str(caught.value)
    assert caught.value.path == "IMG_1.HEIC"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = Image.fromarray(scene())
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, kind, **{**KINDS[kind][1], "exif": exif})
    with open_media(data) as media:
        assert (media.info.width, media.info.height) == (160, 120)
        image = next(media.frames()).image
    assert image.shape == (120, 160, 3)
    assert np.abs(image.astype(int) - scene()).max() <= 12


def test_a_pillow_picture_is_turned_too_and_not_changed() -> None:
    stored = Image.fromarray(scene()).transpose(Image.Transpose.ROTATE_90)
    stored.getexif()[0x0112] = 6
    before = stored.tobytes()
    assert np.array_equal(only_frame(stored), scene())
    assert stored.tobytes() == before
    with open_media(stored) as media:
        assert (media.info.width, media.info.height, media.info.format) == (160, 120, "pil")
        assert media.sha256 is None
        assert media.path is None


def test_arrays_are_taken_as_they_are() -> None:
    array = scene()[:, ::-1]
    with open_media(array, name="webcam") as media:
        assert (media.info.format, media.name, media.sha256) == ("array", "webcam", None)
        assert np.array_equal(next(media.frames()).image, array)


def test_transparency_is_laid_over_white() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[:2] = (255, 0, 0, 255)
    picture[2, :] = (255, 0, 0, 128)
    expected = np.full((4, 4, 3), 255, np.uint8)
    expected[:2] = (255, 0, 0)
    expected[2] = (255, 127, 127)
    for source in (picture, encode(Image.fromarray(picture), "PNG"), encode(Image.fromarray(picture), "TIFF")):
        assert np.abs(only_frame(source).astype(int) - expected).max() <= 1


def test_palettes_grey_and_key_colours() -> None:
    flat = Image.fromarray(scene()).quantize(16)
    assert np.array_equal(only_frame(encode(flat, "PNG")), np.asarray(flat.convert("RGB")))
    grey = Image.fromarray(scene()).convert("L")
    assert np.array_equal(only_frame(encode(grey, "PNG"))[..., 0], np.asarray(grey))
    keyed = encode(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (only_frame(keyed) == 255).all()
    bits = Image.fromarray(scene()).convert("1")
    assert np.array_equal(only_frame(encode(bits, "PNG"))[..., 1], np.asarray(bits.convert("L")))


def test_sixteen_bits_and_floating_point() -> None:
    ramp = np.linspace(0, 255, 64).reshape(8, 8)
    expected = np.rint(ramp)
    deep = Image.fromarray((ramp * 257).astype(np.uint16))
    for kind in ("PNG", "TIFF"):
        assert np.abs(only_frame(encode(deep, kind))[..., 0] - expected).max() <= 1
    unit = Image.fromarray((ramp / 255).astype(np.float32))
    assert np.abs(only_frame(encode(unit, "TIFF"))[..., 0] - expected).max() <= 1
    wide = Image.fromarray(np.where(ramp > 250, np.nan, ramp).astype(np.float32))
    assert only_frame(wide).max() <= 251


def test_cmyk_keeps_its_colours() -> None:
    cmyk = Image.fromarray(scene()).convert("CMYK")
    for kind, options in (("JPEG", {"quality": 95}), ("TIFF", {})):
        assert np.abs(only_frame(encode(cmyk, kind, **options)).astype(int) - scene()).max() <= 10


def test_a_wide_colour_profile_is_converted_and_srgb_left_alone() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(scene())
    assert np.array_equal(only_frame(encode(picture, "PNG", icc_profile=srgb)), scene())
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(only_frame(encode(picture, "PNG", icc_profile=lab)), scene()), "an unusable profile"
    assert np.array_equal(only_frame(encode(picture, "PNG", icc_profile=b"garbage" * 40)), scene())


def test_of_several_pages_the_first_is_taken_and_said() -> None:
    first, second = Image.fromarray(scene()), Image.new("RGB", (10, 10))
    data = encode(first, "TIFF", save_all=True, append_images=[second])
    with open_media(data) as media:
        assert media.info.kind == "picture"
        assert np.array_equal(next(media.frames()).image, scene())
        assert media.warnings == ["only the first of 2 pages was looked at"]


def test_a_phone_jpeg_with_several_pictures_is_one_picture() -> None:
    data = encode(Image.fromarray(scene()), "MPO", save_all=True, append_images=[Image.new("RGB", (160, 120))])
    with open_media(data) as media:
        assert (media.info.kind, media.info.format) == ("picture", "jpeg")
        assert np.abs(next(media.frames()).image.astype(int) - scene()).max() <= 25


@pytest.mark.parametrize("kind", [*KINDS, "progressive JPEG"])
def test_half_a_picture_is_never_given(kind: str) -> None:
    progressive, kind = kind.startswith("progressive"), kind.rsplit(maxsplit=1)[-1]
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    options = {**KINDS[kind][1], **({"progressive": True} if progressive else {})}
    data = encode(Image.fromarray(noise), kind, **options)
    whole = only_frame(data)
    for part in (0.1, 0.3, 0.5, 0.8, 0.95):
        with pytest.raises(MediaError) as caught:
            only_frame(data[: int(len(data) * part)], name="cut.jpg")
        assert caught.value.path == "cut.jpg"
        assert caught.value.hint
    for lost in (1, 2, 5, 12):  # the end mark may go, pixels may not
        try:
            image = only_frame(data[:-lost])
        except MediaError:
            continue
        assert np.array_equal(image, whole)


def test_bombs_are_refused_before_they_are_decoded(recwarn: pytest.WarningsRecorder) -> None:
    side = int(MAX_PIXELS**0.5) + 10
    data = encode(Image.new("1", (side, side)), "PNG")
    assert len(data) < 100_000
    with pytest.raises(MediaError, match="million") as caught:
        open_media(data)
    assert "Reduce" in caught.value.hint
    with pytest.raises(MediaError, match="million"):
        open_media(encode(Image.new("1", (14_000, 14_000)), "PNG"))
    assert not recwarn.list


def test_the_limit_holds_for_every_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    picture = Image.fromarray(scene())
    for source in (scene(), picture, encode(picture, "JPEG"), make_clip(frames=2), make_animation("GIF")):
        with pytest.raises(MediaError, match="million"):
            open_media(source)
    assert only_frame(scene(40, 25)).shape == (25, 40, 3)


def test_missing_empty_folder_device_and_address(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(MediaError, match="empty"):
        open_media(empty)
    with pytest.raises(MediaError, match="empty"):
        open_media(b"")
    with pytest.raises(MediaError, match="no such file"):
        open_media(tmp_path / "none.jpg")
    with pytest.raises(MediaError, match="folder") as caught:
        open_media(str(tmp_path))
    assert "analyze" in caught.value.hint
    with pytest.raises(MediaError) as caught:
        open_media("https://example.org/a.jpg")
    assert "download" in caught.value.hint
    with pytest.raises(MediaError, match="device"):
        open_media("/dev/null")
    with pytest.raises(MediaError):
        open_media("with\0zero")


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = encode(Image.fromarray(scene()), "PNG")
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    with open_media(pipe) as media:
        assert np.array_equal(next(media.frames()).image, scene())
        assert media.sha256 == hashlib.sha256(data).hexdigest()
    writer.join()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"<!doctype html><p>", "web page"),
        (b"just words", "not a picture"),
        (b"8BPS\0\x01", "Photoshop"),
    ],
)
def test_other_files_are_named(data: bytes, word: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=word) as caught:
        open_media(data)
    assert "JPEG" in caught.value.hint


@pytest.mark.parametrize("source", [None, 3, 2.5, object(), [1, 2], io.BytesIO(b"x")])
def test_other_objects_are_a_wrong_call(source: object) -> None:
    with pytest.raises(UsageError):
        open_media(source)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.float32, np.bool_]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6),
    )
)
def test_arrays_of_any_shape_give_a_frame_or_an_error(array: np.ndarray) -> None:
    good = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4) and array.size > 0
    if good:
        assert only_frame(array).shape == (*array.shape[:2], 3)
    else:
        with pytest.raises(UnmaskError):
            only_frame(array)


HEADS = [
    b"",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0",
    b"II*\0\x08\0\0\0",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    b"\0\0\0\x1cftypavis\0\0\0\0avifmif1",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
    b"RIFF\0\0\0\0AVI LIST",
    b"FLV\x01\x05\0\0\0\x09",
    b"OggS\0\x02",
    b"\0\0\x01\xba\x44",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x47" + b"\0" * 187 + b"\x47" + b"\0" * 187 + b"\x47",
    b"#EXTM3U\n",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=600))
def test_garbage_is_never_more_than_an_unmask_error(head: bytes, tail: bytes) -> None:
    found = None
    try:
        with open_media(head + tail) as media:
            list(media.frames(None, 3))
    except UnmaskError as error:
        found = error
    assert found is None or (found.message and found.path == "<bytes>")


SAMPLES = [encode(Image.fromarray(scene(32, 24)), kind, **options[1]) for kind, options in KINDS.items()] + [
    encode(Image.fromarray(scene(32, 24)), "GIF")
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_never_more_than_an_unmask_error(data: bytes, changes: list[tuple[float, int]]) -> None:
    broken = bytearray(data)
    for place, value in changes:
        broken[int(place * (len(data) - 1))] = value
    found = None
    try:
        only_frame(bytes(broken))
    except UnmaskError as error:
        found = error
    assert found is None or found.path
