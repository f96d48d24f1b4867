"""The bundle that lies in the package: where it is, and the hash that the code vouches for."""

from importlib.resources import files
from pathlib import Path

DEFAULT_SHA256 = "d654d56c8d54b5a0a739cad4848f17d0fcc1978c47d03ca9e29c9dd51014897b"


def default_bundle() -> Path:
    """Path of the packaged bundle."""
    return Path(str(files("unmask.model").joinpath("default.onnx")))
