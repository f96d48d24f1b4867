"""The stages between a trained graph and the figures of the model card; each gives plain values for JSON."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import polars as pl
import yaml

import unmask
from unmask.analysis import Detector
from unmask.base.files import sha256_of
from unmask.base.ort import usable_cpus
from unmask.data.manifest import Manifest
from unmask.evaluate.calibrate import Calibration, with_calibration
from unmask.evaluate.predict import predict
from unmask.faces.backends.default import SPEC
from unmask.faces.types import CropSpec
from unmask.model import Card, Level, Thresholds, TrainingSet, load_bundle, pack
from unmask.train.storage import to_half

HERE = Path(__file__).parent
SETS: dict[str, dict[str, str]] = json.loads((HERE / "sets.json").read_text(encoding="utf-8"))

_FACES = Path(unmask.__file__).parent / "faces"
FACES_SHA256 = sha256_of(_FACES / "weights" / "faces.onnx")
SEARCH_SHA256 = sha256_of(_FACES / "search.py")

TERMS = (
    "For research and evaluation. Several of the sets it was trained on allow no other use; see the list of training "
    "sets. To use a detector commercially, train one on data of your own: unmask train."
)
DOMAIN = (
    "Faces of photographs, press pictures, portraits and people talking to camera, as in its validation rows; fakes by "
    "DFDC's face swaps, inswapper, StyleGAN and StyleGAN2, SDXL, Stable Diffusion 2.1, Hallo3, retouching by hand. "
    "Under another mix of sources the scores are not calibrated: refit with unmask calibrate."
)


def provisional(graph: Path, crop: CropSpec, out: Path, min_face_px: float = 0.0) -> Path:
    """A bundle that can be run but must not be used: its thresholds are placeholders."""
    level = Level(kind="face", thresholds=Thresholds(likely_real=0.5, likely_fake=0.5), fitted_on="nothing")
    card = Card(name="provisional", version="0", architecture="", crop=crop, levels=[level], min_face_px=min_face_px)
    pack(halved(graph), card, out)
    return out


def halved(graph: Path) -> bytes:
    """The graph of a run, which holds 32-bit floats, with its large weights as 16-bit ones."""
    smaller: bytes = to_half(onnx.load(graph)).SerializeToString()
    return smaller


def scored(bundle: Path, manifest: Manifest, split: str, faces: str, cache: Path, say: Any) -> pl.DataFrame:
    """Logits of a split, kept in ``cache``, so that a run that was broken off goes on."""
    loaded = load_bundle(bundle, device="cpu")
    name = loaded.card.crop.faces if faces == "card" else faces
    rows = manifest.select(split).table.hash_rows(seed=0).to_list()
    made_of = [loaded.sha256, name, FACES_SHA256, repr(SPEC), SEARCH_SHA256, *rows]
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    file = cache / f"{split}-{key}.parquet"
    if file.exists():
        say(f"{split}: predictions of an earlier run, {file.name}")
        return pl.read_parquet(file)

    def progress(done: int, total: int) -> None:
        if done == total or done % 500 < 16:
            say(f"{split}: {done}/{total}")

    table = predict(loaded, manifest, split, faces=faces, on_progress=progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(file)
    return table


def make_card(run: dict[str, Any], manifest: Manifest, calibration: Calibration, crop: CropSpec, version: str) -> Card:
    """The card without figures."""
    level = Level(kind="face", thresholds=Thresholds(likely_real=0.5, likely_fake=0.5))
    card = Card(
        name="unmask-default",
        version=version,
        architecture=_in_words(run),
        crop=crop,
        levels=[level],
        training=training_sets(manifest),
        terms=TERMS,
        code_version=code_version(),
        machine=machine(),
        created=datetime.now(UTC).date().isoformat(),
    )
    return with_calibration(card, calibration, domain=DOMAIN)


def _in_words(run: dict[str, Any]) -> str:
    from unmask.train.bundle import in_words
    from unmask.train.network_recipe import NetworkRecipe

    if not run:
        return "not recorded"
    networks = [NetworkRecipe.model_validate(one["recipe"]["network"]) for one in [run, *run["beside"]]]
    return "; and beside it ".join(map(in_words, networks))


def training_sets(manifest: Manifest) -> list[TrainingSet]:
    """Sets with training rows, counted in rows with a face (frames for clips)."""
    rows = manifest.select("train", with_face=True).table
    counts = rows.group_by("source").agg(real=(pl.col("label") == 0).sum(), fake=(pl.col("label") == 1).sum())
    return [
        TrainingSet(
            name=SETS.get(source, {}).get("name", source),
            real=real,
            fake=fake,
            terms=SETS.get(source, {}).get("terms", "not stated"),
        )
        for source, real, fake in counts.sort("source").iter_rows()
    ]


def training_run(folders: Sequence[Path], beside: Sequence[Path]) -> dict[str, Any]:
    """What the run folders of a training say.

    Args:
        folders: Stages of one network: the last one is what is told, with those before it in order under ``before``.
        beside: Of networks that were joined with it, under ``beside``.
    """
    runs = [_stage(folder) for folder in folders]
    others = [_stage(folder) for folder in beside]
    # A path of the machine it was trained on says nothing to anybody else.
    for later in runs[1:]:
        later["recipe"]["network"]["weights"] = "the last weights of the stage before"
    for other in others:
        if other["recipe"]["network"]["weights"] not in ("imagenet", "none"):
            other["recipe"]["network"]["weights"] = "those of a file"
    return {**runs[-1], "before": runs[:-1], "beside": others} if runs else {}


def _stage(folder: Path) -> dict[str, Any]:
    """One run folder: resolved recipe, environment, the validation that was chosen."""
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    run: dict[str, Any] = {"recipe": recipe}
    environment = folder / "environment.json"
    if environment.exists():
        kept = json.loads(environment.read_text(encoding="utf-8"))
        kept.pop("platform", None)  # names the kernel build of one machine
        run["environment"] = kept
    metrics = folder / "metrics.csv"
    if metrics.exists():
        with metrics.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        best = max(rows, key=lambda row: float(row["score"]))
        names = ("samples", "seconds", "score", "macro", "pooled", "found")
        run |= {
            "chosen": {name: float(best[name]) for name in names if name in best},
            "samples": float(rows[-1]["samples"]),
            "minutes": float(rows[-1]["seconds"]) / 60,
        }
    return run


def clips_as_analyzed(bundle: Path, manifest: Manifest, split: str, say: Any) -> list[dict[str, Any]]:
    """Every clip of a split as ``unmask analyze`` judges it: whole, 3 frames a second, tracks and stretches."""
    clips = (
        manifest.select(split, where=pl.col("clip").is_not_null())
        .table.group_by("clip", maintain_order=True)
        .agg(pl.col("source", "method", "label").first())
    )
    detector = Detector(bundle, device="cpu")
    rows = []
    for clip, source, method, label in clips.iter_rows():
        report = detector.analyze(manifest.roots["src"] / clip, on_error="report")
        rows.append(
            {
                "source": source,
                "method": method,
                "label": label,
                "verdict": report.verdict,
                "p_fake": report.p_fake,
                "tracks": len(report.tracks),
                "stretches": sum(len(track.segments) for track in report.tracks),
            }
        )
    say(f"{split}: {len(rows)} clips through analyze")
    return rows


def speed_alone(bundle: Path, out: Path, rounds: int) -> dict[str, Any]:
    """What ``speed.py`` measures in a process of its own: threads of this one's sessions would be in the way."""
    command = [sys.executable, str(HERE / "speed.py"), str(bundle), "--out", str(out), "--rounds", str(rounds)]
    subprocess.run(command, check=True)
    measured: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return measured


