"""From a trained graph to the packaged detector and its model card, in one command.

    python references/default/card.py --graph network.onnx --data manifest.parquet --run RUN

1. Scores the validation rows, fits calibration and thresholds (`unmask.evaluate.calibrate`) and writes the bundle.
2. Scores the test rows with it, once, and measures; nothing is chosen here.
3. Measures speed against ResNet50, robustness on validation pictures, and the test clips through `unmask analyze`.
4. Writes `figures.json` beside this file, and `docs/model-card.md` from it.

`--val` ends after the first step without writing the bundle: to compare networks, on validation rows only.
`--write` only writes the text again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import stages
import yaml
from targets import targets
from text import model_card

from unmask.base.files import write_text
from unmask.data.manifest import Manifest, join
from unmask.evaluate.calibrate import calibrate
from unmask.evaluate.measure import summarize
from unmask.evaluate.predict import judge
from unmask.evaluate.robustness import robustness
from unmask.evaluate.show import console, estimate, show
from unmask.evaluate.thresholds import Limits
from unmask.faces.types import CropSpec
from unmask.model import load_bundle

HERE = Path(__file__).parent
REPO = HERE.parents[1]
FIGURES = HERE / "figures.json"
CARD = REPO / "docs" / "model-card.md"
BUNDLE = REPO / "src" / "unmask" / "model" / "default.onnx"
CONSTANT = BUNDLE.with_name("packaged.py")


def say(text: str) -> None:
    """A line for the user, with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {text}", file=sys.stderr, flush=True)


STARTED = time.monotonic()


def main() -> None:
    given = arguments()
    if given.write:
        write_card(json.loads(FIGURES.read_text(encoding="utf-8")))
        return
    if given.beside and not given.run:
        raise SystemExit("--beside goes with --run")
    manifest = join(Manifest.read(file) for file in given.data)
    run = stages.training_run(given.run, given.beside)
    if given.kept:
        run["kept"] = given.kept
    crop = CropSpec(**run["recipe"]["crop"]) if run else CropSpec(**yaml.safe_load(given.crop))
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    limits = Limits(target_fpr=given.target_fpr, target_miss=given.target_miss)
    raw = stages.provisional(given.graph, crop, work / "provisional.onnx", given.min_face_px)
    val = stages.scored(raw, manifest, "val", given.faces, work, say)
    calibration = calibrate(val, limits)
    card = stages.make_card(run, manifest, calibration, crop, given.version)
    card = card.model_copy(update={"min_face_px": given.min_face_px})
    on_val = summarize(judge(val, card), card)
    if given.val:
        console().print(show(on_val))
    candidate = work / "candidate.onnx"
    stages.store(given.graph, card, candidate, None)
    if given.val:
        if given.wear:
            print_wear(robustness(load_bundle(candidate, device="cpu"), manifest, split="val", size=given.sample))
        return
    figures: dict[str, Any] = {
        "facts": stages.facts(sys.argv[1:], manifest),
        "faces": given.faces,
        "training": run,
        "sets": [one.model_dump() for one in card.training],
        "calibration": calibration.report,
        "levels": [level.model_dump() for level in card.levels],
        "val": on_val,
    }
    test = stages.scored(raw, manifest, "test", given.faces, work, say)
    figures["test"] = summarize(judge(test, card), card)
    say("test rows measured")
    figures["clips"] = stages.clips_as_analyzed(candidate, manifest, "test", say)
    figures["robustness"] = robustness(load_bundle(candidate, device="cpu"), manifest, split="val", size=given.sample)
    say("robustness measured")
    figures["speed"] = stages.speed_alone(candidate, work / "speed.json", given.rounds)
    card = card.model_copy(update={"metrics": stages.short_metrics(figures["test"])})
    figures["bundle"] = {
        "name": card.name,
        "version": card.version,
        "architecture": card.architecture,
        "crop": card.crop.model_dump(),
        "min_face_px": card.min_face_px,
        "terms": card.terms,
        "domain": card.domain,
        "sha256": stages.store(given.graph, card, given.out, CONSTANT if given.out == BUNDLE else None),
        "bytes": given.out.stat().st_size,
    }
    figures["targets"] = targets(figures)
    write_text(FIGURES if given.out == BUNDLE else work / "figures.json", json.dumps(rounded(figures), indent=1) + "\n")
    write_card(figures, CARD if given.out == BUNDLE else work / "model-card.md")
    for row in figures["targets"]:
        say(f"{'reached' if row['reached'] else 'MISSED '}  {row['what']}: {row['value']:.3f}, {row['target']}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path, help="ONNX graph of the trained network")
    parser.add_argument("--data", type=Path, action="append", help="manifest; repeatable")
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        help="run folder of the training; once a stage, in order",
    )
    parser.add_argument("--beside", type=Path, action="append", default=[], help="run of a network joined with that")
    parser.add_argument("--kept", help="which weights the graph holds, where not the best of the last run")
    parser.add_argument("--crop", default="{faces: default, margin: 1.3, size: 224}", help="crop where no run is given")
    parser.add_argument("--faces", default="card", help="card: found anew as `unmask analyze` does; or manifest")
    parser.add_argument("--out", type=Path, default=BUNDLE, help="the bundle; default: the packaged one")
    parser.add_argument("--work", type=Path, default=REPO / "runs" / "card", help="for predictions and drafts")
    parser.add_argument("--version", default="0.1.0", help="of the bundle")
    parser.add_argument("--target-fpr", type=float, default=0.02)
    parser.add_argument("--target-miss", type=float, default=0.05)
    parser.add_argument("--min-face-px", type=float, default=0.0, help="smaller faces are always inconclusive")
    parser.add_argument("--wear", action="store_true", help="with --val: the table of robustness too")
    parser.add_argument("--sample", type=int, default=200, help="pictures for the table of robustness")
    parser.add_argument("--rounds", type=int, default=30, help="batches timed of each network")
    parser.add_argument("--val", action="store_true", help="validation rows only; writes no bundle")
    parser.add_argument("--write", action="store_true", help="only write the text again from figures.json")
    given = parser.parse_args()
    if not given.write and not (given.graph and given.data):
        parser.error("--graph and --data are needed")
    return given


def print_wear(rows: list[dict[str, Any]]) -> None:
    """The table of robustness, for a terminal."""
    for row in rows:
        cells = [estimate(row[name], percent=name != "auc") for name in ("auc", "found", "false_positives", "cleared")]
        print(f"{row['level']:<18}" + "".join(f"{cell:>22}" for cell in cells))


def write_card(figures: dict[str, Any], file: Path = CARD) -> None:
    """Write the model card."""
    write_text(file, model_card(figures))
    say(f"wrote {file}")


def rounded(value: Any) -> Any:
    """Floats to six significant digits, so that the file stays readable."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
