"""Commands in helps, with the names of this run in place of `SRC`, `DST` and `M:F`: they can be pasted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from shlex import quote

from migrate.errors import Diagnostic

_COMMAND = re.compile(r"`migrate [^`]*`")


def filled(
    diagnostics: Iterable[Diagnostic], *, src: str | None = None, dst: str | None = None, template: str | None = None
) -> Iterator[Diagnostic]:
    """Yields the diagnostics with the names in the commands of their helps.

    Args:
      diagnostics: the diagnostics.
      src: the source; None leaves the placeholder, as for the other names.
      dst: the destination.
      template: the template.
    """
    names = {"SRC": src, "DST": dst, "M:F": template}
    known = {placeholder: quote(name) for placeholder, name in names.items() if name is not None}

    def command(found: re.Match[str]) -> str:
        return re.sub(r"(?<= )(SRC|DST|M:F)(?=[ `])", lambda one: known.get(one[0], one[0]), found[0])

    for diagnostic in diagnostics:
        text = diagnostic.help and _COMMAND.sub(command, diagnostic.help)
        yield diagnostic if text == diagnostic.help else replace(diagnostic, help=text)
