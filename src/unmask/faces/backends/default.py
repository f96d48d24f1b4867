"""Backend ``default``: unmask's own detector, trained in YuNet's manner, packaged as ``faces/weights/faces.onnx``."""

from __future__ import annotations

from importlib.resources import files

from unmask.base.errors import BundleError
from unmask.faces.backends.yunet import YuNetBackend

RESOURCE = "weights/faces.onnx"


def load(argument: str, *, device: str, threads: int | None) -> YuNetBackend:  # noqa: ARG001
    """See :func:`unmask.faces.backends.load_backend`."""
    resource = files("unmask.faces").joinpath(RESOURCE)
    try:
        model = resource.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(
            f"the packaged face detector {RESOURCE} is missing",
            hint="Install unmask again, or name a detector with --faces yunet:FILE",
        ) from error
    return YuNetBackend("default", model, device=device, threads=threads)
