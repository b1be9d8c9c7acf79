"""The checkpointers of Orbax that save steps; the only module that touches internals of Orbax.

Two things have no public way. A v0 `CheckpointManager` that saves one unnamed item refuses others beside it, except
the metrics that it adds itself (`_default_item`, `_checkpointer`). A v1 `Checkpointer` saves a number as a pytree
unless the context, which it hides (`_context`), has another handler. `tests/training/test_checkpointers.py` fails when
an Orbax without these attributes is installed.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from migrate.codes import ChangedOrbax, UnsavableState
from migrate.errors import UsageError
from migrate.training.payload import ALONE, STEP, PayloadItem

TESTED = "orbax-checkpoint 0.12.8"
"""The version whose internals are known."""

Payload = Mapping[str, PayloadItem]


class StepSaver(abc.ABC):
    """Saves steps with one kind of checkpointer."""

    @property
    @abc.abstractmethod
    def named(self) -> bool:
        """Whether the checkpointer saves named items only."""

    @abc.abstractmethod
    def takes(self, step: int) -> bool:
        """Whether the policy of the checkpointer takes a step now."""

    @abc.abstractmethod
    def save(
        self, step: int, payload: Payload, custom: dict[str, Any], metrics: Mapping[str, Any] | None, *, force: bool
    ) -> bool:
        """Begins to save a step; returns whether the policy of the checkpointer takes it."""

    @abc.abstractmethod
    def wait(self) -> None:
        """Waits until no save is in progress.

        Raises:
          Exception: as Orbax raises it, if the last save failed.
        """


def saver_of(checkpointer: object) -> StepSaver:
    """Returns the saver of a checkpointer.

    Raises:
      UsageError: it is neither a `CheckpointManager` nor a v1 `Checkpointer` (`UnsavableState`).
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint import v1

    if isinstance(checkpointer, ocp.CheckpointManager):
        return _Manager(checkpointer)
    if isinstance(checkpointer, v1.training.Checkpointer):
        return _Checkpointer(checkpointer)
    message = f"a {type(checkpointer).__name__} saves no steps"
    advice = "pass an `orbax.checkpoint.CheckpointManager` or an `orbax.checkpoint.v1.training.Checkpointer`"
    raise UsageError(UnsavableState.at(message, help=advice))


