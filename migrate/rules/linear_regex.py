r"""Compiles regular expressions for RE2, whose time is linear in the text, so that no rule file can stall a command.

The syntax and the meaning are those of `re`. RE2 has no lookaround, no backreferences and no atomic groups; patterns
with them are refused. Where the two read one text differently, the text is rewritten for RE2: `\d`, `\w` and `\s`
include Unicode. Only `\b` and `\B` differ: they know the letters and digits of ASCII.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from migrate.rules.expression import PatternError

_TOKEN = re.compile(
    r"\\u(?P<u>[0-9a-fA-F]{4})|\\U(?P<U>[0-9a-fA-F]{8})|\\(?P<escaped>.)|(?P<few>\{,\d*\})|(?P<other>.)", re.DOTALL
)
_WORD = r"\p{L}\p{N}_"
_SPACE = r"\s\v\x1c-\x1f\x{85}\p{Z}"
_ANYWHERE = {"d": r"\p{Nd}", "D": r"\P{Nd}"}
_OUTSIDE = {"w": f"[{_WORD}]", "W": f"[^{_WORD}]", "s": f"[{_SPACE}]", "S": f"[^{_SPACE}]", "Z": r"\z"}
_IN_SET = {"w": _WORD, "s": _SPACE, "b": r"\x08"}
_NEGATED = "WS"


def compile_regex(text: str) -> Any:
    """Returns the compiled expression, an object of RE2 with the methods of `re.Pattern`.

    Raises:
      PatternError: it is not a valid regular expression, or RE2 does not support it.
    """
    _check_syntax(text)
    return compile_re2(_translated(text))


def compile_re2(text: str) -> Any:
    """Returns the compiled expression of a text in RE2's own syntax.

    Raises:
      PatternError: RE2 does not support it.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise PatternError(
            f"unsupported regular expression ({reason}): it must match in linear time, without lookaround, "
            "backreferences, atomic groups or large repetitions"
        ) from None


def escape_re2(text: str) -> str:
    """Returns an expression that matches this text only."""
    return "".join(f"\\x{{{ord(char):x}}}" for char in text)


def _check_syntax(text: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about text that `re` may read differently in the future
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        offset = getattr(error, "pos", None) or 0
        raise PatternError(f"invalid regular expression: {error}", offset) from None


def _translated(text: str) -> str:
    """Returns a valid expression of `re` in the syntax of RE2."""
    parts: list[str] = []
    start: int | None = None  # of the set, such as `[a-z]`, that is being read
    for token in _TOKEN.finditer(text):
        inside = start is not None
        code, escaped, other = token["u"] or token["U"], token["escaped"], token["other"]
        if code:
            parts.append(f"\\x{{{code}}}")
        elif escaped:
            parts.append(_escape(escaped, token.start(), inside=inside))
        elif token["few"]:
            parts.append(token[0] if inside else f"{{0,{token[0][2:]}".replace("{0,}", "*"))
        elif start is not None and other == "[":
            parts.append(r"\[")
        else:
            parts.append(other)
            start = _set_after(text, token.start(), start)
    return "".join(parts)


def _escape(letter: str, offset: int, *, inside: bool) -> str:
    if inside and letter in _NEGATED:
        raise PatternError(f"`\\{letter}` is not supported between brackets; write the alternatives apart", offset, 2)
    if not letter.isascii():
        return letter
    meanings = {**_ANYWHERE, **(_IN_SET if inside else _OUTSIDE)}
    return meanings.get(letter, f"\\{letter}")


def _set_after(text: str, at: int, start: int | None) -> int | None:
    """Returns the start of the set that the next character belongs to; a `]` that comes first is part of the set."""
    if start is None:
        return at if text[at] == "[" else None
    first = start + (2 if text[start + 1 : start + 2] == "^" else 1)
    return None if text[at] == "]" and at > first else start
