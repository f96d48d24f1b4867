"""The report to look at: one HTML file that needs nothing else, however many inputs it shows."""

from __future__ import annotations

import base64
import hashlib
import itertools
import shutil
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from unmask.base.errors import UsageError
from unmask.base.files import Records, cannot_write, replacing
from unmask.render import templating
from unmask.render.colours import MAP_RANGE
from unmask.render.sinks import Origin, report_of
from unmask.render.thumbs import Budget, crop_pair, thumbnail
from unmask.render.timeline import timeline_svg
from unmask.render.verdict import LOOKS, NOT_PROOF, Subject, subject_thresholds, subjects
from unmask.report import Evidence, ModelInfo, Report, Result, TrackResult, Verdict

OPEN_ENTRIES = 24
"""So many entries are unfolded; those after them show their first line until they are clicked."""

MOST_SUBJECTS = 40
"""Faces or tracks of one input that are shown, the highest scores."""

PICTURE_BYTES = 150 << 20
"""What pictures may take in one report; past it entries come without them."""

_MOST_ROWS = 80
_MOST_TEXT = 600


class HtmlReport:
    """A sink that writes one HTML file.

    It holds no script and refers to nothing outside; a content security policy in it forbids both. Entries are written
    to a temporary file as they come; at the end, also after an interrupt, the page is put together.

    Args:
        path: The file; replaced when the report is complete.
        map_range: Logits at the ends of the colour scale of the maps.
        title: Heading.
        picture_bytes: See :data:`PICTURE_BYTES`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        map_range: tuple[float, float] = MAP_RANGE,
        title: str = "unmask report",
        picture_bytes: int = PICTURE_BYTES,
    ) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise UsageError("this is a folder, not a file to write to", hint="Give a file name", path=str(path))
        self.counts: Counter[Verdict] = Counter()
        self._map_range = map_range
        self._title = title
        self._budget = Budget(picture_bytes)
        self._models: dict[tuple[str, str, str], ModelInfo] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Without a name: gone with the process, even when it is killed.
            self._entries: IO[bytes] = tempfile.TemporaryFile(buffering=0, dir=self.path.parent)  # noqa: SIM115
        except OSError as error:
            raise UsageError(
                f"the file cannot be written: {error.strerror}", hint="Choose another place", path=str(path)
            ) from error
        self._records = Records(self._entries, self.path)

    def write(self, result: Result | Report, origin: Origin = None) -> None:
        """Add one input; ``origin`` (default: the file at ``report.path``) gives the thumbnail of a picture.

        Raises:
            OutputError: There is no room for it; the entries before it stay.
        """
        report = report_of(result)
        evidence = result.evidence if isinstance(result, Result) else []
        self.counts[report.verdict] += 1
        number = sum(self.counts.values())
        if report.model:
            key = (report.model.name, report.model.version, report.model.sha256)
            if len(self._models) < 8:
                self._models.setdefault(key, report.model)
        picture = thumbnail(report, origin) if self._budget.left > 0 else None
        self._records.write(
            templating.render(
                "entry.html.jinja",
                report=report,
                number=number,
                unfolded=number <= OPEN_ENTRIES,
                thumbnail=self._budget.take(picture, 82) if picture else None,
                size=picture.size if picture else None,
                subjects=[self._subject(report, one, evidence) for one in _shown(report)],
                not_shown=max(0, len(subjects(report)) - MOST_SUBJECTS),
                provenance=_rows(report.provenance),
                details=_rows(_details(report)),
            )
        )

    def _subject(self, report: Report, subject: Subject, evidence: list[Evidence]) -> dict[str, Any]:
        pairs = []
        for one in evidence:
            if one.subject == subject.id:
                address = self._budget.take(crop_pair(one, self._map_range), 85)
                if address:
                    pairs.append((address, one))
        track = subject if isinstance(subject, TrackResult) else None
        return {
            "it": subject,
            "track": track is not None,
            "marks": subject_thresholds(report, subject),
            "pairs": pairs,
            "timelines": [timeline_svg(report, track, width=width) for width in (720, 340)] if track else [],
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._assemble(interrupted=kind is not None)
        finally:
            self._entries.close()

    def _assemble(self, *, interrupted: bool) -> None:
        style = templating.render("report.css.jinja")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        page = templating.render(
            "report.html.jinja",
            title=self._title,
            style=style,
            style_hash=digest,
            counts=[(verdict, self.counts[verdict]) for verdict in LOOKS if self.counts[verdict]],
            total=sum(self.counts.values()),
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            interrupted=interrupted,
            not_proof=NOT_PROOF,
            models=list(self._models.values()),
            left_out=self._budget.left_out,
            map_range=self._map_range,
            entries="\0",
        )
        before, after = page.split("\0")
        self._entries.seek(0)
        try:
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                file.write(before.encode())
                shutil.copyfileobj(self._entries, file, 1 << 20)
                file.write(after.encode())
        except OSError as error:
            raise cannot_write(error, self.path, hint="No report was written") from error


def _shown(report: Report) -> list[Subject]:
    every = subjects(report)
    if len(every) <= MOST_SUBJECTS:
        return every
    return sorted(every, key=lambda subject: -(subject.p_fake or 0.0))[:MOST_SUBJECTS]


def _rows(facts: Any) -> list[tuple[str, str]]:
    rows = list(itertools.islice(templating.rows(facts), _MOST_ROWS))
    return [(name, text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " …") for name, text in rows]


def _details(report: Report) -> dict[str, Any]:
    """What belongs to one input beside its verdict."""
    facts: dict[str, Any] = {"SHA-256 of the file": report.sha256}
    if report.media:
        facts["media"] = report.media.model_dump(exclude_none=True)
    if report.model:
        facts["model"] = f"{report.model.name} {report.model.version}, {report.model.provider}"
    if report.timing_ms:
        facts["time in ms"] = report.timing_ms
    facts["schema version"] = report.schema_version
    return facts
