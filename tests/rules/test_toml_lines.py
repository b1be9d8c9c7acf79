"""The location of keys and of syntax errors in TOML files."""

import tomllib

import pytest

from migrate.rules.toml_lines import span_of, span_of_error

TEXT = """\
# jobs = 1
[tool.migrate]  # jobs
list = [
  "jobs = 2",
]
jobs = 3
[tool.migrate.apply]
"jobs" = 4
inline = {jobs = 5}
"""


PLACES = (
    (("jobs",), (6, 1)),
    (("apply", "jobs"), (8, 2)),
    (("list",), (3, 1)),
    (("apply",), (7, 15)),
    (("apply", "inline", "jobs"), (9, 11)),
)


@pytest.mark.parametrize(("keys", "place"), PLACES)
def test_the_line_of_a_key(keys, place):
    span = span_of(TEXT, "pyproject.toml", ["tool", "migrate", *keys])
    assert place == (span.line, span.column)


def test_a_key_that_is_not_written_as_it_is_read_has_no_line():
    assert span_of('[tool.migrate]\n"j\\u006fbs" = 3\n', "f", ["tool", "migrate", "jobs"]) is None


def test_the_place_of_a_syntax_error_is_that_of_its_message():
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads("[tool.migrate]\njobs = = 2\n")
    span = span_of_error(caught.value, "f")
    assert (2, 8) == (span.line, span.column)
    assert span_of_error(ValueError("another"), "f") is None
