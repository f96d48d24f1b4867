"""What the default detector is to reach, beside what it reaches."""

from __future__ import annotations

from typing import Any

MIN_FILES = 20
"""A source with fewer real files is named but not counted as the worst: one of two would be a half."""

_AUC = (
    ("140k", "stylegan", 0.93),
    ("dfdc", "dfdc", 0.89),
    ("hardfakevsreal", "stylegan2", 0.93),
    ("inswapper", "inswapper", 0.80),
    ("ai-portraits", "ai-portrait", 0.70),
    ("talking-clips", "hallo3", 0.85),
)


def targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a target: ``what``, ``target`` in words, ``value``, ``low``, ``high``, ``reached``, ``note``."""
    face, file, val = figures["test"]["face"], figures["test"]["file"], figures["calibration"]
    rows = []
    for source, method, least in _AUC:
        row = next((r for r in face["by_method"] if (r["source"], r["method"]) == (source, method)), None)
        if row is not None:
            what = f"AUC {source}, {'frames' if source == 'talking-clips' else 'single crop'}"
            note = f"{row['real']} + {row['fake']} faces, coverage of fakes {row['coverage_fake']['value']:.1%}"
            rows.append(_least(what, row["auc"], least, note))
    pooled = file["pooled"]
    rows.append(_most("false positives, all test reals", pooled["false_positives"], 0.03, f"{pooled['real']:,} files"))
    sources = [row for row in file["by_source"] if row["real"]]
    big = [row for row in sources if row["real"] >= MIN_FILES] or sources
    worst = max(big, key=lambda row: row["false_positives"]["value"])
    small = [
        f"{row['source']} {row['false_positives']['value']:.0%} of {row['real']}"
        for row in sources
        if row["real"] < MIN_FILES and row["false_positives"]["value"] > worst["false_positives"]["value"]
    ]
    note = f"{worst['source']}, {worst['real']} files"
    note += f"; of fewer than {MIN_FILES} files: {', '.join(small)}" if small else ""
    rows.append(_most("false positives, worst source", worst["false_positives"], 0.10, note))
    press = next((row for row in sources if row["source"] == "press"), None)
    if press is not None:
        note = f"{press['real']} files of {press['groups']} people"
        rows.append(_most("false positives, sharp press photographs", press["false_positives"], 0.05, note))
    note = f"{pooled['fake']:,} files, coverage {pooled['coverage_fake']['value']:.1%}"
    rows.append(_least("test fakes found", pooled["found"], 0.55, note))
    missed = {"value": val["fakes"]["called_real"], "low": None, "high": None}
    rows.append(_most("val fakes called likely_real", missed, 0.05, f"{val['fakes']['files']:,.0f} files with a face"))
    speed = figures.get("speed")
    if speed:
        ratio = {"value": speed["ratio"], "low": None, "high": None}
        note = f"{speed['bundle']['ms_a_crop']:.1f} ms against {speed['resnet50']['ms_a_crop']:.1f} ms"
        rows.append(_most("time a crop over ResNet50's", ratio, 0.25, note, percent=False))
        size = {"value": speed["size_mb"], "low": None, "high": None}
        rows.append(_most("size in MB", size, 12.0, "", percent=False))
    return rows


def _least(what: str, estimate: dict[str, Any], bound: float, note: str) -> dict[str, Any]:
    percent = not what.startswith("AUC")
    reached = estimate["value"] is not None and estimate["value"] >= bound
    words = f"at least {_words(bound, percent)}"
    return {"what": what, "target": words, "percent": percent, "reached": reached, "note": note} | estimate


def _most(what: str, estimate: dict[str, Any], bound: float, note: str, *, percent: bool = True) -> dict[str, Any]:
    reached = estimate["value"] is not None and estimate["value"] <= bound
    words = f"at most {_words(bound, percent)}"
    return {"what": what, "target": words, "percent": percent, "reached": reached, "note": note} | estimate


def _words(bound: float, percent: bool) -> str:
    return f"{bound:.0%}".replace("%", " %") if percent else f"{bound:g}"
