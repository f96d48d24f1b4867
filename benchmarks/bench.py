"""Speed and memory of the whole command against bare scripts, in one run: machines differ, ratios hold.

    make bench            or     python benchmarks/bench.py --repeats 7

Every figure is the median of interleaved repetitions (ours, bare, ours, bare ...). The results are printed and written
to ``.cache/bench/results.json``. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
PICTURE, CLIP, LONG_CLIP = CACHE / "photo-1024.jpg", CACHE / "clip-10s.mp4", CACHE / "clip-60s.mp4"
FACES = str(files("unmask.faces").joinpath("weights/faces.onnx"))
BUNDLE = str(files("unmask.model").joinpath("default.onnx"))
BARE = [sys.executable, str(ROOT / "benchmarks" / "bare.py"), FACES, BUNDLE, str(PICTURE)]
ANALYZE = [str(Path(sys.executable).with_name("unmask")), "analyze"]

DECODE_ONLY = """
import sys, av
with av.open(sys.argv[1]) as container:
    container.streams.video[0].thread_type = "AUTO"
    for frame in container.decode(video=0):
        pass
"""

WARM = """
import statistics, sys, time
from unmask import Detector
detector, times = Detector(), []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    detector.run(sys.argv[1])
    times.append(time.perf_counter() - started)
