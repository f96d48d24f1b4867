"""Backend ``default``: unmask's own detector, trained in YuNet's manner, packaged as ``faces/weights/faces.onnx``."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from unmask.base.errors import BundleError
from unmask.faces.backends.yunet import YuNetBackend
from unmask.faces.search import DEFAULT

RESOURCE = "weights/faces.onnx"

SPEC = replace(DEFAULT, threshold=0.7, candidate=0.5, sure=0.85, alone=192)
"""On 736 validation pictures one loses its face at 0.7 (two at 0.75, four at 0.8); 4 of 69 hard faceless pictures
give an alarm there (1 at 0.75, which loses a portrait more), 2026-11-21; to see it again:
``references/faces/bench.py --choose``."""

CERTAIN = 0.87
"""Just above the strongest false alarm beside the speakers of the training and validation clips (0.86)."""


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
    return YuNetBackend("default", model, device=device, threads=threads, spec=SPEC, certain=CERTAIN)
