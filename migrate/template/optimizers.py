"""Which of optax's transforms an optimizer is made of.

On disk lamb looks like adam. The optimizer that a template returns is still made of functions, and each of optax's
transforms is a function that was made inside the one that names it (`scale_by_trust_ratio.<locals>.update_fn`), with
the inner transforms in its closure.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

_PACKAGE = "optax"


def transforms_in(modules: Iterable[Any]) -> frozenset[str] | None:
    """Optax's names of all transforms of the optimizers among these modules; None when none of them is an optimizer."""
    from flax import nnx

    optimizers = [module.tx for module in modules if isinstance(module, nnx.Optimizer)]
    return frozenset(_names(optimizers)) if optimizers else None


def _names(optimizers: Iterable[Any]) -> Iterator[str]:
    """The makers of every function that can be reached; a maker that is kept to be called later counts as well."""
    pending, seen = list(optimizers), set[int]()
    while pending:
        found = pending.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if inspect.isfunction(found) and str(found.__module__).partition(".")[0] == _PACKAGE:
            yield found.__qualname__.partition(".<locals>")[0]
        pending += _held_by(found)


def _held_by(value: Any) -> list[Any]:
    if inspect.isfunction(value):
        cells = value.__closure__ or ()
        return [cell.cell_contents for cell in cells if _filled(cell)]
    if inspect.ismethod(value):
        return [value.__func__, value.__self__]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    is_optax = type(value).__module__.partition(".")[0] == _PACKAGE
    return list(getattr(value, "__dict__", {}).values()) if is_optax else []


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
