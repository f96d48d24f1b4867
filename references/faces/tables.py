"""The benchmark's result as Markdown."""

from __future__ import annotations

from typing import Any

NAMES = ("unmask", "yunet-n", "dlib")


def percent(value: float) -> str:
    """99.3 for 0.993."""
    return f"{100 * value:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def markdown(result: dict[str, Any]) -> str:
    """All the tables, with what they were measured on."""
    limits = ", ".join(f"{name} {value}" for name, value in result["thresholds"].items())
    text = [
        f"Measured {result['date']} on {result['machine']}; {' and '.join(result['splits'])} rows of `splits.csv`; "
        f"thresholds: {limits}; model SHA-256 `{result['model_sha256']}`.\n"
    ]
    if "speed" in result:
        rows = [
            [f"{side} px", f"{r['unmask']:.2f}", f"{r['yunet-n']:.2f}", f"{r['ratio']:.3f}"]
            for side, r in result["speed"].items()
        ]
        text += ["### Milliseconds a pass (median)\n", table(["input", "unmask", "YuNet-n", "ratio"], rows)]
    if "conditions" in result:
        rows = []
        for name, r in result["conditions"].items():
            ours, theirs = r["unmask"], r["yunet-n"]
            row = [name, f"{r['faces']} / {r['pictures']}", str(r["allowed"])]
            for key in ("recall_same_alarms", "recall_3_alarms", "recall_0_alarms"):
                row.append(f"{percent(ours[key])} / {percent(theirs[key])}")
            row.append(f"{percent(ours['recall_at_threshold'])} ({ours['alarms_at_threshold']})")
            row.append(f"{ours['point_error']:.3f} / {theirs['point_error']:.3f}")
            rows.append(row)
        head = [
            "condition",
            "faces / pictures",
            "false alarms of YuNet-n at 0.6",
            "recall at as many, ours / YuNet-n, %",
        ]
        head += ["at 3", "at none", "ours at its threshold (false alarms)", "median point error, share of the face"]
        text += ["### By condition\n", table(head, rows)]
    for key, title in (("pasted", "Found in a 1024×768 picture, %"), ("sets", "Nothing found, % of the pictures")):
        if key in result:
            names = [n for n in NAMES if any(n in r for r in result[key].values())]
            rows = [
                [name, str(r["pictures"]), *(percent(r[n]) if n in r else "" for n in names)]
                for name, r in result[key].items()
            ]
            text += [f"### {title}\n", table([key, "pictures", *names], rows)]
    titles = {"faceless": "Faceless pictures in which something is found", "photos": "The same, photographs never used"}
    for key in (key for key in titles if key in result):
        rows = []
        for name in NAMES:
            if name in result[key]:
                found = result[key][name]
                which = ", ".join(f"{k} ({v})" for k, v in found.items()) or "none"
                rows.append([name, f"{len(found)} of {result[key]['pictures']}", which])
        text += [f"### {titles[key]}\n", table(["detector", "pictures", "which"], rows)]
    return "\n".join(text)
