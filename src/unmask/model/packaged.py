"""The bundle that lies in the package: where it is, and the hash that the code vouches for."""

from importlib.resources import files
from pathlib import Path

DEFAULT_SHA256 = "385ef54c41a71b4010e555ad365de06fdcaea8c3cff01c38549d60c7bba116b2"


def default_bundle() -> Path:
    """Path of the packaged bundle."""
    return Path(str(files("unmask.model").joinpath("default.onnx")))
