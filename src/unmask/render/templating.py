"""Jinja2, set up once: templates from the package, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2

from unmask.render import verdict
from unmask.render.text import printable


def environment_of(package: str) -> jinja2.Environment:
    """For the ``templates`` of a package: everything is escaped; an unknown name is an error, not an empty text."""
    folder = resources.files(package) / "templates"
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates of this room, with what every one of them uses."""
    env = environment_of("unmask.render")
    env.globals["looks"] = verdict.LOOKS
    env.filters |= {
        "printable": printable,
        "score": verdict.score,
        "seconds": verdict.seconds,
        "where": verdict.where,
        "subject_name": verdict.subject_name,
        "compact": compact,
    }
    return env


def render(template: str, **values: Any) -> str:
    """One template as text."""
    return environment().get_template(template).render(**values)


def compact(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def rows(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Nested facts as (name, text) rows: ``{"exif": {"make": "X"}}`` gives ``("exif › make", "X")``."""
    if isinstance(value, dict) and depth < 4:
        for key, inner in value.items():
            name = printable(str(key))
            yield from rows(inner, f"{prefix} › {name}" if prefix else name, depth + 1)
    elif isinstance(value, list) and depth < 4 and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value):
            yield from rows(inner, f"{prefix} {number}", depth + 1)
    elif value is not None and value not in ({}, []):
        yield prefix, printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
