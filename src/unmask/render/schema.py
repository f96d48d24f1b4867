"""The JSON Schema of a report, as it lies in ``docs/report.schema.json``.

``python -m unmask.render.schema docs/report.schema.json`` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from unmask.base.files import write_text
from unmask.report import SCHEMA_VERSION, Report


def report_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one line of ``unmask analyze --json``."""
    schema = Report.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"unmask report, schema version {SCHEMA_VERSION}",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def schema_text() -> str:
    """The schema as it is written to the file."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema to the file named, or print it."""
    if arguments:
        write_text(Path(arguments[0]), schema_text())
    else:
        sys.stdout.write(schema_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
