"""The measurements of the benchmark."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conditions import CONDITIONS, Case, Condition, faceless, matches
from numpy.typing import NDArray
from PIL import Image
from teach import Row, bordered, merged_faces, passes_for

from unmask.faces.search import SearchSpec, merge, search
from unmask.faces.types import Face
from unmask.faces.yunet import YuNet

TRUE, KNOWN = 0.65, 0.25
"""Teacher's score of a face that must be found, and of one whose finding is no false alarm."""
LOWEST = 0.02
"""Least score that is asked for in a look; in a search, which looks the longer the less it finds, :data:`SEARCHED`."""
SEARCHED = 0.3
COUNTS = (0, 3, 10)
"""Numbers of false alarms at which recalls are compared, besides that of YuNet-n at its usual threshold."""


def read(path: Path) -> Image.Image:
    """A picture as RGB."""
    with Image.open(path) as file:
        return file.convert("RGB")


def numbers(faces: list[Face]) -> NDArray[np.float32]:
    """Faces as N×15: box, score, points."""
    rows = []
    for face in faces:
        points = face.landmarks if face.landmarks is not None else np.full((5, 2), np.nan)
        rows.append([*face.box, face.score, *np.asarray(points).reshape(-1)])
    return np.asarray(rows, np.float32).reshape(-1, 15)


def looked(net: YuNet, image: Image.Image, side: int, border: float) -> list[Face]:
    """All that a network says in one look, however weak; a picture without border is never enlarged."""
    pixels, scale, pad = bordered(image, side if border else min(side, max(image.size)), border)
    found = []
    for face in net.find(pixels, LOWEST):
        box = [(v - pad) / scale for v in face.box]
        points = None if face.landmarks is None else (face.landmarks - pad) / scale
        found.append(Face((box[0], box[1], box[2], box[3]), face.score, points))
    return found


def operating(
    found: list[NDArray[np.float32]], cases: list[Case]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Any]]:
    """Scores of false alarms, best score of each true face (0: not found), and the matched pairs."""
    alarms, best, pairs = [], [], []
    for rows, case in zip(found, cases, strict=True):
        good = np.zeros(len(rows), bool)
        for truth in case.rows:
            hit = matches(rows, truth)
            good |= matches(rows, truth, 0.25)
            if truth[4] >= TRUE:
                index = np.flatnonzero(hit)
                best.append(rows[index, 4].max() if index.size else 0.0)
                pairs.append((rows[index[np.argmax(rows[index, 4])]] if index.size else None, truth))
        alarms += list(rows[~good, 4])
    return np.sort(np.asarray(alarms))[::-1], np.asarray(best), pairs


def recall_at(alarms: NDArray[np.float64], best: NDArray[np.float64], number: int) -> float:
    """Share of the true faces that score above the first false alarm that is one too many."""
    limit = alarms[number] if number < len(alarms) else LOWEST
    return float((best > limit).mean())


def point_error(pairs: list[Any], threshold: float) -> float:
    """Median distance of the five points from the teacher's, over the face's size."""
    errors = [
        np.linalg.norm((f[5:] - t[5:]).reshape(5, 2), axis=1).mean() / np.sqrt(np.prod(t[2:4] - t[:2]))
        for f, t in pairs
        if f is not None and f[4] >= threshold
    ]
    return float(np.median(errors)) if errors else float("nan")


def by_condition(
    nets: dict[str, YuNet], cases: list[Case], empty: list[Case], seed: int, specs: dict[str, SearchSpec]
) -> dict[str, Any]:
    """Recall at equal numbers of false alarms, for each condition: one look, all looks merged, the package's search."""
    out: dict[str, Any] = {}
    for condition in CONDITIONS:
        changed = changes(condition, cases + empty, seed)
        looks = {
            name: [[looked(net, case.image, *look) for look in condition.looks] for case in changed]
            for name, net in nets.items()
        }
        ways = {"one look": 1, "two looks": len(condition.looks)}
        for way, count in list(ways.items())[: len(condition.looks)]:
            raw = {}
            for name, pictures in looks.items():
                found = [numbers(merge([face for one in seen[:count] for face in one])) for seen in pictures]
                raw[name] = operating(found, changed)
            title = f"{condition.name}, {way}"
            out[title] = compared(raw, specs) | {"pictures": len(changed)}
            show(title, out[title])
        title = f"{condition.name}, search"
        # What is said at the thresholds themselves comes from searches as they are.
        lowered, own = in_search(nets, changed, specs, SEARCHED), in_search(nets, changed, specs)
        out[title] = compared(lowered, specs, own) | {"pictures": len(changed)}
        show(title, out[title])
    return out


