"""`make train-demo`: from one portrait to a detector, in the steps and commands that pictures of your own would take.

python examples/train_demo.py OUT
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PAIRS = 2
"""Test pictures of each label that are analysed at the end."""


def main() -> int:
    """Run every step; the exit code is that of the first that fails."""
    started = time.monotonic()
    out = Path(sys.argv[1])
    manifest, run, compared = out / "set" / "manifest.parquet", out / "run", out / "compared"
    if not sys.stdout.isatty():
        # The tables are what is to be shown, also in a log: without colours there, and as wide as they need.
        os.environ.update(TTY_COMPATIBLE="1", TERM="dumb", COLUMNS="170", LINES="40")
    from unmask.cli import main as unmask

    def step(words: str, *arguments: str) -> int:
        print(f"\n{words}\n$ unmask {' '.join(arguments)}\n", flush=True)
        return unmask(arguments)

    data = ["--data", str(manifest)]
    code = step("1. Pictures: 160 views of one portrait, and a fake of each", "data", "synth", str(out / "set"))
    more = ["--resume"] if (run / "last.ckpt").exists() else []
    code = code or step(
        "2. Training, and a test on pictures that it has not seen", "train", "demo", *data, "-o", str(run), *more
    )
    if not code and not compared.exists():
        bundles = (str(run / "bundle.onnx"), "default")
        code = step(
            "3. Beside the detector that comes with unmask, on the same test pictures",
            *("evaluate", *bundles, *data, "-o", str(compared), "--draws", "200", "--rounds", "5", "-q"),
        )
    code = code or step(
        "4. In use: test pictures, half of them fake",
        *("analyze", *_pictures(manifest), "--model", str(run / "bundle.onnx")),
        *("--html", str(out / "report.html"), "--annotate", str(out / "annotated")),
    )
    if code:
        return code
    print(f"\nDone in {time.monotonic() - started:.0f} s. It knows one portrait and one kind of fake. Look at:")
    for path, words in (
        (run / "curves.png", "loss and accuracy of training and validation"),
        (run / "test" / "report.html", "what it is worth on the test pictures"),
        (compared / "report.html", "the same beside the packaged detector"),
        (out / "report.html", "the pictures that were analysed"),
    ):
        print(f"  {_shown(path):<36} {words}")
    print("With pictures of your own: docs/training.md")
    return 0


def _pictures(manifest: Path) -> list[str]:
    """Some test pictures, real and fake in turns; never two of one view."""
    from unmask.data.manifest import Manifest

    rows = Manifest.read(manifest).select("test")
    files = dict(zip(rows.table.select("group", "label").iter_rows(), rows.files(), strict=True))
    groups = sorted({group for group, _ in files})[: 2 * PAIRS]
    return [_shown(files[group, place % 2]) for place, group in enumerate(groups)]


def _shown(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
