"""``unmask evaluate``: measure a bundle on a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unmask.base.errors import UsageError
from unmask.cli.app import OK, say
from unmask.cli.measuring import Bar, read_manifests
from unmask.cli.stopping import Stop

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command()
def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A model file; `default`: the one in the package.")],
    data: Annotated[
        list[Path], typer.Option("--data", metavar="MANIFEST", help="Made by `unmask data prepare`; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="For predictions.parquet and metrics.json.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="train, val or test.")] = "test",
    faces: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="manifest: its boxes; card: found anew as the bundle's card says, as `unmask analyze` does; "
            "or a face backend.",
        ),
    ] = "manifest",
    draws: Annotated[int, typer.Option(metavar="N", min=0, help="Bootstrap resamples for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.")] = 0,
    root: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="Where a root of the manifest lies now; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda ...; see `unmask devices`.")] = "auto",
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads of the network.")] = None,
    jobs: Annotated[int | None, typer.Option(metavar="N", min=1, help="Pictures decoded side by side.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,  # noqa: ARG001
) -> int:
    """Measure a model: accuracy, AUC, found fakes, false positives, calibration; pooled, by source and by method.

    A fake without a face counts as not found. Thresholds are the bundle's own: nothing is chosen on this data.
    """
    from unmask.base.files import replacing, write_text
    from unmask.evaluate.measure import summarize
    from unmask.evaluate.predict import predict
    from unmask.evaluate.show import console, show
    from unmask.model import load_bundle

    files = {name: out / name for name in ("predictions.parquet", "metrics.json")}
    for file in files.values():
        if file.exists():
            raise UsageError("this file exists already", hint="Name another folder with --out", path=str(file))
    manifest = read_manifests(data, root or [])
    loaded = load_bundle(None if bundle == "default" else bundle, device=device, threads=threads)
    stop = Stop()
    with stop.listening(), stop.interruptible(), Bar("scoring", quiet=quiet) as bar:
        table = predict(loaded, manifest, split, faces=faces, jobs=jobs, on_progress=bar.advance)
    summary = summarize(table, loaded.card, draws=draws, seed=seed)
    summary = {
        "bundle": {"name": loaded.card.name, "version": loaded.card.version, "sha256": loaded.sha256},
        "faces": faces,
        **summary,
    }
    with replacing(files["predictions.parquet"]) as temporary:
        table.write_parquet(temporary)
    write_text(files["metrics.json"], json.dumps(summary, indent=1) + "\n")
    if not quiet:
        console().print(show(summary))
    if unreadable := summary["protocol"]["unreadable"]:
        say(f"{unreadable} pictures could not be read, first {summary['protocol']['unreadable_first'][0]}")
    for file in files.values():
        print(file)
    return OK
