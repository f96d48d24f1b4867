"""In how many stills no face is found, by source and label: ``no_face`` of every still set of the data.

    python benchmarks/coverage.py --data $UNMASK_DATA [--faces default] [--split val] [--json FILE]

For choices look at ``val``; ``test`` is for measuring. Targets: at most 1 % of every set, at most 3 % of DFDC's fakes.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from unmask.base.files import write_text
from unmask.faces import load_backend
from unmask.media.media import open_media

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    """Find the faces of every still of the chosen split and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with splits.csv")
    parser.add_argument("--faces", default="default", help="backend, as for unmask analyze --faces")
    parser.add_argument("--split", action="append", help="val, test or train; may be repeated (default: val and test)")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, help="write the figures and the files without a face here")
    args = parser.parse_args()
    backend = load_backend(args.faces, threads=args.threads)
    with (args.data / "splits.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if Path(row["path"]).suffix.lower() in PICTURES]
    report = {}
    for split in args.split or ["val", "test"]:
        groups = defaultdict(list)
        for row in rows:
            if row["split"] == split:
                groups[row["source"], "fake" if row["label"] == "1" else "real"].append(row["path"])
        print(f"\n{split}, faces: {backend.name}\n{'source':34}{'files':>6}{'no face':>9}{'%':>7}{'ms':>7}{'faces':>7}")
        for (source, label), paths in sorted(groups.items()):
            missed, spent, counts = [], [], []
            for path in paths:
                with open_media(args.data / path) as media:
                    image = next(iter(media.frames())).image
                start = time.perf_counter()
                faces = backend.find(image)
                spent.append(time.perf_counter() - start)
                counts.append(len(faces))
                if not faces:
                    missed.append(path)
            share = 100 * len(missed) / len(paths)
            limit = 3.0 if (source, label) == ("dfdc", "fake") else 1.0
            row = {"files": len(paths), "no_face": len(missed), "percent": share, "missed": missed}
            report[f"{split}/{source}/{label}"] = row | {"ms": 1e3 * float(np.median(spent))}
            print(
                f"{source + ' ' + label:34}{len(paths):6}{len(missed):9}{share:7.2f}{1e3 * np.median(spent):7.1f}"
                f"{np.mean(counts):7.2f}{'  above the target' if share > limit else ''}"
            )
    if args.json:
        write_text(args.json, json.dumps({"faces": backend.name, "sets": report}, indent=2) + "\n")


if __name__ == "__main__":
    main()
