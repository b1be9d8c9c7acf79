"""Streams as terminals: color, width, and whether a line can be drawn again."""

from __future__ import annotations

import os
from typing import IO, Literal

from migrate.report.layout import NARROWEST, WIDE, WIDEST, Layout

Color = Literal["auto", "always", "never"]
"""The values of `--color`."""

_USUAL_WIDTH = 80
"""The number of columns of a terminal that does not report it."""


def uses_color(choice: Color, stream: IO[str]) -> bool:
    """Decides on color: `--color`, then NO_COLOR, then FORCE_COLOR, then whether the stream is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def can_redraw(stream: IO[str]) -> bool:
    """Returns whether a line can be erased and drawn again: on every terminal that does not call itself dumb."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def width_of(stream: IO[str]) -> int:
    """Returns the number of columns of a terminal: COLUMNS, or what this terminal reports."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):  # a stream without a file, or a terminal that was closed
        return _USUAL_WIDTH


def layout_of(stream: IO[str]) -> Layout:
    """Returns the layout for a stream: the width of a terminal, within limits, or that of a pipe."""
    if not stream.isatty():
        return WIDE
    return Layout(min(max(width_of(stream), NARROWEST), WIDEST), continued=True)
