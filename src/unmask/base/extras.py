"""Optional packages: import them late, and name the pip line when they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from unmask.base.errors import MissingExtraError


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` or say how to install it.

    Args:
        module: Dotted name of the module.
        extra: The extra of unmask that brings it, e.g. ``"dlib"``.
        purpose: What it is needed for, e.g. ``"the face backend dlib"``.

    Raises:
        MissingExtraError: The module is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which is not installed",
            hint=f"Install it with: pip install 'unmask[{extra}]'",
        ) from error
