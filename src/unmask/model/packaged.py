"""The bundle that lies in the package: where it is, and the hash that the code vouches for."""

from importlib.resources import files
from pathlib import Path

DEFAULT_SHA256 = "ab2befb11998dd3997bd1aed83abba70b9d6b7a548c6221d03083ebe3ba592d4"


def default_bundle() -> Path:
    """Path of the packaged bundle."""
    return Path(str(files("unmask.model").joinpath("default.onnx")))
