"""The report of a measurement as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2

from unmask.evaluate.measure import protocol_words, shared_words
from unmask.evaluate.sheet import Tile
from unmask.evaluate.show import (
    LEVELS,
    METHOD_COLUMNS,
    NOT_PERCENT,
    POOLED,
    SIDE_BY_SIDE,
    SOURCE_COLUMNS,
    count,
    estimate,
    megabytes,
    time_words,
)
from unmask.render import templating
from unmask.render.text import printable

Plots = Mapping[str, str]
"""Name of a plot -> SVG."""

PLOT_WORDS = {
    "roc": "ROC: false-positive rate against found fakes, rows with a face; the dot is the threshold of likely_fake",
    "precision_recall": "Precision over recall; dotted: the share of fakes in the data",
    "reliability": "Reliability: p_fake against the share of fakes, both classes with the same weight; "
    "a larger dot stands for more rows",
    "histogram": "How p_fake is spread over reals and over fakes; dashed: the thresholds",
    "confusion": "Truth and verdict: files, and their share of the class",
    "speed": "AUC of files against time, with 95 % intervals and quartiles",
}


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    env = templating.environment_of("unmask.evaluate")
    env.globals |= {
        "pooled_rows": POOLED,
        "side_by_side": SIDE_BY_SIDE,
        "source_columns": SOURCE_COLUMNS,
        "method_columns": METHOD_COLUMNS,
        "levels": LEVELS,
        "plot_words": PLOT_WORDS,
    }
    env.filters |= {
        "printable": printable,
        "protocol": protocol_words,
        "cell": lambda value, name: estimate(value, percent=name not in NOT_PERCENT),
        "signed": lambda value, name: estimate(value, percent=name not in NOT_PERCENT, signed=True),
        "count": count,
        "megabytes": lambda facts: megabytes(facts["bytes"]),
        "time": time_words,
        "svg": _svg_address,
    }
    return env


def _svg_address(text: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def page(
    figures: Mapping[str, Any],
    *,
    title: str,
    made: str,
    shared: Plots,
    own: Mapping[str, Plots],
    errors: Mapping[str, Sequence[Tile]],
) -> str:
    """The page as text.

    Args:
        figures: Of :func:`unmask.evaluate.board.board`.
        title: Of the page.
        made: When and with what, in words.
        shared: Plots of all detectors together.
        own: Plots of each detector, by its name.
        errors: Worst errors of each detector, by its name.
    """
    style = templating.render("report.css.jinja") + _environment().get_template("evaluation.css.jinja").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("evaluation.html.jinja")
        .render(
            title=title,
            made=made,
            style=style,
            style_hash=digest,
            detectors=figures["detectors"],
            differences=figures["differences"],
            protocols=shared_words([(one["name"], one["protocol"]) for one in figures["detectors"]]),
            shared=shared,
            own=own,
            errors=errors,
        )
    )
