"""Opens what the user gives: pictures and clips, from paths, bytes, Pillow pictures or arrays. Nothing else does."""

from unmask.media.inputs import InputItem, find_inputs
from unmask.media.media import Media, open_media
from unmask.media.types import Frame, MediaInfo

__all__ = ["Frame", "InputItem", "Media", "MediaInfo", "find_inputs", "open_media"]
