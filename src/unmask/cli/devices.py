"""``unmask devices``: what models can run on here."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Annotated

import typer

from unmask.base.ort import PROVIDERS, available_devices, resolve_device, usable_cpus
from unmask.cli.app import say

app = typer.Typer(add_completion=False)

WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm")
"""Wheels that all own the folder ``onnxruntime``: of two that are installed, one has overwritten the other."""


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the devices that models can run on, and the onnxruntime that offers them.

    [bold]auto[/bold] takes the first. A device asked for by name that is not there is an error.
    """
    names = available_devices()
    wheels = installed_wheels()
    chosen, _ = resolve_device("auto")
    if as_json:
        print(json.dumps({"devices": names, "auto": chosen, "cpus": usable_cpus(), "wheels": wheels}))
    else:
        for name in names:
            detail = f"{usable_cpus()} processors" if name == "cpu" else PROVIDERS[name]
            print(f"{name:<10}{detail}{'  (auto)' if name == chosen else ''}")
        print(f"by {', '.join(f'{wheel} {version}' for wheel, version in wheels.items()) or 'onnxruntime'}")
        if names == ["cpu"]:
            print("For an NVIDIA GPU: pip uninstall onnxruntime, then pip install onnxruntime-gpu")
    if len(wheels) > 1:
        say(
            f"{' and '.join(wheels)} are both installed and overwrite each other. "
            f"Uninstall all of them, then install the one you want"
        )


def installed_wheels() -> dict[str, str]:
    """Names and versions of the onnxruntime wheels that are installed."""
    found = {}
    for wheel in WHEELS:
        try:
            found[wheel] = distribution(wheel).version
        except PackageNotFoundError:
            continue
    return found
