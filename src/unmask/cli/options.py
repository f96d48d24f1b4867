"""Options that several verbs have, written once: the same name, the same words, the same place in the help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RUN = "How it runs"
"""The part of the help that holds what changes no result."""

Manifests = Annotated[
    list[Path], typer.Option("--data", metavar="MANIFEST", help="Made by `unmask data prepare`; repeatable.")
]
Roots = Annotated[
    list[str] | None,
    typer.Option("--root", metavar="NAME=DIR", help="Where a root of the manifest lies now; repeatable."),
]
Boxes = Annotated[
    str,
    typer.Option("--faces", metavar="HOW", help="manifest: its boxes; card: found anew as the bundle's card says."),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="NAME", help="auto, cpu, cuda ...; see `unmask devices`.", rich_help_panel=RUN),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads of the network.", rich_help_panel=RUN)
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="Files side by side.", rich_help_panel=RUN)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.", rich_help_panel=RUN)]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error arose.", rich_help_panel=RUN)]
