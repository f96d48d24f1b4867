"""Backend ``default``: unmask's own detector, trained in YuNet's manner, packaged as ``faces/weights/faces.onnx``."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from unmask.base.errors import BundleError
from unmask.faces.backends.yunet import YuNetBackend
from unmask.faces.search import DEFAULT

RESOURCE = "weights/faces.onnx"

SPEC = replace(DEFAULT, threshold=0.7, candidate=0.5, sure=0.85, alone=192)
"""Of the ladder 0.65, 0.7, 0.75, 0.8 the lowest threshold at which none of 69 hard faceless pictures gives an alarm;
of 784 validation pictures one loses its face there, as at 0.4, 2026-11-21. To see it again:
``references/faces/bench.py --choose``."""

CERTAIN = 0.8
"""Nothing but faces comes out of 60 training and validation clips beside the speakers, the least sure with 0.8; of the
speakers themselves one frame in a hundred is below 0.917 (``quick``, 2026-11-21)."""


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
