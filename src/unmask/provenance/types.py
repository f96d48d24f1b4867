"""What the provenance room gives. Anyone can write anything into these fields: they are claims, not findings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Exif(_Model):
    """Tags that cameras and programs write (Exif 3.0)."""

    make: str | None = Field(default=None, description="Maker of the camera")
    model: str | None = Field(default=None, description="Camera")
    lens: str | None = Field(default=None, description="Lens")
    software: str | None = Field(default=None, description="Program or firmware that wrote the file")
    taken: str | None = Field(default=None, description="DateTimeOriginal, as stored")
    changed: str | None = Field(default=None, description="DateTime, as stored")
    artist: str | None = None
    copyright: str | None = None
    description: str | None = None
    user_comment: str | None = Field(default=None, description="Some image generators keep their prompt here")
    has_gps: bool | None = Field(default=None, description="A position is stored; it is not repeated here")


class Xmp(_Model):
    """Fields of an XMP packet (ISO 16684-1)."""

    creator_tool: str | None = None
    digital_source_type: str | None = Field(
        default=None,
        description="IPTC digital source type, without the address before it; "
        "trainedAlgorithmicMedia means: made by a generative model",
    )
    credit: str | None = None
    ai_prompt: str | None = Field(default=None, description="IPTC 2025.1: AIPromptInformation")
    ai_system: str | None = Field(default=None, description="IPTC 2025.1: AISystemUsed")


class Provenance(_Model):
    """Everything found. A field that is missing was not in the file; that proves nothing, most sites remove them."""

    exif: Exif | None = None
    xmp: Xmp | None = Field(default=None, description="There even when the packet holds none of the fields known here")
    iptc: dict[str, str] | None = Field(default=None, description="IPTC-IIM datasets of JPEG and TIFF")
    text: dict[str, str] | None = Field(
        default=None, description="Text chunks of a PNG and comments, by keyword, e.g. Stable Diffusion's 'parameters'"
    )
    icc_profile: str | None = Field(default=None, description="Name of the colour profile")
    container: dict[str, str] | None = Field(
        default=None, description="Metadata of a clip's container, e.g. major_brand, encoder"
    )
    streams: list[dict[str, str]] | None = Field(
        default=None, description="For each track of a clip: type, codec, its metadata"
    )