def in_search(
    nets: dict[str, YuNet], cases: list[Case], specs: dict[str, SearchSpec], lowest: float | None = None
) -> dict[str, Any]:
    """What :func:`operating` says of each detector in the package's search, reporting scores from ``lowest`` on."""
    raw = {}
    for name, net in nets.items():
        spec = specs[name] if lowest is None else replace(specs[name], threshold=lowest, candidate=lowest)
        raw[name] = operating([numbers(search(net, np.asarray(case.image), spec=spec)) for case in cases], cases)
    return raw


def compared(raw: dict[str, Any], specs: dict[str, SearchSpec], own: dict[str, Any] | None = None) -> dict[str, Any]:
    """Recalls and false alarms of the detectors beside each other; those at a detector's threshold out of ``own``."""
    reference = raw["yunet-n"]
    allowed = int((reference[0] >= specs["yunet-n"].threshold).sum())
    out: dict[str, Any] = {"faces": len(reference[1]), "allowed": allowed}
    for name, (alarms, best, _) in raw.items():
        own_alarms, own_best, pairs = (own or raw)[name]
        out[name] = {
            "recall_same_alarms": recall_at(alarms, best, allowed),
            **{f"recall_{count}_alarms": recall_at(alarms, best, count) for count in COUNTS},
            "recall_at_threshold": float((own_best >= specs[name].threshold).mean()),
            "alarms_at_threshold": int((own_alarms >= specs[name].threshold).sum()),
            "point_error": point_error(pairs, specs[name].threshold),
        }
    return out


def show(title: str, result: dict[str, Any]) -> None:
    """Print one condition."""
    print(f"{title:32s} {result['faces']} faces, {result['allowed']} false alarms", end="")
    for name, r in result.items():
        if isinstance(r, dict):
            counts = " ".join(f"{100 * r[f'recall_{count}_alarms']:5.1f}" for count in COUNTS)
            print(f" | {name} {100 * r['recall_same_alarms']:5.1f} ({counts}) ", end="")
            print(
                f"own {100 * r['recall_at_threshold']:.1f}/{r['alarms_at_threshold']} pts {r['point_error']:.3f}",
                end="",
            )
    print(flush=True)


def changes(condition: Condition, cases: list[Case], seed: int) -> list[Case]:
    """The cases under a condition, the same for every detector and every run."""
    rng = np.random.default_rng(seed)
    return [condition.change(case, rng) for case in cases]


def pick_cases(data: Path, rows: list[Row], teacher: YuNet, count: int, seed: int) -> list[Case]:
    """Pictures in which the teacher surely sees a face, the same number from every source as far as they go."""
    rng = np.random.default_rng(seed)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.source}-{row.label}", []).append(row)
    queues = [[group[i] for i in rng.permutation(len(group))] for _, group in sorted(groups.items())]
    cases: list[Case] = []
    while len(cases) < count and any(queues):
        for queue in queues:
            if queue and len(cases) < count:
                row = queue.pop()
                image = read(data / row.path)
                seen = merged_faces(teacher, image, passes_for(image.size))
                if (seen[:, 4] >= TRUE).any():
                    cases.append(Case(image, seen, row.path))
    return cases


