"""The committed JSON Schema, and the page that explains it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from render_samples import clip_report, error_result, make_track, picture_result
from unmask.render.schema import main, report_schema, schema_text
from unmask.report import Report

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_file_is_current() -> None:
    committed = (DOCS / "report.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: python -m unmask.render.schema docs/report.schema.json"


@pytest.mark.parametrize(
    "report",
    [picture_result().report, clip_report(make_track()), error_result().report, picture_result(boxes=()).report],
)
def test_reports_obey_it(report: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    validator = jsonschema.Draft202012Validator(report_schema())
    data = json.loads(report.model_dump_json())
    validator.validate(data)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data | {"verdict": "guilty"})


def fields(schema: dict[str, Any]) -> set[str]:
    found = set(schema.get("properties", {}))
    for part in schema.get("$defs", {}).values():
        found |= set(part.get("properties", {}))
    return found


def test_every_field_is_explained() -> None:
    page = (DOCS / "report.md").read_text(encoding="utf-8")
    missing = [name for name in fields(report_schema()) if f"`{name}`" not in page]
    assert missing == []


def test_the_module_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_text() == schema_text()
    main([])
    assert capsys.readouterr().out == schema_text()
