"""Finds the optax transforms that an optimizer consists of.

The state on disk does not distinguish lamb from adam. The optimizer that a template returns still consists of
functions: each optax transform is a function defined inside the one that names it
(`scale_by_trust_ratio.<locals>.update_fn`), with the inner transforms in its closure.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

_PACKAGE = "optax"


def transforms_in(modules: Iterable[Any]) -> frozenset[str] | None:
    """Returns the optax names of all transforms of the optimizers among the modules; None if there is no optimizer."""
    modules = list(modules)
    if not modules:
        return None
    from flax import nnx

    optimizers = [module.tx for module in modules if isinstance(module, nnx.Optimizer)]
    return transforms_of(optimizers) if optimizers else None


def transforms_of(optimizers: Iterable[Any]) -> frozenset[str]:
    """Returns the optax names of all transforms of optimizers as optax makes them."""
    return frozenset(_names(optimizers))


def _names(optimizers: Iterable[Any]) -> Iterator[str]:
    """Yields the names of the outermost functions in which the reachable optax functions are defined."""
    pending, seen = list(optimizers), set[int]()
    while pending:
        found = pending.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if inspect.isfunction(found) and str(found.__module__).partition(".")[0] == _PACKAGE:
            yield found.__qualname__.partition(".<locals>")[0]
        pending += _reachable_from(found)


def _reachable_from(value: Any) -> list[Any]:
    if inspect.isfunction(value):
        cells = value.__closure__ or ()
        return [cell.cell_contents for cell in cells if _has_content(cell)]
    if inspect.ismethod(value):
        return [value.__func__, value.__self__]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    is_optax = type(value).__module__.partition(".")[0] == _PACKAGE
    return list(getattr(value, "__dict__", {}).values()) if is_optax else []


def _has_content(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
