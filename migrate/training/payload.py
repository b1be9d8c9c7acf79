"""The payload of one save: the items that a state becomes, and the number of the step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from migrate.codes import ContradictorySteps, UnsavableState
from migrate.errors import UsageError

STEP = "step"
"""The JSON item with the number of the step."""

ALONE = ""
"""The name of the item of a state that is one pytree; the checkpointer has a name for it."""


@dataclass(frozen=True, slots=True)
class PayloadItem:
    """One item of a save.

    Attributes:
      kind: `pytree`, `json`, or `own` for a value that Orbax saves by a handler of its own.
      value: the pytree, the JSON value, or the object.
    """

    kind: Literal["pytree", "json", "own"]
    value: Any


def payload_of(state: Any, step: int, *, named: bool) -> dict[str, PayloadItem]:
    """Returns the items of a state, and the item `step`.

    A dict that has an iterator is a dict of items; so is every dict if `named`. Any other state is one pytree.

    Args:
      state: an NNX module, a pytree, or a dict of item names to modules, pytrees and iterators.
      step: the number of the step.
      named: whether the checkpointer saves named items only.

    Raises:
      UsageError: a part cannot be saved (`UnsavableState`), or the item `step` of the state is another number
        (`ContradictorySteps`).
    """
    if not isinstance(state, dict) or not (named or any(map(_is_own, state.values()))):
        if _is_own(state):
            raise UsageError(_unsavable("the state", state, "pass a dict of item names, such as `{'data': iterator}`"))
        return {ALONE: _pytree_item("the state", _saved(state)), STEP: PayloadItem("json", step)}
    _refuse_names(state)
    _refuse_other_step(state, step)
    own = {name: value for name, value in state.items() if _is_own(value)}
    trees = {name: value for name, value in state.items() if name not in own and name != STEP}
    saved = _saved(trees) if trees else {}
    items = {
        name: _own_item(name, own[name]) if name in own else _pytree_item(f"`{name}`", saved[name])
        for name in state
        if name in own or name in saved  # an item whose Variables all belong to an earlier one has nothing to save
    }
    return {**items, STEP: PayloadItem("json", step)}


def _saved(state: Any) -> Any:
    """Returns a pytree with the states of modules in place of the modules."""
    from migrate.template.parts import holds_module, states_of

    return states_of(state) if holds_module(state) else state


def _pytree_item(what: str, value: Any) -> PayloadItem:
    """Returns the item of a pytree.

    Raises:
      UsageError: it has no leaves, which Orbax refuses to save (`UnsavableState`).
    """
    import jax

    if not jax.tree.leaves(value):
        message = f"{what} is a {type(value).__name__} without arrays and numbers, for which Orbax saves no item"
        raise UsageError(UnsavableState.at(message, help="leave it out of the state"))
    return PayloadItem("pytree", value)


def _is_own(value: object) -> bool:
    """Whether a value is no pytree: an iterator, arguments of Orbax, or an object that saves itself."""
    from migrate.template.parts import is_module

    if is_module(value):
        return False
    if callable(getattr(value, "get_state", None)):
        return True
    return _is_save_args(value) or _saves_itself(value)


def _is_save_args(value: object) -> bool:
    return any(kind.__name__ == "CheckpointArgs" for kind in type(value).__mro__)


def _saves_itself(value: object) -> bool:
    """Whether a value follows `StatefulCheckpointable` of Orbax's v1 API."""
    from inspect import iscoroutinefunction

    return all(iscoroutinefunction(getattr(value, name, None)) for name in ("save", "load"))


def _own_item(name: str, value: Any) -> PayloadItem:
    if _is_save_args(value) or _saves_itself(value):
        return PayloadItem("own", value)
    from migrate.engine.loading.agreement import is_equal_everywhere

    content = _iterator_state(name, value)
    if not is_equal_everywhere(json.dumps(content, sort_keys=True)):
        advice = "wrap it in the `CheckpointSave` of its library, which saves the state of every process"
        raise UsageError(_unsavable(f"`{name}`, whose state differs between processes,", value, advice))
    return PayloadItem("json", content)


def _iterator_state(name: str, iterator: Any) -> Any:
    """Returns the state of an iterator as JSON; text in bytes, as Grain's `DataLoader` has it, is a string."""
    state = iterator.get_state()
    try:
        content = state.decode() if isinstance(state, bytes) else state
        json.dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        advice = (
            f"its `get_state` returns what JSON cannot hold: {error}; wrap it in the `CheckpointSave` of its library"
        )
        raise UsageError(_unsavable(f"`{name}`", iterator, advice)) from None
    return content


def _refuse_names(state: Mapping[Any, Any]) -> None:
    for name in state:
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise UsageError(UnsavableState.at(f"`{name!r}` is not the name of an item", help="use a plain word"))


def _refuse_other_step(state: Mapping[str, Any], step: int) -> None:
    if STEP not in state:
        return
    try:
        found = int(state[STEP])
    except (TypeError, ValueError):
        advice = f"rename the item; `{STEP}` is the number of the step"
        raise UsageError(_unsavable(f"`{STEP}`", state[STEP], advice)) from None
    if found != step:
        message = f"the step is {step}, and the item `{STEP}` of the state is {found}"
        raise UsageError(ContradictorySteps.at(message, help=f"leave `{STEP}` out of the state"))


def _unsavable(what: str, value: object, advice: str) -> Any:
    return UnsavableState.at(f"{what} is a {type(value).__name__}, which is not saved as it is", help=advice)
