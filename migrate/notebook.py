"""Values that a notebook shows as a table: the base class of their types, and the function that draws them.

Reports are drawn on a higher floor than the types are defined on, so that `migrate.api` registers the drawing.
"""

from __future__ import annotations

from collections.abc import Callable

_drawings: list[Callable[[object], str | None]] = []


def draw_with(drawing: Callable[[object], str | None]) -> None:
    """Registers the function that draws values as HTML; it returns None for types that it does not know."""
    _drawings[:] = [drawing]


class ShownInNotebook:
    """The base class of types that a notebook shows as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """Returns a fragment of HTML, or None, after which a notebook shows the `repr`."""
        return _drawings[0](self) if _drawings else None
