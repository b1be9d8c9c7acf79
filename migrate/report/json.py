"""A report as JSON, for programs: one object in a versioned form."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from migrate.printable import UNSAFE
from migrate.report.view import Finding, Report

_UNSAFE = re.compile(f"(?!\n)[{UNSAFE}]")

FORMAT_VERSION = "1.0"
"""The major number changes if a program that reads the object could break, the minor number if fields are added."""


def draw(report: Report) -> str:
    """Draws the object, indented, with a line break at the end."""
    text = io.StringIO()
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False).iterencode(payload(report)):
        text.write(piece)  # all pieces at once would take ten times the memory of the text
    text.write("\n")
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text.getvalue())  # the same values, as ASCII


def payload(report: Report) -> dict[str, Any]:
    """Returns the object that `draw` writes, as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "command": report.command,
        "ok": report.ok,
        "exit_code": int(report.exit_code),
        "diagnostics": [_finding(finding) for finding in report.findings],
        **{key: _plain(value) for key, value in report.data.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    span = finding.span
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "span": {name: getattr(span, name) for name in ("file", "line", "column", "end_line", "end_column")}
        if span
        else None,
        "label": finding.label,
        "paths": list(finding.paths),
        "help": finding.help,
        **({"snippet": list(finding.snippet)} if finding.snippet else {}),
    }


def _plain(value: Any) -> Any:
    """Returns the value in JSON types: NaN, infinities and objects of other types become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
