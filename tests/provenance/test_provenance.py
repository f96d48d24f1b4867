"""What files say of their making."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from media_samples import encode, make_animation, make_clip, scene
from unmask.media import open_media
from unmask.provenance import Provenance, read_provenance
from unmask.provenance.read import MAX_TEXT
from unmask.provenance.xmp import read_xmp

DATA = os.environ.get("UNMASK_DATA")
PICTURE = Image.fromarray(scene())
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmp:CreatorTool="Painter &amp; Co 3" photoshop:Credit="Made with Google AI"
 Iptc4xmpExt:DigitalSourceType="{GENERATED}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


TITLED = {"title": "A clip", "comment": "c" * 9000}


def read(source: Any) -> dict[str, Any]:
    found = read_provenance(source)
    json.dumps(found, allow_nan=False).encode()
    assert Provenance(**found).model_dump(exclude_none=True) == found
    return found


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Canon", "EOS R5", "Firmware 1.8"
    exif[0x0132] = "2024:05:01 12:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 11:59:58"
    exif.get_ifd(0x8769)[0xA434] = "RF50mm"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif(kind: str, tmp_path: Path) -> None:
    data = encode(PICTURE, kind, exif=camera_exif())
    expected = {
        "make": "Canon",
        "model": "EOS R5",
        "software": "Firmware 1.8",
        "changed": "2024:05:01 12:00:00",
        "taken": "2024:05:01 11:59:58",
        "lens": "RF50mm",
        "has_gps": True,
    }
    if kind == "TIFF":  # Pillow does not write the sub-directories there
        expected = {key: expected[key] for key in ("make", "model", "software", "changed")}
    assert read(data)["exif"] == expected
    path = tmp_path / "x"
    path.write_bytes(data)
    assert read(path)["exif"] == expected
    with open_media(path) as media:
        list(media.frames())
        assert read(media)["exif"] == expected


@pytest.mark.parametrize("prefix", [b"UNICODE\0", b"ASCII\0\0\0"])
def test_a_prompt_in_the_user_comment(prefix: bytes) -> None:
    text = "a face, Steps: 20, Sampler: Euler a"
    exif = Image.Exif()
    for body in [text.encode("utf-16-be"), text.encode("utf-16-le")] if prefix[0] == 85 else [text.encode()]:
        exif.get_ifd(0x8769)[0x9286] = prefix + body
        assert read(encode(PICTURE, "JPEG", exif=exif))["exif"]["user_comment"] == text


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "AVIF", "TIFF"])
def test_xmp(kind: str) -> None:
    options: dict[str, Any] = {"xmp": XMP}
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": info}
    elif kind == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    found = read(encode(PICTURE, kind, **options))
    assert found["xmp"] == {
        "creator_tool": "Painter & Co 3",
        "credit": "Made with Google AI",
        "digital_source_type": "trainedAlgorithmicMedia",
    }
    assert "text" not in found


def test_an_xmp_packet_without_known_fields_is_still_said() -> None:
    assert read(encode(PICTURE, "JPEG", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"))["xmp"] == {}


@pytest.mark.parametrize(
    ("packet", "field", "value"),
    [
        ("<xmp:CreatorTool>GIMP 2.10</xmp:CreatorTool>", "creator_tool", "GIMP 2.10"),
        ("<a xmp:CreatorTool = 'x y'/>", "creator_tool", "x y"),
        (f'<e:DigitalSourceType rdf:resource="{GENERATED}"/>', "digital_source_type", "trainedAlgorithmicMedia"),
        (f"<e:DigitalSourceType>{GENERATED}/</e:DigitalSourceType>", "digital_source_type", "trainedAlgorithmicMedia"),
        ("<e:DigitalSourceType>compositeSynthetic</e:DigitalSourceType>", "digital_source_type", "compositeSynthetic"),
        ("<p:Credit><rdf:Alt><rdf:li xml:lang='x'>Me</rdf:li></rdf:Alt></p:Credit>", "credit", "Me"),
        ("<e:AISystemUsed>Model 4</e:AISystemUsed>", "ai_system", "Model 4"),
        ("<e:AIPromptInformation>an old man</e:AIPromptInformation>", "ai_prompt", "an old man"),
    ],
)
def test_ways_to_write_xmp(packet: str, field: str, value: str) -> None:
    assert read_xmp(packet) == {field: value}


@given(st.text(max_size=300))
def test_any_packet(text: str) -> None:
    assert isinstance(read_xmp(text + "<x:CreatorTool>" + text), dict)


def test_a_packet_made_to_be_slow_is_not() -> None:
    for hostile in ("<x:Credit " * 100_000, "CreatorTool=" * 80_000, "<a:Credit>" + "<" * 900_000, " " * 1_000_000):
        read_xmp(hostile)


def test_text_of_png() -> None:
    info = PngInfo()
    info.add_text("parameters", "portrait of a woman\nNegative prompt: blurry\nSteps: 30, Model: sdxl")
    info.add_itxt("Software", "NovelAI ✓")
    info.add_text("workflow", "x" * 100_000, zip=True)
    found = read(encode(PICTURE, "PNG", pnginfo=info))["text"]
    assert found["parameters"].endswith("Model: sdxl")
    assert found["Software"] == "NovelAI ✓"
    assert found["workflow"] == "x" * MAX_TEXT + "…"


def test_text_is_bounded_in_number_too() -> None:
    info = PngInfo()
    for number in range(500):
        info.add_text(f"key{number}", "value")
    assert len(read(encode(PICTURE, "PNG", pnginfo=info))["text"]) == 40


def test_comments() -> None:
    assert read(encode(PICTURE, "JPEG", comment=b"CREATOR: gd-jpeg v1.0"))["text"] == {
        "comment": "CREATOR: gd-jpeg v1.0"
    }
    assert read(encode(PICTURE, "GIF", comment=b"made by hand"))["text"]["comment"] == "made by hand"


def test_iptc_of_jpeg() -> None:
    def dataset(number: int, value: bytes) -> bytes:
        return b"\x1c\x02" + bytes([number]) + len(value).to_bytes(2, "big") + value

    body = dataset(80, b"A. Photographer") + dataset(110, b"Agency") + dataset(40, b"FBMD0100") + dataset(25, b"word")
    resource = b"8BIM\x04\x04\0\0" + len(body).to_bytes(4, "big") + body + b"\0" * (len(body) % 2)
    payload = b"Photoshop 3.0\0" + resource
    segment = b"\xff\xed" + (len(payload) + 2).to_bytes(2, "big") + payload
    data = encode(PICTURE, "JPEG")
    found = read(data[:2] + segment + data[2:])
    assert found["iptc"] == {"byline": "A. Photographer", "credit": "Agency", "special_instructions": "FBMD0100"}


def test_colour_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert "sRGB" in read(encode(PICTURE, "JPEG", icc_profile=profile))["icc_profile"]


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm", "avi", "ts", "mpg", "flv", "ogg", "wmv"])
def test_containers(container: str) -> None:
    found = read(make_clip(container, frames=10, fps=25, sound=True, metadata=TITLED))
    assert sorted(s["type"] for s in found["streams"]) == ["audio", "video"]
    assert all(s["codec"] for s in found["streams"])
    if container in {"mp4", "mov", "mkv", "webm"}:
        facts = {key.lower(): value for key, value in found["container"].items()}
        assert facts["encoder"].startswith("Lavf")
        assert facts["title"] == "A clip"
        assert facts["comment"] == "c" * MAX_TEXT + "…"
    if container == "mp4":
        assert found["container"]["major_brand"] == "isom"
        assert found["streams"][0]["codec"] == "h264"


def test_time_of_making() -> None:
    found = read(make_clip("mp4", frames=3, metadata={"creation_time": "2024-05-01T10:00:00Z"}))
    assert found["container"]["creation_time"].startswith("2024-05-01T10:00:00")


def test_nothing_found_is_nothing_said() -> None:
    assert read(encode(PICTURE, "PNG")) == {}
    assert read(make_animation("WEBP")) == {}
    with open_media(scene()) as media:
        assert read(media) == {}


def test_a_pillow_picture_brings_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(PICTURE, "JPEG", exif=camera_exif()))
    with Image.open(path) as picture, open_media(picture) as media:
        assert read(media)["exif"]["make"] == "Canon"
        assert picture.getexif()[0x010F] == "Canon"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    for source in (b"", b"garbage", tmp_path, tmp_path / "none", make_clip(frames=5)[:200]):
        assert read(source) == {}


RICH = [
    encode(PICTURE, "JPEG", exif=camera_exif(), xmp=XMP, comment=b"hello"),
    encode(PICTURE, "TIFF", exif=camera_exif()),
    encode(PICTURE, "WEBP", exif=camera_exif(), xmp=XMP),
    make_clip("mp4", frames=3, size=(64, 32), metadata={"title": "x"}),
    make_clip("mkv", frames=3, size=(64, 32), metadata={"title": "x"}),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RICH), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=10))
def test_garbage_never_raises(data: bytes, changes: list[tuple[float, bytes]]) -> None:
    broken = bytearray(data)
    # Most of the metadata lie in the first kilobyte.
    for place, value in changes:
        start = int(place * (min(len(data), 1000) - len(value)))
        broken[start : start + len(value)] = value
    read(bytes(broken))


def test_metadata_that_are_no_utf8() -> None:
    data = make_clip("mkv", frames=3, metadata={"title": "AAAABBBB"}).replace(b"AAAABBBB", b"\xff\xfe\xff\xfeBBBB")
    assert read(data)["streams"]
    jpeg = encode(PICTURE, "JPEG", comment=b"\xff\xfe\x00ok")
    assert read(jpeg)["text"]["comment"].endswith("ok")


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="$UNMASK_DATA is not set")
def test_real_files() -> None:
    root = Path(DATA or "")
    found = read(root / "dfdc-clips/train_sample_videos/abofeumbvv.mp4")
    assert found["container"]["encoder"].startswith("Lavf57")
    assert [s["codec"] for s in found["streams"]] == ["h264", "aac"]
    for path in sorted((root / "real-photos/people").rglob("*.jpg"))[:100]:
        read(path)
