"""Make a virtual environment with unmask in it, or do nothing if it is there and current.

Standard library only: it runs on the Python that a fresh machine has.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (nothing has checked it before)
    sys.exit("unmask needs Python 3.11 or newer: make PYTHON=python3.12 ...")
import tomllib

ROOT = Path(__file__).resolve().parent.parent
STAMP = "unmask-stamp"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--editable", action="store_true", help="the code is used where it lies")
    parser.add_argument("--extras", nargs="*", default=[])
    parser.add_argument("--groups", nargs="*", default=[], help="dependency groups of pyproject.toml")
    args = parser.parse_args()

    project = (ROOT / "pyproject.toml").read_bytes()
    groups = tomllib.loads(project.decode())["dependency-groups"]
    requirements = [requirement for group in args.groups for requirement in groups[group]]
    wanted = _fingerprint(project, args)
    stamp = args.folder / STAMP
    if stamp.is_file() and stamp.read_text() == wanted and _runs(args.folder):
        return 0

    started = time.monotonic()
    extras = f"[{','.join(args.extras)}]" if args.extras else ""
    print(f"Setting up {args.folder}: unmask{extras} and what it needs", flush=True)
    if not _runs(args.folder):
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(args.folder)], check=False)
        if made.returncode:
            print("This Python cannot make virtual environments (Debian: install python3-venv).", file=sys.stderr)
            return 1
    pip = [str(_python(args.folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    target = f"{ROOT}{extras}"
    installed = subprocess.run([*pip, *(["-e", target] if args.editable else [target]), *requirements], check=False)
    if installed.returncode:
        return installed.returncode
    stamp.write_text(wanted)
    print(f"Ready in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def _fingerprint(project: bytes, args: argparse.Namespace) -> str:
    """What the environment was made from; a copy of the code (not editable) counts as well."""
    digest = hashlib.sha256(project + repr((args.editable, args.extras, args.groups, sys.version)).encode())
    if not args.editable:
        for path in sorted((ROOT / "src").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _runs(folder: Path) -> bool:
    """Whether the environment's Python starts; one that was moved or whose base is gone does not."""
    if not _python(folder).exists():
        return False
    return subprocess.run([str(_python(folder)), "-c", ""], check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
