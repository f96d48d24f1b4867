"""``unmask data``: fetch, make and prepare data sets, show what a manifest holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.base.errors import UsageError
from unmask.cli import preview
from unmask.cli.app import FAILED, INTERRUPTED, OK, say
from unmask.cli.options import RUN, Debug, Device, Jobs, Quiet, Roots
from unmask.cli.progress import Bar
from unmask.cli.stopping import Stop
from unmask.data.items import ReadOptions
from unmask.data.layouts import layouts

if TYPE_CHECKING:
    from unmask.data.manifest import Manifest
    from unmask.data.prepare import Summary

app = typer.Typer(add_completion=False, help="Prepare data sets for training and evaluation.", rich_markup_mode="rich")

_LAYOUTS = "\n\n".join(
    f"[bold]{one.name}[/bold]  {one.about.replace('[', chr(92) + '[')}" for one in layouts().values()
)
_EPILOG = f"""[bold]Layouts[/bold]

{_LAYOUTS}

[bold]auto[/bold]  the first of these that fits the folder

[bold]Examples[/bold]

unmask data prepare auto 140k-faces/ prepared/

unmask data prepare imagefolder portraits/ prepared/ --fake midjourney --real camera

An interrupted run goes on where it was when it is given the same OUT again.
"""

_WHAT, _CLIPS, _SPLIT = "What is read", "Clips", "Splits"


@app.command(epilog=_EPILOG)
def prepare(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="How the set lies on the disk; auto looks.")],
    src: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set; nothing is written there.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the manifest and the frames of clips.")],
    real: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A folder name that means real; repeatable.", rich_help_panel=_WHAT),
    ] = None,
    fake: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A folder name that means fake; repeatable.", rich_help_panel=_WHAT),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the data set.", rich_help_panel=_WHAT)
    ] = None,
    frames: Annotated[
        int, typer.Option(metavar="N", min=1, help="Frames a clip at most, spread evenly.", rich_help_panel=_CLIPS)
    ] = 32,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames a second of a clip instead.", rich_help_panel=_CLIPS)
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV of path, label, split, group, source, method; paths are relative to its folder. It wins over "
            "the layout, and what it does not name is left out.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    fraction: Annotated[
        float,
        typer.Option(
            metavar="F", help="Share of val, and of test, where nothing else says so.", rich_help_panel=_SPLIT
        ),
    ] = 0.15,
    seed: Annotated[int, typer.Option(metavar="N", help="Of these shares.", rich_help_panel=_SPLIT)] = 0,
    near_duplicates: Annotated[
        int,
        typer.Option(
            metavar="BITS",
            min=-1,
            max=16,
            help="Bring pictures whose 64-bit perceptual hashes differ in at most BITS into one group; where published "
            "splits part them, the one nearer to training is left out. -1: do not look.",
            rich_help_panel=_SPLIT,
        ),
    ] = 2,
    faces: Annotated[
        str, typer.Option(metavar="HOW", help="default, dlib, yunet:FILE or none.", rich_help_panel=RUN)
    ] = "default",
    device: Device = "auto",
    jobs: Jobs = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write manifest.csv instead of manifest.parquet.", rich_help_panel=RUN)
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Make a manifest of a data set: its pictures, the frames of its clips, and the face of each."""
    from unmask.data.prepare import prepare as make

    stop = Stop()
    try:
        with stop.listening(), stop.interruptible(), Bar("finding faces", quiet=quiet) as bar:
            summary = make(
                layout,
                src,
                out,
                splits=splits,
                faces=faces,
                device=device,
                jobs=jobs,
                frames=frames,
                fps=fps,
                fraction=fraction,
                seed=seed,
                near_duplicates=None if near_duplicates < 0 else near_duplicates,
                options=ReadOptions(tuple(real or ()), tuple(fake or ()), source),
                suffix=".csv" if csv else ".parquet",
                on_progress=bar.advance,
            )
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on from here, {out} holds what is done")
        return INTERRUPTED
    if not quiet:
        _print_counts(summary.manifest)
        _say_what_is_missing(summary.manifest)
        _print_left_out(summary)
    print(summary.file)
    return FAILED if summary.failed else OK


