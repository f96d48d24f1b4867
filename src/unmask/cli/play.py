"""``unmask play``: annotate a clip and open it in the player of the platform."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from unmask.base.errors import UsageError
from unmask.base.files import cache_home
from unmask.cli.analyze import set_up_logging
from unmask.cli.app import FAILED, INTERRUPTED, OK, say
from unmask.cli.outputs import is_clip, write_annotated
from unmask.cli.progress import make_progress
from unmask.cli.stopping import Stop

app = typer.Typer(add_completion=False)


@app.command()
def play(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="A clip or a picture.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to keep it (.mp4). Default: a folder of the cache."),
    ] = None,
    fps: Annotated[float, typer.Option(metavar="N", help="Frames a second that are looked at.")] = 3.0,
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="See `unmask analyze --help`.")] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="Of the model.")] = None,
    faces: Annotated[str | None, typer.Option(metavar="HOW", help="See `unmask analyze --help`.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.")] = False,
) -> int:
    """Annotate a clip (box, label and score as it plays) and open it in the player of your system."""
    set_up_logging(debug)
    source = Path(clip)
    if out is not None and out.exists():
        raise UsageError("this file exists already", hint="Name another one with --out", path=str(out))
    from unmask.analysis import Detector
    from unmask.render.terminal import Terminal

    stop = Stop()
    progress = make_progress(1, quiet=False)
    try:
        with stop.listening(), stop.interruptible():
            detector = Detector(model, faces=faces, device=device, sha256=sha256)
            result = detector.run(source, name=clip, fps=fps, progress=progress.start(clip))
            target = out or cached(source, clip=is_clip(result))
            write_annotated(source, clip, result, target, detector.card.map_range, progress.start(clip))
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    finally:
        progress.close()
    with Terminal() as terminal:
        terminal.write(result)
    print(target)
    return open_in_player(target)


def cached(source: Path, *, clip: bool) -> Path:
    """Where the annotated copy of a file lies: a folder of the cache, by its full path, so that nothing piles up."""
    key = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:12]
    return cache_home() / "play" / key / f"{source.name}{'.mp4' if clip else '.png'}"


def player() -> list[str] | None:
    """The command that opens a file on this platform, or None where there is none."""
    if sys.platform == "win32":
        return ["cmd", "/c", "start", ""]
    if sys.platform == "darwin":
        return ["open"]
    there = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    command = shutil.which("xdg-open")
    return [command] if command and there else None


def open_in_player(path: Path) -> int:
    """Open a file; where that is not possible say where it is, which is no failure."""
    command = player()
    if command is None:
        say("no player was found here; open the file above with one of your own")
        return OK
    code = subprocess.run([*command, str(path)], check=False).returncode
    if code:
        say(f"the player ended with {code}; open the file above with one of your own")
        return FAILED
    return OK
