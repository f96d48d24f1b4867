"""DeepfakeBench: ``[dataset_json/]*.json`` that list the frames of every video, by set, label, split and compression.

``{SET: {LABEL: {SPLIT: {[CODEC:] {VIDEO: {"label": ..., "frames": [...]}}}}}}``. The paths are those of the machine
that wrote the file: their end is looked for below the folder. Where the benchmark copies a split (``val`` = ``test`` or
``train``) the copy is dropped, and where training and test are the same videos there is no split.
Source: Yan et al., "DeepfakeBench", NeurIPS 2023.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unmask.base.errors import DataError
from unmask.data.items import NO_METHOD, SPLITS, Item, Layout, LeftOut, ReadOptions
from unmask.data.lineage import groups_of, keep_held_out

_FAKES = {
    "FF-DF": "Deepfakes",
    "FF-F2F": "Face2Face",
    "FF-FS": "FaceSwap",
    "FF-NT": "NeuralTextures",
    "FF-FH": "FaceShifter",
}
_ENDS = ("_fake", "_Fake")
Video = tuple[str, str, str | None, str, list[str]]


_NAME = r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*'
_BEGINNING = re.compile(rf'\s*{_NAME}{_NAME}\{{\s*"({"|".join(SPLITS)})"\s*:\s*\{{')


def _candidates(folder: Path) -> list[Path]:
    found = [*folder.glob("*.json"), *folder.glob("dataset_json/*.json"), *folder.glob("*/dataset_json/*.json")]
    return sorted(file for file in found if file.is_file())


def _tables(folder: Path) -> list[Path]:
    return [file for file in _candidates(folder) if _is_one(file)]


def _is_one(file: Path) -> bool:
    """By its beginning, ``{SET: {LABEL: {SPLIT: {``: these files have hundreds of megabytes."""
    with file.open("rb") as stream:
        start = stream.read(4096)
    return _BEGINNING.match(start.decode("utf-8", "replace")) is not None


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    places = _Places(folder)
    # Where none looks like one, but the layout was named: what is wrong with those that are there is to be said.
    tables = _tables(folder) or _candidates(folder)
    if not tables:
        raise DataError(
            "holds no JSON of DeepfakeBench", path=str(folder), hint="Put its dataset_json folder here, beside the sets"
        )
    videos = [video for table in tables for video in _videos(table)]
    # UADFV's 0000_fake was made of 0000.
    groups = groups_of(sorted({_original(name) for _, _, _, name, _ in videos}), "bench")
    chosen: dict[str, Item] = {}
    lost: dict[str, str] = {}
    for dataset, label_name, split, name, frames in videos:
        label = _label(label_name)
        source = options.source or dataset
        for frame in frames:
            path = places.find(frame)
            if path is None or label is None:
                lost[frame] = "named in the JSON, but not there" if path is None else f"unknown label {label_name}"
                continue
            method = _FAKES.get(label_name) or _without_end(label_name) if label else NO_METHOD
            item = Item(path, label, groups[_original(name)], source, method, split)
            before = chosen.setdefault(path, item)
            if before.label != label:
                raise DataError(
                    f"{path} is real in one of its JSON files and fake in another",
                    path=str(folder),
                    hint="Make the JSON files again with the benchmark's rearrange.py",
                )
    for frame in sorted(lost):
        yield LeftOut(frame, lost[frame])
    yield from keep_held_out(list(chosen.values()))


class _Places:
    """Where the end of a foreign path lies below our folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cut: int | None = None

    def find(self, given: str) -> str | None:
        parts = [part for part in given.replace("\\", "/").split("/") if part not in {"", "."}]
        # The same number of leading folders is cut nearly always: try it before the others.
        order = [self._cut] if self._cut is not None and self._cut < len(parts) else []
        for cut in [*order, *range(len(parts))]:
            end = "/".join(parts[cut:])
            if ".." not in parts[cut:] and (self._folder / end).is_file():
                self._cut = cut
                return end
        return None


def _videos(table: Path) -> Iterator[Video]:
    """(set, label, split, video, frames) of one file."""
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
        for dataset, labels in content.items():
            for by_split in labels.values():
                flat = {split: list(_flat(by_split.get(split, {}))) for split in SPLITS}
                names = {split: {name for name, _ in found} for split, found in flat.items()}
                if names["val"] in (names["train"], names["test"]):
                    flat["val"] = []
                same = bool(names["test"]) and names["train"] == names["test"]
                for split, found in flat.items():
                    if same and split == "test":
                        continue
                    for name, video in found:
                        elsewhere = split == "train" and name in names["test"] and not same
                        if not elsewhere:
                            yield dataset, str(video["label"]), None if same else split, name, list(video["frames"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"does not have the benchmark's form: {type(error).__name__}: {error}",
            path=str(table),
            hint="Expected {SET: {LABEL: {train|val|test: {VIDEO: {label, frames}}}}}; make it with rearrange.py",
        ) from error


def _flat(videos: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Videos of a split, whether or not a compression stands between."""
    for name, value in videos.items():
        if "frames" in value:
            yield name, value
        else:
            yield from value.items()


def _label(name: str) -> int | None:
    if name in _FAKES or "fake" in name.lower():
        return 1
    return 0 if "real" in name.lower() else None


def _original(name: str) -> str:
    return name.removesuffix("_fake")


def _without_end(name: str) -> str:
    for end in _ENDS:
        name = name.removesuffix(end)
    return name


LAYOUT = Layout(
    "deepfakebench",
    "DeepfakeBench: [dataset_json/]*.json and the frames they name",
    lambda f: bool(_tables(f)),
    _read,
    rank=5,
)
