"""Text within a number of columns: lines end between words, key paths after a `/` or `,`, commands stay whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*(?:`[^`]*`|\S)+")
"""A word with the spaces before it; a text in backticks is one word."""

_WORD = re.compile(r"\s*(?:'[^']*'|\S)+")
"""A word of a command; a text in quotes is one word."""

_STEP = re.compile(r"[^/,]*(?:[/,]\s*|$)")
"""A part of a segment with the separator after it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The space for text.

    Attributes:
      width: the number of columns.
      continued: whether a command that is longer than a line continues on the next one after a backslash, so that it
        can be pasted into a shell; otherwise it stays on one line, so that programs find it.
    """

    width: int = 120
    continued: bool = False

    def wrap(self, text: str, hang: int = 2, first: int | None = None) -> list[str]:
        """Returns a text as lines.

        Args:
          text: the text; spaces at its start are kept on every line.
          hang: the columns by which later lines are indented.
          first: the columns that are used already before the first line (default: none).
        """
        indent = len(text) - len(text.lstrip())
        lines, left = [" " * indent], self.width - (first or 0)
        for token in self._tokens(text.strip(), indent + hang):
            line = lines[-1]
            empty = not line.strip()
            word = token.lstrip() if empty else token
            if empty or len(line) + len(word.rstrip("\n")) <= left:
                lines[-1] = line + word.rstrip("\n")
            else:
                lines.append(" " * (indent + hang) + token.strip())
                left = self.width
            if token.endswith("\n"):
                lines.append(" " * (indent + hang))
                left = self.width
        return lines if lines[-1].strip() else lines[:-1] or [""]

    def _tokens(self, text: str, indent: int) -> Iterator[str]:
        """Yields the words of a text; a line break at the end of one is kept."""
        for token in _TOKEN.findall(text):
            word = token.strip()
            if indent + len(word) <= self.width or "`" not in word:
                yield token
            elif not word.startswith("`migrate "):
                yield from _WORD.findall(token)
            elif self.continued:
                yield from self._continued(token, indent)
            else:
                yield token

    def _continued(self, token: str, indent: int) -> Iterator[str]:
        words = _WORD.findall(token)
        line = indent
        for word, following in zip(words, [*words[1:], ""], strict=True):
            line += len(word)
            if following and line + len(following) + len(" \\") > self.width:
                yield f"{word} \\\n"
                line = indent
            else:
                yield word

    def columns(self, cell: str, tail: str, at: int, indent: int) -> list[str]:
        """Returns a cell with a text in a column beside it, or below it where there is no room.

        Args:
          cell: the cell, such as a key path.
          tail: the text.
          at: the width of the cells above and below, which the column follows.
          indent: the columns that the caller puts before each line.
        """
        room = Layout(self.width - indent, self.continued)
        loose = _loose(tail)
        for whole in (f"{cell.ljust(at)}  {tail}", f"{cell.ljust(at)}  {loose}", f"{cell}  {loose}"):
            if len(whole.rstrip()) <= room.width:
                return [whole.rstrip()]
        if tail and len(cell) <= at <= room.width // 2:
            column = Layout(room.width - at - 2, self.continued)
            beside = column.wrap(loose, hang=0)
            if longest(beside) <= column.width:
                return [f"{cell.ljust(at)}  {beside[0]}", *(f"{'':{at}}  {line}" for line in beside[1:])]
        margin = min(len(cell) - len(cell.lstrip()), room.width // 2) + 4
        below = Layout(room.width - margin, self.continued).wrap(loose, hang=0) if tail else []
        return [*room.break_path(cell), *(f"{'':{margin}}{line}" for line in below)]

    def break_path(self, path: str) -> list[str]:
        """Returns a key path as lines, which end after a `/`, or in a segment that is too long, after a `/` or `,`."""
        if len(path) <= self.width:
            return [path]
        indent = len(path) - len(path.lstrip())
        lines = [" " * indent]
        for segment in _segments(path.lstrip()):
            fits = indent + 2 + len(segment.rstrip()) <= self.width
            for step in [segment] if fits else filter(None, _STEP.findall(segment)):
                if lines[-1].strip() and len(lines[-1]) + len(step.rstrip()) > self.width:
                    lines.append(" " * (indent + 2))
                lines[-1] += step
        return [line.rstrip() for line in lines]


def _segments(path: str) -> list[str]:
    """Returns the segments of a key path with the `/` after each; one in braces is whole."""
    segments, depth = [""], 0
    for char in path:
        depth += (char == "{") - (char == "}")
        segments[-1] += char
        if char == "/" and depth <= 0:
            segments.append("")
    return segments


def _loose(text: str) -> str:
    """Returns the text of a column without the spaces that align it with other rows."""
    return re.sub(r"\s{3,}", "  ", text)


UNBOUNDED = Layout(1 << 30)
"""The layout without line breaks."""

WIDE = Layout()
"""The layout of a pipe or a file."""

NARROWEST, WIDEST = 40, 200
"""The limits of the width on a terminal."""


def longest(texts: Iterable[str]) -> int:
    """Returns the length of the longest text."""
    return max(map(len, texts), default=0)
