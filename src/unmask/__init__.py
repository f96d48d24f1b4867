"""unmask: are the faces in a picture or a clip real or machine-made, where, when, and when can nobody tell."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Detector", "Report", "UnmaskError", "__version__", "analyze"]

if TYPE_CHECKING:
    from unmask.analysis import Detector, analyze
    from unmask.base.errors import UnmaskError
    from unmask.report import Report

_HOMES = {
    "Detector": "unmask.analysis",
    "analyze": "unmask.analysis",
    "Report": "unmask.report",
    "UnmaskError": "unmask.base.errors",
}


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that ``import unmask`` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'unmask' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
