"""The model card: figures into words. Every number comes from the measurement; the sentences are in ``card.md.j2``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
SETS: dict[str, dict[str, str]] = json.loads((HERE / "sets.json").read_text(encoding="utf-8"))


def model_card(figures: dict[str, Any]) -> str:
    """Markdown of ``docs/model-card.md``."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"est": estimate, "pct": percent, "num": number, "level": level_name}
    file = figures["test"]["file"]
    real = [row for row in file["by_source"] if row["real"]]
    weak = [row for row in file["by_method"] if row["found"]["value"] < 0.3 and row["fake"] >= 5]
    loud = [row for row in real if row["false_positives"]["value"] > 0.05 and row["real"] >= 20]
    best = figures["training"].get("chosen", {})
    return environment.get_template("card.md.j2").render(
        f=figures,
        sets=SETS,
        face=figures["test"]["face"],
        file=file,
        clip=figures["test"].get("clip"),
        real_sources=real,
        val_sources=[row for row in figures["val"]["file"]["by_source"] if row["real"]],
        weak=sorted(weak, key=lambda row: row["found"]["value"]),
        loud=sorted(loud, key=lambda row: -row["false_positives"]["value"]),
        missed=[row for row in figures["targets"] if not row["reached"]],
        best=best,
        clips=clip_table(figures["clips"]),
        worn=worn(figures["robustness"]),
    )


def estimate(value: dict[str, Any], how: str = "percent") -> str:
    """``93.1 % (91.2-95.0)``, ``0.931 (0.912-0.950)``, or a dash."""
    show = percent if how == "percent" else number
    if value["value"] is None:
        return "-"
    if value.get("low") is None or value.get("high") is None:
        return show(value["value"])
    low, high = (show(value[side]).removesuffix(" %") for side in ("low", "high"))
    return f"{show(value['value'])} ({low}-{high})"


def percent(value: float) -> str:
    """``3.1 %``."""
    return f"{100 * value:.1f} %"


def number(value: float, digits: int = 3) -> str:
    """``0.931``."""
    return f"{value:.{digits}f}"


def level_name(level: dict[str, Any]) -> str:
    """``picture, up to 3 faces``."""
    if level["kind"] not in ("picture", "clip"):
        return str(level["kind"])
    what = {"picture": "face", "clip": "track"}[level["kind"]]
    count = level["faces"]
    return f"{level['kind']}, " + (f"1 {what}" if count == 1 else f"up to {count} {what}s")


def clip_table(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Verdicts of clips by source and label."""
    rows = []
    for source, method, label in sorted({(clip["source"], clip["method"], clip["label"]) for clip in clips}):
        part = [clip for clip in clips if (clip["source"], clip["method"], clip["label"]) == (source, method, label)]
        verdicts = [clip["verdict"] for clip in part]
        names = ("likely_fake", "inconclusive", "likely_real", "no_face", "error")
        rows.append(
            {"source": source, "method": method, "label": "fake" if label else "real", "clips": len(part)}
            | {name: verdicts.count(name) for name in names}
            | {"stretches": sum(clip["stretches"] > 0 for clip in part)}
        )
    return rows


def worn(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Degradations under which the found rate halves or the false positives double (and are above 5 %)."""
    clean = rows[0]
    return [
        row
        for row in rows[1:]
        if row["found"]["value"] < 0.5 * clean["found"]["value"]
        or row["false_positives"]["value"] > max(0.05, 2 * clean["false_positives"]["value"])
    ]
