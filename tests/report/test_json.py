import json

import pytest

from migrate.codes import IdlePattern
from migrate.errors import ExitCode, Span
from migrate.report.json import draw
from migrate.report.view import Report, findings


def test_every_object_has_the_promised_fields():
    found = findings([IdlePattern.at("nothing", span=Span("r.yaml", 1, 2, 3, 4), paths=["a/b"], help="look")])
    assert {
        "format_version": "1.0",
        "command": "check",
        "ok": False,
        "exit_code": 1,
        "diagnostics": [
            {
                "code": "M201",
                "severity": "error",
                "message": "nothing",
                "span": {"file": "r.yaml", "line": 1, "column": 2, "end_line": 3, "end_column": 4},
                "label": None,
                "paths": ["a/b"],
                "help": "look",
            }
        ],
    } == json.loads(draw(Report("check", ExitCode.NO, findings=found)))


def refuse(name):
    pytest.fail(f"{name} is no JSON")


def test_what_json_lacks_becomes_a_string():
    data = {
        "nan": float("nan"),
        "deep": [{"inf": float("-inf")}],
        "tuple": (1, 2),
        "bytes": b"x",
        "none": None,
        3: True,
    }
    drawn = json.loads(draw(Report("inspect", data=data)), parse_constant=refuse)
    assert {
        "nan": "nan",
        "deep": [{"inf": "-inf"}],
        "tuple": [1, 2],
        "bytes": "b'x'",
        "none": None,
        "3": True,
    }.items() <= drawn.items()
