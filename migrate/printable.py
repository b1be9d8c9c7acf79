r"""Makes text from outside (key paths, file names, messages of libraries) safe to print: `\x1b` instead of ESC."""

from __future__ import annotations

import re

UNSAFE = (
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls, with line breaks and tabs
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"  # bidirectional controls, line and paragraph separators
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # a byte order mark, annotations, tags: invisible
    "\ud800-\udfff"  # surrogates, which UTF-8 cannot encode
)
"""The characters that change the display of others or start a new line, for a set of a regular expression."""

_UNSAFE = re.compile(f"[{UNSAFE}]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|([nrt]))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def printable(text: str) -> str:
    """Returns a text with escapes in place of characters that a terminal or an editor would act on, on one line."""
    shown = text if text.isprintable() else _UNSAFE.sub(_escaped, text)
    return shown.replace("##[", r"\x23#[")  # a command to a GitHub workflow, wherever in a line it stands


def read_escape(text: str, at: int) -> tuple[str, int] | None:
    """Returns the character of an escape that `printable` writes, and the offset after it; None for other text."""
    found = _ESCAPE.match(text, at)
    if found is None:
        return None
    *codes, letter = found.groups()
    return _LETTERS[letter] if letter else chr(int(next(filter(None, codes)), 16)), found.end()


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
