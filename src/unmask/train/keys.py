"""Names of the keys of a recipe, and which of them a wrong one may have been meant for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import get_args

from pydantic import BaseModel

_ELSEWHERE = {
    "learning_rate": "schedule.lr",
    "batch_size": "schedule.batch",
    "max_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "early_stopping": "schedule.patience",
    "scheduler": "schedule.lr_schedule",
    "label_smoothing": "schedule.smoothing",
    "image_size": "crop.size",
    "img_size": "crop.size",
    "input_size": "crop.size",
    "model": "network.backbone",
    "arch": "network.backbone",
    "pretrained": "network.weights",
    "horizontal_flip": "augment.flip",
}
"""What other programs call it -> the key."""


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key with dots, sections included: ``schedule``, ``schedule.lr`` ..."""
    for name, about in model.model_fields.items():
        yield f"{prefix}{name}"
        for kind in (about.annotation, *get_args(about.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys_of(kind, f"{prefix}{name}.")


def near(wrong: str, names: Sequence[str], most: int = 3) -> list[str]:
    """The names that ``wrong`` may have been meant for, the likeliest first.

    A key of another section with the same last word comes first: people forget the section.

    Args:
        wrong: What was given.
        names: What there is.
        most: How many at most.
    """
    last = wrong.rpartition(".")[2].lower()
    ends = {name: name.rpartition(".")[2] for name in names}
    meant = _ELSEWHERE.get(last, "")
    alike = difflib.get_close_matches(last, sorted(set(ends.values())), most, cutoff=0.75)
    found = [
        *(name for name in names if name == meant),
        *(name for name, end in ends.items() if end == last),
        *difflib.get_close_matches(wrong.lower(), names, most, cutoff=0.8),
        *(name for one in alike for name, end in ends.items() if end == one),
    ]
    return list(dict.fromkeys(found))[:most]


def did_you_mean(wrong: str, names: Sequence[str]) -> str:
    """``Did you mean a or b?``, or an empty text where nothing is near."""
    found = near(wrong, names)
    return f"Did you mean {' or '.join(found)}?" if found else ""
