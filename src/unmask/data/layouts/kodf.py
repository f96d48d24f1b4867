"""KoDF as AI-Hub gives it: clips in any folders, named by ``원본영상_*_메타데이터.csv`` (originals: video, person) and
``변조영상_*_메타데이터.csv`` (manipulated: video, target video and person, model).

The published validation part shows people whom training does not show: it becomes the test split. Its own validation
is then cut out of training by the filmed person. (Not by the donor as well: donors tie nearly all people together.)
Source: Kwon et al., "KoDF: A Large-Scale Korean DeepFake Detection Dataset", ICCV 2021.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unmask.base.errors import DataError
from unmask.data.items import CLIPS, NO_METHOD, Item, Layout, LeftOut, ReadOptions, media_files, relative

_REAL, _FAKE, _TABLE = "원본영상", "변조영상", "메타데이터.csv"
_VIDEO, _TARGET, _MODEL = "영상ID", "타겟영상", "변조모델"
_PERSON, _TARGET_PERSON = "UUID", "타겟UUID"
_SPLITS = {"training": "train", "validation": "test"}


def _tables(folder: Path) -> list[Path]:
    levels = (file for depth in ("", "*/", "*/*/", "*/*/*/", "*/*/*/*/") for file in folder.glob(f"{depth}*.csv"))
    # macOS stores Hangul taken apart.
    return sorted(file for file in levels if _plain(file.name).endswith(_TABLE))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _read(folder: Path, options: ReadOptions) -> Iterator[Item | LeftOut]:
    source = options.source or "kodf"
    rows: dict[str, tuple[int, dict[str, str], str | None]] = {}
    people: dict[str, str] = {}
    for table in _tables(folder):
        name = _plain(table.name)
        label = int(name.startswith(_FAKE))
        split = next((ours for theirs, ours in _SPLITS.items() if theirs in name.lower()), None)
        for row in _rows(table, (_VIDEO, _TARGET, _MODEL) if label else (_VIDEO,)):
            video = _stem(row[_VIDEO])
            rows[video] = (label, row, split)
            if not label and row.get(_PERSON):
                people[video] = row[_PERSON]
    seen = set()
    for file in media_files(folder, CLIPS):
        path, video = relative(file, folder), _stem(file.name)
        if video not in rows:
            yield LeftOut(path, "not named in the metadata")
            continue
        if video in seen:
            yield LeftOut(path, "a second file of the same name")
            continue
        seen.add(video)
        label, row, split = rows[video]
        target = _stem(row[_TARGET]) if label else video
        person = (row.get(_TARGET_PERSON) if label else None) or people.get(target) or target
        yield Item(path, label, f"kodf-{person}", source, row[_MODEL].strip().lower() if label else NO_METHOD, split)
    for video in sorted(set(rows) - seen):
        yield LeftOut(f"{video}.mp4", "named in the metadata, but not there")


def _stem(name: str) -> str:
    return PurePosixPath(_plain(name).strip().replace("\\", "/")).name.partition(".")[0]


def _rows(table: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            reader.fieldnames = [_plain(name).strip() for name in reader.fieldnames or ()]
            missing = [name for name in needed if name not in reader.fieldnames]
            if missing:
                raise DataError(f"column missing: {', '.join(missing)}", path=str(table), hint="Download it again")
            return [row for row in reader if all(row[name] for name in needed)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=str(table), hint="Download it again") from error


LAYOUT = Layout(
    "kodf",
    f"KoDF (AI-Hub): *.mp4 anywhere, {_REAL}_*_{_TABLE} and {_FAKE}_*_{_TABLE}",
    lambda folder: bool(_tables(folder)),
    _read,
    rank=10,
)
