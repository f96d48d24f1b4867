"""FaceForensics++: ``original_sequences/SET/CODEC/videos`` and ``manipulated_sequences/METHOD/CODEC/videos``.

Also the flat copy on Kaggle: ``original/*.mp4`` beside ``Deepfakes``, ``Face2Face`` ... The authors' ``train.json``,
``val.json`` and ``test.json`` (lists of pairs of ids) are the split, where they lie beside the folders.
Source: Rössler et al., "FaceForensics++", ICCV 2019.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from unmask.base.errors import DataError
from unmask.data.items import NO_METHOD, SPLITS, Item, Layout, LeftOut, ReadOptions, media_files, relative
from unmask.data.lineage import FRAME_FOLDERS, NOT_FACES, ffpp_parts, groups_of

_ORIGINAL, _MANIPULATED = "original_sequences", "manipulated_sequences"
_FLAT = frozenset({"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection"})
_CODECS = frozenset({"c0", "raw", "c23", "c40"})
_SPLIT_HOMES = (".", "splits", "dataset/splits")


class _Place(NamedTuple):
    method: str
    codec: str
    video: str


def _fits(folder: Path) -> bool:
    tree = (folder / _ORIGINAL).is_dir() or (folder / _MANIPULATED).is_dir()
    return tree or ((folder / "original").is_dir() and any((folder / name).is_dir() for name in _FLAT))


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    source = options.source or "ffpp"
    places: dict[PurePosixPath, _Place] = {}
    for file in media_files(folder):
        path = PurePosixPath(relative(file, folder))
        place = _place(path)
        if place is None:
            yield LeftOut(str(path), "outside the folders of originals and manipulations")
        elif NOT_FACES & set(path.parts):
            yield LeftOut(str(path), "a mask, not a picture of a face")
        else:
            places[path] = place
    splits = read_pairs(folder)
    groups = groups_of(sorted({place.video for place in places.values()}), "ffpp")
    several = len({place.codec for place in places.values()}) > 1
    for path, place in places.items():
        split = next((splits[part] for part in ffpp_parts(place.video) if part in splits), None)
        # The same clip at two compressions: figures are wanted for each.
        name = f"{source}-{place.codec}" if several and place.codec else source
        yield Item(str(path), int(place.method != NO_METHOD), groups[place.video], name, place.method, split)


def _place(path: PurePosixPath) -> _Place | None:
    top, parts = path.parts[0], path.parts
    name = path.stem if path.parent.name in FRAME_FOLDERS | _CODECS or len(parts) == 2 else path.parent.name
    codec = next((part for part in parts if part in _CODECS), "")
    if top in {_ORIGINAL, _MANIPULATED} and len(parts) >= 4:
        return _Place(parts[1] if top == _MANIPULATED else NO_METHOD, codec, name)
    if len(parts) >= 2 and (top == "original" or top in _FLAT):
        return _Place(NO_METHOD if top == "original" else top, codec, name)
    return None


def read_pairs(folder: Path) -> dict[str, str]:
    """Video id -> split, from the JSON files of pairs; empty where there are none.

    Raises:
        DataError: A file is not a list of pairs, or a video is on two sides.
    """
    splits: dict[str, str] = {}
    for home in _SPLIT_HOMES:
        for split in SPLITS:
            file = folder / home / f"{split}.json"
            if not file.is_file():
                continue
            try:
                pairs = json.loads(file.read_text(encoding="utf-8"))
                ids = [str(one) for pair in pairs for one in pair if isinstance(pair, list)]
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"is not a list of pairs of video ids: {error}",
                    path=str(file),
                    hint='It looks like [["071", "054"], ["087", "081"], ...] in the authors\' repository',
                ) from error
            for one in ids:
                if splits.setdefault(one, split) != split:
                    raise DataError(
                        f"the video {one} is in {splits[one]} and in {split}",
                        path=str(file),
                        hint="Take the three files from the authors' repository again",
                    )
    return splits


LAYOUT = Layout(
    "ffpp",
    "FaceForensics++: {original,manipulated}_sequences/NAME/CODEC/videos, split by {train,val,test}.json",
    _fits,
    _read,
    rank=10,
)
