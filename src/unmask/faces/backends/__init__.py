"""The face backends by name. A new one is one file in this folder and one line in ``_BACKENDS``.

Its module has ``load(argument, *, device, threads) -> FaceBackend``; ``argument`` is what stands behind the colon.
"""

from __future__ import annotations

from importlib import import_module

from unmask.base.errors import UsageError
from unmask.faces.types import FaceBackend

_BACKENDS = {
    "default": "unmask.faces.backends.default",
    "dlib": "unmask.faces.backends.dlib",
    "yunet": "unmask.faces.backends.yunet",
    "none": "unmask.faces.backends.whole",
}


def backend_names() -> list[str]:
    """What ``--faces`` takes, as shown to users."""
    return ["yunet:FILE" if name == "yunet" else name for name in _BACKENDS]


def load_backend(name: str = "default", *, device: str = "auto", threads: int | None = None) -> FaceBackend:
    """Load a face backend.

    Args:
        name: ``default`` (the detector in the package), ``dlib`` (extra ``[dlib]``), ``yunet:FILE`` (any ONNX file
            of the YuNet family), ``none`` (the whole picture is one face).
        device: See :func:`unmask.base.ort.resolve_device`; ``dlib`` and ``none`` always run on the CPU.
        threads: Threads within an operator; default: the processors this process may use.

    Raises:
        UsageError: There is no such backend, or its file is missing.
        MissingExtraError: Its package is not installed.
        BundleError: Its file is not a face detector.
        DeviceError: The device asked for is not there.
    """
    kind, _, argument = name.partition(":")
    if kind not in _BACKENDS or (argument and kind != "yunet"):
        raise UsageError(f"unknown face backend {name!r}", hint=f"Use one of: {', '.join(backend_names())}")
    backend: FaceBackend = import_module(_BACKENDS[kind]).load(argument, device=device, threads=threads)
    return backend