@app.command()
def fetch(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="kaggle:OWNER/NAME, kaggle:COMPETITION, or a .zip or .tar file downloaded by hand."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to. Default: kagglehub's cache; of a file: the folder it lies in."),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Download a data set from Kaggle and unpack it; prints the folder.

    For instance kaggle:manjilkarki/deepfake-and-real-images, kaggle:xhlulu/140k-real-and-fake-faces, or
    kaggle:deepfake-detection-challenge (DFDC: accept the competition's rules first).
    """
    from unmask.data.fetch import fetch as get

    got = get(what, to)
    for one in got.unpacked:
        links = f", {len(one.left_out)} links and devices left out" if one.left_out else ""
        say(f"unpacked {one.files:,} files into {one.folder}{links}")
    say(f"next: unmask data prepare {got.layout or 'LAYOUT'} {got.folder} OUT")
    print(got.folder)
    return OK


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    pairs: Annotated[int, typer.Option(metavar="N", help="Real pictures, and as many fakes.")] = 160,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pictures.")] = 0,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Make a small training set of the portrait that comes with unmask, to try everything on.

    Views of one person and self-blends of them: a detector trained on it is worth nothing beyond it.
    """
    from unmask.data.synth import synth as make

    stop = Stop()
    try:
        with stop.listening(), stop.interruptible(), Bar("making pictures", quiet=quiet) as bar:
            summary = make(out, pairs=pairs, seed=seed, jobs=jobs, on_progress=bar.advance)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return INTERRUPTED
    if not quiet:
        _print_counts(summary.manifest)
    print(summary.file)
    return OK


@app.command()
def show(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Made by `unmask data prepare`.")],
    root: Roots = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the contact sheet goes (.png). Default: MANIFEST.sheet.png beside it."
        ),
    ] = None,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Counts only.")] = False,
    each: Annotated[int, typer.Option(metavar="N", min=1, max=50, help="Faces a source and label.")] = 10,
    seed: Annotated[int, typer.Option(metavar="N", help="Of their choice.")] = 0,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Print how many rows there are by source, method, label and split; write a contact sheet of the faces."""
    from unmask.data.manifest import Manifest

    if sheet is not None and (sheet.suffix.lower() != ".png" or no_sheet):
        raise UsageError("--sheet takes a .png file, and not together with --no-sheet")
    if sheet is not None and sheet.exists():
        raise UsageError("this file exists already", hint="Name another one with --sheet", path=str(sheet))
    table = Manifest.read(manifest, parse_roots(root or []))
    _print_counts(table)
    for name, folder in table.roots.items():
        print(f"root {name}: {folder}{'' if folder.is_dir() else '  (not there; see --root)'}")
    _say_what_is_missing(table)
    missing = table.missing()
    if missing:
        say(f"{len(missing):,} files are not there, first {missing[0]}")
    if no_sheet or not len(table) or len(missing) == len(set(table.files())):
        return OK
    from unmask.data.sheet import contact_sheet

    target = sheet or manifest.with_name(f"{manifest.name}.sheet.png")
    more = contact_sheet(table, target, each=each, seed=seed)
    if more:
        say(f"{more} more sources and labels are not on the sheet")
    print(f"contact sheet: {target}")
    return OK


app.command("augment-preview", epilog=preview.EPILOG)(preview.augment_preview)


def _say_what_is_missing(manifest: Manifest) -> None:
    """What training and evaluation will refuse is said now."""
    from unmask.base.errors import DataError
    from unmask.data.items import SPLITS

    for split in SPLITS:
        try:
            manifest.require((split,))
        except DataError as error:
            say(error.message)


def parse_roots(given: list[str]) -> dict[str, Path]:
    """``NAME=DIR`` -> folders by name.

    Raises:
        UsageError: A word is not of this form, or its folder is not there.
    """
    roots = {}
    for word in given:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--root {word!r} is not NAME=DIR", hint="Write for instance --root src=/data/faces")
        if not Path(folder).is_dir():
            raise UsageError("is not a folder", path=folder, hint=f"Check --root {name}=...")
        roots[name] = Path(folder)
    return roots


def _print_counts(manifest: Manifest) -> None:
    """A row a source, method and label; a column a split."""
    from rich.console import Console
    from rich.table import Table

    from unmask.data.items import SPLITS

    cells: dict[tuple[str, str, int], dict[str, int]] = {}
    clips: dict[tuple[str, str, int], int] = {}
    lost: dict[tuple[str, str, int], int] = {}
    for row in manifest.counts().iter_rows(named=True):
        key = (row["source"], row["method"], row["label"])
        cells.setdefault(key, {})[row["split"]] = row["rows"]
        clips[key] = clips.get(key, 0) + row["clips"]
        lost[key] = lost.get(key, 0) + row["no_face"]
    table = Table(box=None, pad_edge=False, show_footer=True, footer_style="bold")
    table.add_column("source", "all")
    table.add_column("method")
    table.add_column("label")
    for split in SPLITS:
        table.add_column(split, _number(sum(cell.get(split, 0) for cell in cells.values())), justify="right")
    table.add_column("clips", _number(sum(clips.values())), justify="right")
    table.add_column("no face", _number(sum(lost.values())), justify="right")
    for key, cell in cells.items():
        numbers = [cell.get(split, 0) for split in SPLITS]
        label = "fake" if key[2] else "real"
        table.add_row(key[0], key[1], label, *map(_number, [*numbers, clips[key], lost[key]]))
    # A pipe has no width of its own: nothing is cut there.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)


def _print_left_out(summary: Summary) -> None:
    for reason, number in summary.reasons.items():
        first = next(item.path for item in summary.left_out if item.reason == reason)
        say(f"left out {number:,}: {reason} ({first}{', ...' if number > 1 else ''})")
    if summary.left_out:
        say(f"each is named in {summary.file.parent / 'left_out.csv'}")


def _number(value: int) -> str:
    return f"{value:,}" if value else "-"
