"""The bundle that lies in the package: where it is, and the hash that the code vouches for."""

from importlib.resources import files
from pathlib import Path

DEFAULT_SHA256 = "feb7f9f60d0ca086cb765c18f17a6ee298295f15ea9f20c83882be145371f6ad"


def default_bundle() -> Path:
    """Path of the packaged bundle."""
    return Path(str(files("unmask.model").joinpath("default.onnx")))
