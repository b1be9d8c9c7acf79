"""Text on streams whose encoding lacks some characters: ASCII forms replace them, and printing never fails."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import IO, Literal

Escape = Literal["text", "json", "html"]
"""How characters that a stream cannot encode are written: as ASCII forms, or as escapes of JSON or HTML."""

FORMS = {
    "→": "->",
    "↓": "|",
    "├": "|",
    "└": "`",
    "│": "|",
    "─": "-",
    "…": "...",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "-",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "⊂": "in",
    "’": "'",
    "“": '"',
    "”": '"',
}
"""The ASCII forms of characters that reports contain."""


def fitting(text: str, stream: IO[str], escape: Escape = "text") -> str:
    """Returns the text with every character replaced that the stream cannot encode.

    Args:
      text: the text.
      stream: the stream to which it is printed.
      escape: the format of the text.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # A browser takes a page for UTF-8, whatever the encoding of the terminal is.
        chosen = encoding if escape == "text" else "ascii"
        return text.encode(chosen, f"migrate.{escape}").decode(chosen)
    return text


def _form(char: str) -> str:
    return FORMS.get(char) or char.encode("ascii", "backslashreplace").decode()


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _html_escape(char: str) -> str:
    return f"&#{ord(char)};"


def _handler(form: Callable[[str], str]) -> Callable[[UnicodeError], tuple[str, int]]:
    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(map(form, error.object[error.start : error.end])), error.end

    return replace


for _name, _escaped in (("text", _form), ("json", _json_escape), ("html", _html_escape)):
    codecs.register_error(f"migrate.{_name}", _handler(_escaped))
