"""onnxruntime sessions: one place that chooses the device, the threads and the graph optimisation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unmask.base.errors import BundleError, DeviceError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_AUTO_ORDER = ("cuda", "rocm", "directml", "coreml", "cpu")


def available_devices() -> list[str]:
    """Names of the devices that the installed onnxruntime offers, best first."""
    import onnxruntime as ort

    there = set(ort.get_available_providers())
    return [name for name in (*_AUTO_ORDER, "openvino") if PROVIDERS[name] in there]


def resolve_device(device: str) -> tuple[str, list[Any]]:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ... into (name, onnxruntime providers).

    Raises:
        DeviceError: A device asked for by name is unknown or not there. Only ``auto`` may choose.
    """
    devices = available_devices()
    name, _, index = device.partition(":")
    if name == "auto":
        name = devices[0]
    elif name not in PROVIDERS:
        raise DeviceError(f"unknown device {device!r}", hint=f"Use auto or one of: {', '.join(PROVIDERS)}")
    if name not in devices:
        raise DeviceError(
            f"device {device!r} is not available: the installed onnxruntime offers {', '.join(devices)}",
            hint="Use --device auto, or install the onnxruntime wheel for that device",
        )
    options: dict[str, str] = {}
    if index:
        if not index.isdigit():
            raise DeviceError(f"{device!r} does not name a device number", hint="Write for instance cuda:0")
        options = {"device_id": index}
    chosen = [(PROVIDERS[name], options)]
    return f"{name}:{index}" if index else name, chosen


def make_session(model: Path | bytes, *, device: str = "auto", threads: int | None = None) -> Any:
    """Load an ONNX graph.

    Args:
        model: Path of the file, or its bytes.
        device: See :func:`resolve_device`.
        threads: Threads within an operator; default: the processors this process may use.

    Raises:
        DeviceError: The device asked for is not there.
        BundleError: onnxruntime cannot load the graph.
    """
    import onnxruntime as ort

    _, providers = resolve_device(device)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cpus()
    options.inter_op_num_threads = 1
    # Idle threads that spin take the processor away from the video decoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    try:
        session = ort.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime has no base class of its own for load errors
        raise BundleError(
            f"onnxruntime cannot load this graph: {str(error).splitlines()[0]}",
            path=str(model) if isinstance(model, Path) else None,
        ) from error
    wanted: Sequence[str] = [PROVIDERS[resolve_device(device)[0].partition(":")[0]]]
    if session.get_providers()[0] not in wanted:
        raise DeviceError(
            f"onnxruntime fell back to {session.get_providers()[0]} instead of {wanted[0]}",
            hint="Check the driver, or use --device cpu",
        )
    return session


def usable_cpus() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