print(statistics.median(times[len(times) // 5:]) * 1000)
"""

RENDER = """
import json, sys, time
from pathlib import Path
from unmask import Detector
from unmask.cli.outputs import Outputs
from unmask.media import find_inputs
out = Path(sys.argv[2])
item = next(iter(find_inputs([sys.argv[1]])))
detector = Detector()
result = detector.run(item.source)
times = {}
for name, options in {
    "json": {"as_json": True}, "html": {"html": out / "r.html"}, "annotate": {"annotate": out}, "save": {"save": out}
}.items():
    given = {"as_json": False, "out": None, "html": None, "annotate": None, "save": None, "quiet": True} | options
    started = time.perf_counter()
    outputs = Outputs(**given)
    with outputs.opened(detector.card.map_range):
        outputs.write(item, result)
        outputs.draw(item, result, lambda share: None)
    times[name] = (time.perf_counter() - started) * 1000
print(json.dumps(times))
"""


@dataclass
class Run:
    """One child process."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


@dataclass
class Target:
    """One promise and what was measured."""

    name: str
    ours: float
    floor: float
    unit: str
    ratio: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        return self.ratio <= self.limit


def run(command: Sequence[str]) -> Run:
    """Run a command and take the operating system's account of it."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        assert child.stderr is not None
        raise SystemExit(f"{' '.join(command[:3])} ended with {child.returncode}:\n{child.stderr.read()}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, output)


def alternate(repeats: int, *commands: Sequence[str]) -> list[list[Run]]:
    """Run the commands in turn, so that changes in the machine's speed hit all alike; a first round warms up."""
    for command in commands:
        run(command)
    rounds = [[run(command) for command in commands] for _ in range(repeats)]
    return [list(runs) for runs in zip(*rounds, strict=True)]


def median(runs: list[Run], what: str = "wall_s") -> float:
    """Median of one figure."""
    return statistics.median(getattr(one, what) for one in runs)


def make_inputs() -> None:
    """A 1024 px picture with one face, and 10 s and 60 s of 1080p30 with it, from the portrait in the repository."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not PICTURE.exists():
        portrait = Image.open(ROOT / "src" / "unmask" / "data" / "astronaut.jpg")
        portrait.resize((1024, 1024), Image.Resampling.LANCZOS).save(PICTURE, quality=92)
    sys.path.insert(0, str(ROOT / "examples"))
    import make_clip

    if not CLIP.exists():
        options = ["--size", "1920x1080", "--seconds", "10", "--fps", "30", "--fake", "none"]
        subprocess.run([sys.executable, make_clip.__file__, str(CLIP), *options], check=True, stdout=subprocess.DEVNULL)
    if not LONG_CLIP.exists():
        make_clip.repeat(CLIP, LONG_CLIP, 6)


def cold_picture(repeats: int) -> Target:
    """The whole command for one picture."""
    ours, bare = alternate(repeats, [*ANALYZE, str(PICTURE)], BARE)
    return _target("picture, cold", median(ours) * 1000, median(bare) * 1000, "ms", 2.0)


def warm_picture(repeats: int, steps: int = 20) -> Target:
    """A detector that is loaded, against the step of the bare script."""
    ours, bare = alternate(
        max(3, repeats // 2), [sys.executable, "-c", WARM, str(PICTURE), str(steps)], [*BARE, str(steps)]
    )
    medians = [statistics.median(float(one.output) for one in runs) for runs in (ours, bare)]
    return _target("picture, warm", *medians, "ms", 1.3)


def clip(repeats: int) -> list[Target]:
    """A clip, against a process that only decodes it; and its memory, against a limit."""
    ours, bare = alternate(repeats, [*ANALYZE, str(CLIP), "--json"], [sys.executable, "-c", DECODE_ONLY, str(CLIP)])
    long = [run([*ANALYZE, str(LONG_CLIP), "--json"]) for _ in range(2)]
    peak, long_peak = median(ours, "peak_mb"), median(long, "peak_mb")
    return [
        _target("clip 10 s, 1080p30", median(ours), median(bare), "s", 2.0),
        _target("clip 10 s, processor time", median(ours, "cpu_s"), median(bare, "cpu_s"), "s", 2.0),
        _target("peak memory, 10 s clip", peak, 400.0, "MB", 1.0),
        _target("peak memory, 60 s clip", long_peak, 400.0, "MB", 1.0),
        _target("memory of 60 s over 10 s", long_peak, peak, "MB", 1.1),
    ]


def stages() -> dict[str, dict[str, float]]:
    """Milliseconds by stage: of one picture in a warm detector's second run, and of the 10 s clip."""
    from unmask import Detector

    detector = Detector()
    detector.run(PICTURE)
    table = {}
    for name, path in (("picture", PICTURE), ("clip 10 s", CLIP)):
        times = dict(detector.run(path).report.timing_ms)
        rendered = run([sys.executable, "-c", RENDER, str(path), str(CACHE / "out")])
        times |= {f"render {kind}": ms for kind, ms in json.loads(rendered.output.splitlines()[-1]).items()}
        table[name] = times
    return table


def _target(name: str, ours: float, floor: float, unit: str, limit: float) -> Target:
    return Target(name, round(ours, 3), round(floor, 3), unit, round(ours / floor, 3), limit)


def show(targets: list[Target], table: dict[str, dict[str, float]]) -> None:
    """Print both tables."""
    print(f"{'':<28}{'unmask':>10}{'floor':>10}      {'ratio':>6}{'at most':>9}")
    for one in targets:
        mark = "" if one.kept else "  MISSED"
        print(
            f"{one.name:<28}{one.ours:>10.1f}{one.floor:>10.1f} {one.unit:<5}{one.ratio:>6.2f}{one.limit:>9.2f}{mark}"
        )
    names = list(dict.fromkeys(name for times in table.values() for name in times))
    print(f"\n{'milliseconds':<28}" + "".join(f"{column:>12}" for column in table))
    for name in names:
        print(f"{name:<28}" + "".join(f"{times.get(name, 0.0):>12.1f}" for times in table.values()))


def main() -> int:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=("picture", "clip", "stages"))
    args = parser.parse_args()
    make_inputs()
    targets: list[Target] = []
    if args.only in (None, "picture"):
        targets += [cold_picture(args.repeats), warm_picture(args.repeats)]
    if args.only in (None, "clip"):
        targets += clip(args.repeats)
    table = stages() if args.only in (None, "stages") else {}
    show(targets, table)
    results = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "targets": [asdict(one) | {"kept": one.kept} for one in targets],
        "stages_ms": table,
    }
    (CACHE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(one.kept for one in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
