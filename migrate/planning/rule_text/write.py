"""Lines of a rule file: moves, drops and values as YAML that fits on a screen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from migrate.planning.rule_text.doubt import OpText
from migrate.printable import UNSAFE

_WIDEST = 120
_ARROW = re.compile(r"\s->\s")
_UNSAFE = re.compile(f"[{UNSAFE}\ufffe\uffff]")


def move_lines(
    left: Sequence[str],
    right: Sequence[str],
    ops: Sequence[OpText] = (),
    *,
    excepts: Sequence[str] = (),
    comment: str = "",
    copy: bool = False,
    follow: bool = False,
) -> Iterator[str]:
    """The lines of a move: one where it fits, else one for each field.

    Args:
      left: the patterns of `from:`.
      right: the patterns of `to:`.
      ops: the ops, without braces.
      excepts: the patterns of `except:`.
      copy: whether other rules may take the leaves too.
      follow: whether moments follow params whose numbers change.
      comment: follows the rule on its line, or precedes a rule of several lines.
    """
    note = f"  # {comment}" if comment else ""
    plain = not (ops or excepts or copy or follow) and len(left) == len(right) == 1
    if plain and _is_one_line(left[0], right[0]):
        yield f"  - {quoted(f'{left[0]} -> {right[0]}')}{note}"
        return
    fields = [("from", value(left), left), ("to", value(right), right)]
    if excepts:
        fields.append(("except", f"[{', '.join(map(quoted, excepts))}]", excepts))
    if ops or (len(fields) == 2 and not copy):
        fields.append(("ops", f"[{', '.join(f'{{{op}}}' for op in ops)}]", ()))
    fields += [("copy", "true", ())] if copy else []
    fields += [("moments", "follow", ())] if follow else []
    line = ", ".join(f"{name}: {text}" for name, text, _ in fields)
    if len(line) + len(note) + 6 <= _WIDEST:
        yield f"  - {{{line}}}{note}"
        return
    if note:
        yield f"  {note.strip()}"
    for index, (name, text, listed) in enumerate(fields):
        yield from _field("    " if index else "  - ", name, text, listed)


def _is_one_line(left: str, right: str) -> bool:
    """Whether `left -> right` reads as these two patterns: neither has an arrow, or spaces at its ends."""
    return len(_ARROW.findall(f"{left} -> {right}")) == 1 and left == left.strip() and right == right.strip()


def _field(lead: str, name: str, text: str, listed: Sequence[str]) -> Iterator[str]:
    if len(listed) < 2 or len(lead) + len(name) + len(text) + 2 <= _WIDEST:
        yield f"{lead}{name}: {text}"
        return
    yield f"{lead}{name}:"
    yield from (f"      - {quoted(one)}" for one in listed)


def drop_line(pattern: str, *, assertion: str = "", ops: Sequence[OpText] = ()) -> str:
    """The line of a drop; the ops are applied before the assertion is checked."""
    if assertion:
        listed = f", ops: [{', '.join(f'{{{op}}}' for op in ops)}]" if ops else ""
        return f"  - drop: {{from: {quoted(pattern)}, assert: {assertion}{listed}}}"
    return f"  - drop: {quoted(pattern)}"


def value(texts: Sequence[str]) -> str:
    """One string, or a list of several, as YAML."""
    listed = [quoted(text) for text in texts]
    return listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"


def quoted(text: Any) -> str:
    """A string, or another scalar or a list, as YAML."""
    return _json(text)


def _json(one: Any) -> str:
    """A value as JSON that is YAML too: YAML has no raw control characters, and no pairs of surrogates."""
    return _UNSAFE.sub(_escaped, json.dumps(one, ensure_ascii=False)).replace("##[", r"\x23#[")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


def flow(fields: Mapping[str, Any]) -> str:
    """A mapping as YAML on one line."""
    texts = {name: one if isinstance(one, Word) else _json(one) for name, one in fields.items()}
    return "{" + ", ".join(f"{name}: {text}" for name, text in texts.items()) + "}"


class Word(str):
    """A keyword of the rule language, written without quotes."""

    __slots__ = ()
