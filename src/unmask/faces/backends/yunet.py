"""Backend ``yunet:FILE``: any network of the YuNet family, with the search of :mod:`unmask.faces.search`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import UsageError
from unmask.faces.search import DEFAULT, SearchSpec, search
from unmask.faces.types import Effort, Face
from unmask.faces.yunet import YuNet


class YuNetBackend:
    """A YuNet file and the search strategy around it."""

    def __init__(
        self,
        name: str,
        model: Path | bytes,
        *,
        device: str = "auto",
        threads: int | None = None,
        spec: SearchSpec = DEFAULT,
        certain: float = 0.75,
    ) -> None:
        self.name = name
        self.certain = certain
        self._spec = spec
        self._net = YuNet(model, device=device, threads=threads)

    def find(self, image: NDArray[np.uint8], *, effort: Effort = "thorough") -> list[Face]:
        """See :func:`unmask.faces.search.search`."""
        return search(self._net, image, effort=effort, spec=self._spec)


def load(argument: str, *, device: str, threads: int | None) -> YuNetBackend:
    """See :func:`unmask.faces.backends.load_backend`."""
    if not argument:
        raise UsageError("the face backend yunet needs a file", hint="Write yunet:FILE, FILE being an ONNX file")
    path = Path(argument).expanduser()
    if not path.is_file():
        raise UsageError("there is no such file", hint="Write yunet:FILE, FILE being an ONNX file", path=argument)
    return YuNetBackend(f"yunet:{argument}", path, device=device, threads=threads)