class _Manager(StepSaver):
    """A `CheckpointManager`: one unnamed item is named `default`, as the manager itself names it."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager

    @property
    def named(self) -> bool:
        return self._unnamed().get() is False

    def takes(self, step: int) -> bool:
        return bool(self.manager.should_save(step))

    def save(
        self, step: int, payload: Payload, custom: dict[str, Any], metrics: Mapping[str, Any] | None, *, force: bool
    ) -> bool:
        import orbax.checkpoint as ocp

        alone = ALONE in payload
        unnamed = self._unnamed()
        if not alone and unnamed.get():
            message = "this `CheckpointManager` saves one unnamed item, as its handler or an earlier call decided"
            advice = "make another one for the items of this state, or pass one pytree"
            raise UsageError(UnsavableState.at(message, help=advice))
        self._refuse_unknown_item()
        single = "state" if self.named else "default"
        args = ocp.args.Composite(
            **{name or single: _arguments(name or single, item) for name, item in payload.items()}
        )
        with _several_items(unnamed) if alone and not self.named else _nothing():
            return bool(self.manager.save(step, args=args, metrics=metrics, force=force, custom_metadata=custom))

    def wait(self) -> None:
        self.manager.wait_until_finished()

    def _unnamed(self) -> Any:
        """Returns the reference to whether the manager saves one unnamed item; it holds None until that is decided."""
        return _internal(self.manager, "_default_item", "get", "set")

    def _refuse_unknown_item(self) -> None:
        """Refuses a manager with `item_names` or handlers that leave out the item `step`."""
        import orbax.checkpoint as ocp

        handler = _internal(_internal(self.manager, "_checkpointer", "handler"), "handler")
        names = _internal(handler, "_item_names_without_registered_handlers")
        registry = _internal(handler, "_handler_registry", "has")
        if names is not None and STEP not in names and not registry.has(STEP, ocp.args.JsonSave(0)):
            message = f"this `CheckpointManager` was made for certain items, which lack `{STEP}`"
            advice = f"add `{STEP}` to its `item_names`, or leave out `item_names` and `item_handlers`"
            raise UsageError(UnsavableState.at(message, help=advice))


class _Checkpointer(StepSaver):
    """A v1 `Checkpointer`: one unnamed item is named `state`, as the checkpointer itself names it."""

    named = False

    def __init__(self, checkpointer: Any) -> None:
        self.checkpointer = checkpointer

    def takes(self, step: int) -> bool:
        return bool(self.checkpointer.should_save(step))

    def save(
        self, step: int, payload: Payload, custom: dict[str, Any], metrics: Mapping[str, Any] | None, *, force: bool
    ) -> bool:
        import numpy as np
        import orbax.checkpoint as ocp

        for name, item in payload.items():
            kind = type(item.value).__name__
            if isinstance(item.value, ocp.args.CheckpointArgs):
                message = f"{kind} is for a `CheckpointManager`, not for `Checkpointer` of the v1 API"
                raise UsageError(UnsavableState.at(message, help="pass what it wraps"))
            if isinstance(item.value, np.generic):
                message = f"`{name or 'state'}` is a single {kind}, which `Checkpointer` of the v1 API does not save"
                raise UsageError(UnsavableState.at(message, help="convert it, for example with `x.item()`"))
        values = {name or "state": item.value for name, item in payload.items()}
        with self._json([name for name, item in payload.items() if item.kind == "json"]):
            response = self.checkpointer.save_checkpointables_async(
                step, values, force=force, metrics=metrics, custom_metadata=custom
            )
        return response is not None

    def wait(self) -> None:
        self.checkpointer.wait()

    def _json(self, names: list[str]) -> Any:
        """Returns a context like the present one, in which items of these names are JSON."""
        from orbax.checkpoint import v1

        try:
            from orbax.checkpoint.experimental.v1._src.context.context import get_context
        except ImportError:
            raise _changed("orbax.checkpoint.experimental.v1._src.context.context.get_context") from None
        context = v1.Context(get_context(_internal(self.checkpointer, "_context")))
        registry = v1.handlers.local_registry(context.checkpointables.registry, include_global_registry=False)
        for name in names:
            registry.add(v1.handlers.JsonHandler, checkpointable_name=name)
        context.checkpointables.registry = registry
        return context


def _arguments(name: str, item: PayloadItem) -> Any:
    import orbax.checkpoint as ocp

    if item.kind == "json":
        return ocp.args.JsonSave(item.value)
    if item.kind == "pytree":
        return _pytree_arguments(name, item.value)
    if isinstance(item.value, ocp.args.CheckpointArgs):
        return item.value
    message = f"a {type(item.value).__name__} saves itself with `Checkpointer` of Orbax's v1 API only"
    advice = "wrap it in the `CheckpointSave` of its library, or give it `get_state`"
    raise UsageError(UnsavableState.at(message, help=advice))


def _pytree_arguments(name: str, value: Any) -> Any:
    """Returns the arguments of a pytree; a single array, number or random key has a handler of its own."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    if any(isinstance(leaf, str) for leaf in jax.tree.leaves(value)):
        return ocp.args.PyTreeSave(value)
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        _refuse_other_keys(name, value)
        return ocp.args.JaxRandomKeySave(value)
    is_single = isinstance(value, jax.Array | np.generic | int | float)
    return ocp.args.ArraySave(value) if is_single else ocp.args.StandardSave(value)


def _refuse_other_keys(name: str, key: Any) -> None:
    """Refuses a random key that `JaxRandomKeySave` saves without its implementation, so that it cannot be restored."""
    import jax

    default = jax.random.key_impl(jax.random.key(0))
    if jax.random.key_impl(key) != default:
        message = f"`{name}` is a single key of the implementation {jax.random.key_impl(key)}, which is not recorded"
        advice = f"save it in a dict, which records it: `{{'{name}': {{'key': key}}}}`"
        raise UsageError(UnsavableState.at(message, help=advice))


@contextmanager
def _several_items(unnamed: Any) -> Iterator[None]:
    """Lets a manager of one unnamed item save others beside it; afterwards it restores the unnamed one as before."""
    before = unnamed.get()
    unnamed.set(False)
    try:
        yield
    except BaseException:
        unnamed.set(before)
        raise
    unnamed.set(True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _internal(owner: Any, name: str, *members: str) -> Any:
    """Returns an internal attribute of Orbax.

    Raises:
      UsageError: it does not exist, or lacks a member that is used (`ChangedOrbax`).
    """
    try:
        found = getattr(owner, name)
    except AttributeError:
        raise _changed(f"{type(owner).__name__}.{name}") from None
    lacking = [member for member in members if not hasattr(found, member)]
    if lacking:
        raise _changed(f"{type(owner).__name__}.{name}.{lacking[0]}")
    return found


def _changed(name: str) -> UsageError:
    from importlib.metadata import version

    message = f"Orbax {version('orbax-checkpoint')} has no `{name}`, which `migrate.save` needs; nothing was saved"
    return UsageError(ChangedOrbax.at(message, help=f"`migrate.save` was tested with {TESTED}"))
