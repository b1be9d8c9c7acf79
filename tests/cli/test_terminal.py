"""Color, width and redrawing follow the stream, the options and the environment."""

import io
import os

import pytest

from migrate.cli.terminal import can_redraw, layout_of, uses_color, width_of
from migrate.report.layout import Layout
from tests.cli.terminals import terminal_of


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("choice", "environment", "stream", "expected"),
    [
        ("auto", {}, Terminal(), True),
        ("auto", {}, io.StringIO(), False),
        ("auto", {"NO_COLOR": "1"}, Terminal(), False),
        ("auto", {"FORCE_COLOR": "1"}, io.StringIO(), True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ("always", {"NO_COLOR": "1"}, io.StringIO(), True),
        ("never", {"FORCE_COLOR": "1"}, Terminal(), False),
    ],
)
def test_color_follows_the_option_then_the_environment_then_the_stream(
    choice, environment, stream, expected, monkeypatch
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == uses_color(choice, stream)


@pytest.mark.parametrize(
    ("columns", "stream", "expected"),
    [
        (20, Terminal(), Layout(40, continued=True)),
        (60, Terminal(), Layout(60, continued=True)),
        (500, Terminal(), Layout(200, continued=True)),
        (60, io.StringIO(), Layout(120)),
    ],
)
def test_the_width_is_that_of_the_terminal_within_limits_and_120_in_a_pipe(columns, stream, expected, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert expected == layout_of(stream)


def test_the_width_is_that_of_the_stream_itself(monkeypatch):
    """Of stderr, also while stdout is a pipe."""
    monkeypatch.delenv("COLUMNS", raising=False)
    with terminal_of(57) as (_, terminal), os.fdopen(os.dup(terminal), "w") as stream:
        assert 57 == width_of(stream)
        monkeypatch.setenv("COLUMNS", "99")
        assert 99 == width_of(stream)


@pytest.mark.parametrize("columns", ["", "0", "wide", None])
def test_a_terminal_without_a_width_has_80_columns(columns, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert 80 == width_of(Terminal())
    with terminal_of(0) as (_, terminal), os.fdopen(os.dup(terminal), "w") as stream:
        assert 80 == width_of(stream)


@pytest.mark.parametrize(
    ("term", "stream", "expected"),
    [
        ("xterm", Terminal(), True),
        (None, Terminal(), True),
        ("dumb", Terminal(), False),
        ("xterm", io.StringIO(), False),
    ],
)
def test_a_line_is_drawn_again_only_on_terminals_that_can_erase_it(term, stream, expected, monkeypatch):
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert expected == can_redraw(stream)
