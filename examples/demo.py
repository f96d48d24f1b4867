"""`make demo`: analyse the portrait and a clip made from it, or files of the user's, and say what was written.

python examples/demo.py OUT [FILE ...]
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def own_media(out: Path) -> list[str]:
    """The portrait that the repository carries, and a clip of it in which a stretch is faked."""
    import make_clip

    from unmask.data import PORTRAIT

    picture, clip = out / "astronaut.jpg", out / "astronaut-part-faked.mp4"
    if not picture.exists():
        shutil.copyfile(PORTRAIT, picture)
    if not clip.exists():
        print(f"Making {_shown(clip)}: 6 s, the face is faked from 2 s to 4 s")
        make_clip.main([str(clip)])
    return [_shown(picture), _shown(clip)]


def main() -> int:
    """Run the demonstration; the exit code is that of `unmask analyze`."""
    started = time.monotonic()
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    files = sys.argv[2:] or own_media(out)

    if not sys.stdout.isatty():
        # The table is what is to be shown, also in a log: without colours there, and as wide as it needs.
        os.environ.update(TTY_COMPATIBLE="1", TERM="dumb", COLUMNS="110", LINES="40")
    from unmask.cli import main as unmask

    report, annotated = out / "report.html", out / "annotated"
    print(f"\n$ unmask analyze {' '.join(files)} --html {report} --annotate {annotated}\n", flush=True)
    code = unmask(["analyze", *files, "--html", str(report), "--annotate", str(annotated)])
    print(f"\nDone in {time.monotonic() - started:.0f} s. A score is evidence, not proof. Look at:")
    for path in (report, *sorted(path for path in annotated.rglob("*") if path.is_file())):
        print(f"  {_shown(path)}")
    return code


def _shown(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
