"""The bundle that lies in the package: where it is, and the hash that the code vouches for."""

from importlib.resources import files
from pathlib import Path

DEFAULT_SHA256 = "344fcae2e8d71cf398cfcf8ea83408079675243cd09a07cc4a6dc9ba45ff2c3a"


def default_bundle() -> Path:
    """Path of the packaged bundle."""
    return Path(str(files("unmask.model").joinpath("default.onnx")))
