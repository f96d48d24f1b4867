"""Our detector beside YuNet-n and dlib: by set, by condition, on faceless pictures, and in time.

    python references/faces/bench.py [--yunet face-detection-yunet-n.onnx] [--json FILE] [--markdown FILE]

Needs the data ($UNMASK_DATA or --data) and YuNet-n (--yunet; else ``weights/face-detection-yunet-n.onnx`` beside the
data's folder), scikit-image and, for two pictures more, scikit-learn; dlib is left out where ``dlib-bin`` is
missing. ``--split val --choose`` prints what the score threshold is chosen by.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from conditions import Case, faceless
from measure import alarms, by_condition, by_set, choose, pasted, pick_cases, read, speed
from teach import still_rows

from unmask.base.errors import UnmaskError
from unmask.faces.backends import load_backend
from unmask.faces.backends.default import SPEC
from unmask.faces.search import DEFAULT, SearchSpec, search
from unmask.faces.yunet import YuNet

OURS = Path(__file__).parents[2] / "src/unmask/faces/weights/faces.onnx"
PARTS = ["speed", "conditions", "pasted", "faceless", "sets"]


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("UNMASK_DATA"))
    parser.add_argument("--model", type=Path, default=OURS, help="our detector; default: the one in the package")
    parser.add_argument("--yunet", type=Path, help="yunet_n_dynamic.onnx of libfacedetection.train")
    parser.add_argument("--split", action="append", help="default: val and test")
    parser.add_argument("--threshold", type=float, default=SPEC.threshold, help="ours; YuNet-n's is 0.6")
    parser.add_argument("--pictures", type=int, default=300, help="pictures a condition")
    parser.add_argument("--limit", type=int, default=0, help="pictures a set; 0: all")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--choose", action="store_true", help="print the cost of thresholds on val and end")
    parser.add_argument("--negatives", type=Path, help="with --choose: folder of faceless val pictures")
    parser.add_argument("--photos", type=Path, help="more pictures without a face: what faceless_photos.py wrote")
    parser.add_argument("--no-dlib", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    if not args.data or not (Path(args.data) / "splits.csv").exists():
        sys.exit("No data: set UNMASK_DATA (or --data) to the folder that holds splits.csv and the sets it names.")
    args.data = Path(args.data)
    args.yunet = args.yunet or args.data.resolve().parent / "weights" / "face-detection-yunet-n.onnx"
    for file in (args.yunet, args.model):
        if not file.exists():
            sys.exit(f"{file} is missing. YuNet-n is onnx/yunet_n_dynamic.onnx of ShiqiYu/libfacedetection.train.")
    args.split = args.split or (["val"] if args.choose else ["val", "test"])
    return args


def finders_for(nets: dict[str, YuNet], specs: dict[str, SearchSpec], dlib: bool) -> dict[str, Any]:
    """Each detector as a function from pixels to faces, with the package's own search around the networks."""

    def finder(name: str) -> Any:
        return lambda pixels: search(nets[name], pixels, spec=specs[name])

    finders = {name: finder(name) for name in nets}
    if dlib:
        try:
            finders["dlib"] = load_backend("dlib").find
        except UnmaskError as error:
            print(f"without dlib: {error}", file=sys.stderr)
    return finders


def main() -> None:
    """Run everything that is asked for and write the tables."""
    args = arguments()
    rows = still_rows(args.data, set(args.split))
    paths = {"unmask": args.model, "yunet-n": args.yunet}
    nets = {name: YuNet(path, threads=args.threads) for name, path in paths.items()}
    if args.choose:
        choose(nets["unmask"], SPEC, args.data, rows, args.negatives)
        return
    # As `--faces default` and `--faces yunet:FILE` search.
    specs = {
        "unmask": replace(SPEC, threshold=args.threshold, candidate=min(args.threshold, SPEC.candidate)),
        "yunet-n": DEFAULT,
    }
    finders = finders_for(nets, specs, not args.no_dlib)
    parts = set(args.only or PARTS)
    threads = "1 thread" if args.threads == 1 else f"{args.threads} threads"
    result: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {threads}, Python {platform.python_version()}",
        "splits": args.split,
        "thresholds": {name: spec.threshold for name, spec in specs.items()},
        "model_sha256": hashlib.sha256(args.model.read_bytes()).hexdigest(),
    }
    cases = pick_cases(args.data, rows, nets["yunet-n"], args.pictures, 11) if parts & {"conditions", "pasted"} else []
    if "speed" in parts:
        result["speed"] = speed(paths, args.threads)
    if "conditions" in parts:
        empty = [Case(read(path), np.zeros((0, 15), np.float32), path.name) for path in faceless()]
        result["conditions"] = by_condition(nets, cases, empty, 5, specs)
    if "pasted" in parts:
        result["pasted"] = pasted(finders, cases, 60, 6)
    if "faceless" in parts:
        result["faceless"] = alarms(finders, faceless())
        if args.photos:
            result["photos"] = alarms(finders, sorted(args.photos.glob("*.png")))
    if "sets" in parts:
        result["sets"] = by_set(finders, args.data, rows, args.limit)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.markdown:
        from tables import markdown

        args.markdown.write_text(markdown(result))


if __name__ == "__main__":
    main()