def by_set(finders: dict[str, Any], data: Path, rows: list[Row], limit: int) -> dict[str, Any]:
    """Share of the pictures of each set in which nothing is found, for each detector."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.source} {'fake' if row.label else 'real'}", []).append(row)
    out: dict[str, Any] = {}
    for name, group in sorted(groups.items()):
        missed = dict.fromkeys(finders, 0)
        chosen = group if limit <= 0 else [group[i] for i in np.random.default_rng(3).permutation(len(group))[:limit]]
        for row in chosen:
            pixels = np.asarray(read(data / row.path))
            for key, find in finders.items():
                missed[key] += not find(pixels)
        out[name] = {"pictures": len(chosen), **{key: value / len(chosen) for key, value in missed.items()}}
        shares = "  ".join(f"{k} {100 * missed[k] / len(chosen):5.2f} %" for k in finders)
        print(f"{name:32s} {len(chosen):5d} {shares}", flush=True)
    return out


def pasted(finders: dict[str, Any], cases: list[Case], count: int, seed: int) -> dict[str, Any]:
    """Faces cut out and put anywhere on a 1024×768 faceless picture: share found, by size."""
    rng = np.random.default_rng(seed)
    grounds = [
        path for path in faceless() if path.stem in {"coffee", "rocket", "china", "brick", "motorcycle_left", "flower"}
    ]
    out: dict[str, Any] = {}
    for size in (24, 32, 48, 80, 256):
        hits = dict.fromkeys(finders, 0)
        for index in range(count):
            case = cases[index % len(cases)]
            row = case.rows[np.argmax(case.rows[:, 4])]
            grow = 0.25 * (row[2:4] - row[:2])
            area = np.clip([*(row[:2] - grow), *(row[2:4] + grow)], 0, [*case.image.size, *case.image.size])
            factor = size / float(max(row[2:4] - row[:2]))
            tile = case.image.resize(
                (max(8, round((area[2] - area[0]) * factor)), max(8, round((area[3] - area[1]) * factor))),
                Image.Resampling.BICUBIC,
                box=tuple(float(v) for v in area),
                reducing_gap=3.0,
            )
            ground = read(grounds[index % len(grounds)]).resize((1024, 768), Image.Resampling.BICUBIC)
            x, y = int(rng.integers(0, 1024 - tile.width)), int(rng.integers(0, 768 - tile.height))
            ground.paste(tile, (x, y))
            box = (row[[0, 1, 2, 3]] - area[[0, 1, 0, 1]]) * factor + np.array([x, y, x, y])
            truth = np.zeros(15, np.float32)
            truth[:4] = box
            for key, find in finders.items():
                found = numbers(find(np.asarray(ground)))
                hits[key] += bool(len(found) and matches(found, truth, 0.3).any())
        out[str(size)] = {"pictures": count, **{key: value / count for key, value in hits.items()}}
        print(f"pasted {size:3d} px: " + "  ".join(f"{k} {v / count:.3f}" for k, v in hits.items()), flush=True)
    return out


def speed(nets: dict[str, Path], threads: int, rounds: int = 60) -> dict[str, Any]:
    """Milliseconds a pass, the detectors taking turns; the median of the rounds, and of the rounds' ratios."""
    loaded = {name: YuNet(path, threads=threads) for name, path in nets.items()}
    out: dict[str, Any] = {}
    for side in (320, 640):
        image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        times: dict[str, list[float]] = {name: [] for name in loaded}
        for _ in range(rounds + 5):
            for name, net in loaded.items():
                begin = time.perf_counter()
                net.raw(image)
                times[name].append(1000 * (time.perf_counter() - begin))
        middle = {name: float(np.median(values[5:])) for name, values in times.items()}
        ratio = float(np.median(np.divide(times["unmask"][5:], times["yunet-n"][5:])))
        out[str(side)] = {**middle, "ratio": ratio}
        print(
            f"{side} px: " + "  ".join(f"{k} {v:.2f} ms" for k, v in middle.items()) + f"  ratio {ratio:.3f}",
            flush=True,
        )
    return out


def alarms(finders: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Faceless pictures in which something is found, by detector, with the highest score."""
    out: dict[str, Any] = {name: {} for name in finders}
    for path in paths:
        pixels = np.asarray(read(path))
        for name, find in finders.items():
            found = find(pixels)
            if found:
                out[name][path.name] = round(max(face.score for face in found), 3)
    for name, values in out.items():
        print(f"faceless: {name} finds something in {len(values)} of {len(paths)}: {values}", flush=True)
    return {"pictures": len(paths), **out}


def choose(net: YuNet, spec: SearchSpec, data: Path, rows: list[Row], negatives: Path | None) -> None:
    """What a threshold costs: no face, by set, and alarms in val negatives, for a ladder of thresholds."""
    ladder = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
    specs = [replace(spec, threshold=t, candidate=min(t, spec.candidate)) for t in ladder]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.source}-{row.label}", []).append(row)
    for name, group in sorted(groups.items()):
        pixels = [np.asarray(read(data / row.path)) for row in group[:60]]
        line = [sum(not search(net, p, spec=one) for p in pixels) / len(pixels) for one in specs]
        print(f"{name:32s} {len(pixels):4d} " + " ".join(f"{100 * v:6.2f}" for v in line), flush=True)
    if negatives:
        pixels = [np.asarray(read(p)) for p in sorted(negatives.glob("*.png"))]
        line = [sum(bool(search(net, p, spec=one)) for p in pixels) / len(pixels) for one in specs]
        print(f"{'negatives: alarm in':32s} {len(pixels):4d} " + " ".join(f"{100 * v:6.2f}" for v in line), flush=True)
