"""The order of the arguments RULES, SRC and DST: a wrong one is refused with the command in the right one."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import join

import click

from migrate.codes import InvalidUsage
from migrate.errors import UsageError, nearest
from migrate.places.names import bucket_path
from migrate.rules.files import SUFFIXES, bundled_names


def require_order(*given: str) -> None:
    """Refuses RULES, SRC and DST (or RULES and SRC) in another order.

    Raises:
      UsageError: they are swapped (`InvalidUsage`); the help is the command in the right order.
    """
    rules, *others = given
    if not is_rule_file(rules):
        found = [name for name in others if is_rule_file(name)]
        if len(found) == 1:
            rest = [name for name in given if name is not found[0]]
            swapped = (
                len(rest) == 2
                and not bucket_path(rest[0])
                and not os.path.lexists(rest[0])
                and os.path.lexists(rest[1])
            )
            message = f"`{rules}` is not a rule file, and `{found[0]}` is: RULES comes first"
            raise _refusal(message, given, [found[0], *(reversed(rest) if swapped else rest)])
    elif len(others) == 2 and _are_swapped(*others):
        src, dst = others
        raise _refusal(f"`{src}` does not exist, and `{dst}` does: SRC comes before DST", given, [rules, dst, src])


def refuse_rule_file(ckpt: str) -> None:
    """Refuses a rule file in place of a checkpoint.

    Raises:
      UsageError: it is one (`InvalidUsage`).
    """
    if ckpt.endswith(SUFFIXES) and Path(ckpt).is_file():
        message = f"`{ckpt}` is a rule file, not a checkpoint"
        raise UsageError(InvalidUsage.at(message, help=f"`{join(['migrate', 'check', ckpt])}` reports its mistakes"))


def is_rule_file(name: str) -> bool:
    """Returns whether an argument is a rule file by its suffix, or the name of a bundled one."""
    if os.path.isdir(name):
        return False
    return name.endswith(SUFFIXES) or (not os.path.lexists(name) and name in bundled_names())


def _are_swapped(src: str, dst: str) -> bool:
    """Returns whether only DST exists, and no name beside SRC resembles it, so that it is not misspelled."""
    if bucket_path(src) or os.path.lexists(src) or not os.path.lexists(dst):
        return False
    parent = Path(src).parent
    names = [path.name for path in parent.iterdir() if path != Path(dst)] if parent.is_dir() else []
    return nearest(Path(src).name, names) is None


def _refusal(message: str, given: tuple[str, ...], right: list[str]) -> UsageError:
    words = list(click.get_current_context().find_root().obj or ("apply", *given))
    place = 0
    for one, other in zip(given, right, strict=True):
        place = words.index(one, place)
        words[place] = other
        place += 1
    return UsageError(InvalidUsage.at(message, help=f"`{join(['migrate', *words])}`"))