def store(graph: Path, card: Card, out: Path, constant: Path | None) -> str:
    """Write the bundle, and its hash into the code that vouches for it."""
    sha256 = pack(halved(graph), card, out)
    if constant is not None:
        lines = constant.read_text(encoding="utf-8").splitlines(keepends=True)
        changed = [f'DEFAULT_SHA256 = "{sha256}"\n' if line.startswith("DEFAULT_SHA256") else line for line in lines]
        constant.write_text("".join(changed), encoding="utf-8")
    return sha256


def short_metrics(summary: dict[str, Any]) -> dict[str, Any]:
    """What of a measurement goes into the card in the bundle: by source and method, rounded."""

    def cell(estimate: dict[str, Any]) -> list[float | None]:
        return [None if estimate[key] is None else round(estimate[key], 4) for key in ("value", "low", "high")]

    face, file = summary["face"], summary["file"]
    return {
        "splits": summary["protocol"]["splits"],
        "auc_by_method": {
            f"{row['method']} ({row['source']})": {"against": row["against"], "auc": cell(row["auc"])}
            for row in face["by_method"]
        },
        "found_by_method": {f"{row['method']} ({row['source']})": cell(row["found"]) for row in file["by_method"]},
        "false_positives_by_source": {
            row["source"]: cell(row["false_positives"]) for row in file["by_source"] if row["real"]
        },
        "pooled": {
            name: cell(file["pooled"][name])
            for name in ("auc", "found", "false_positives", "missed", "ece", "coverage_real", "coverage_fake")
        },
    }


def machine() -> str:
    """Processor family and number of processors; no name of the machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {usable_cpus()} processors"


def code_version() -> str:
    """Version of the package and commit."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return unmask.__version__
    return f"{unmask.__version__} ({commit})"


def facts(command: list[str], manifest: Manifest) -> dict[str, Any]:
    """When, where, with what."""
    import onnxruntime

    return {
        "command": "python references/default/card.py " + shlex.join(_bare(word) for word in command),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "code": code_version(),
        "faces_sha256": FACES_SHA256,
        "rows": {split: len(manifest.select(split)) for split in ("train", "val", "test")},
    }


def _bare(word: str) -> str:
    """A path without the folders of one machine."""
    return Path(word).name if "/" in word else word
