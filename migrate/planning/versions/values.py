"""The values of leaves as expressions over the leaves of the first source, and their simplification.

Two simplified values are the same object exactly when they have the same expression, so that a shared part is computed
once. Ops cancel or merge only where every bit stays the same: a cast, a scaling or a call is never merged.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from migrate.dtypes import key_impl
from migrate.ops.base import NotInvertible, Op
from migrate.planning.invert.expressions import identity
from migrate.planning.model import Created
from migrate.rules.model import RuleSet
from migrate.tree import AbstractArray, KeyPath

Avals = tuple[AbstractArray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceValue:
    """A leaf of the first source; `aval` is None for strings, `None` and empty containers."""

    path: KeyPath
    aval: AbstractArray | None

    @property
    def origins(self) -> tuple[SourceValue]:
        """Itself."""
        return (self,)


@dataclass(frozen=True, slots=True, eq=False)
class CreatedValue:
    """A leaf that a rule file creates."""

    creation: Created
    rules: RuleSet

    @property
    def aval(self) -> AbstractArray | None:
        """Its shape and dtype; None for leaves without data."""
        return self.creation.leaf.aval

    @property
    def origins(self) -> tuple[CreatedValue]:
        """Itself."""
        return (self,)

    @property
    def number(self) -> int | float | bool | None:
        """The number that fills it; None where its elements differ."""
        init = self.creation.init
        return None if init is None else {"zeros": 0, "ones": 1, "constant": init.value}.get(init.kind)


@dataclass(frozen=True, slots=True, eq=False)
class OpCall:
    """An op with its inputs and the abstract arrays of its results.

    Attributes:
      origins: the leaves and created leaves that it computes with, each once, in the order of its inputs.
    """

    op: Op
    inputs: tuple[Value, ...]
    results: Avals
    origins: tuple[SourceValue | CreatedValue, ...] = field(init=False)

    def __post_init__(self) -> None:
        origins = dict.fromkeys(origin for one in self.inputs for origin in one.origins)
        object.__setattr__(self, "origins", tuple(origins))

    @property
    def avals(self) -> Avals:
        """The abstract arrays of its inputs."""
        return tuple(one.aval for one in self.inputs if one.aval is not None)


@dataclass(frozen=True, slots=True, eq=False)
class CallResult:
    """One result of an op."""

    call: OpCall
    index: int

    @property
    def aval(self) -> AbstractArray:
        """Its shape and dtype."""
        return self.call.results[self.index]

    @property
    def origins(self) -> tuple[SourceValue | CreatedValue, ...]:
        """The leaves and created leaves that it is computed from."""
        return self.call.origins


Value = SourceValue | CreatedValue | CallResult


def leaves_of(value: Value) -> Iterator[SourceValue]:
    """Returns the leaves of the source that a value is computed from, each once."""
    return (one for one in value.origins if isinstance(one, SourceValue))


def below(value: Value, known: Container[Value] = ()) -> Iterator[Value]:
    """Yields a value and all that it is computed from, each once, inputs first, without those that are known."""
    if not isinstance(value, CallResult):
        yield value
        return
    seen: set[Value] = set()
    open_values: list[tuple[Value, bool]] = [(value, False)]
    while open_values:
        one, done = open_values.pop()
        if done:
            yield one
        elif one not in seen and one not in known:
            seen.add(one)
            open_values.append((one, True))
            inputs = one.call.inputs if isinstance(one, CallResult) else ()
            open_values += [(each, False) for each in reversed(inputs) if each not in seen]


def results_of(op: Op, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """Returns the results of an op, as they are written.

    Raises:
      OpError: the op does not fit the inputs.
    """
    call = OpCall(op, inputs, op.infer(*(one.aval for one in inputs if one.aval is not None)))
    return tuple(CallResult(call, index) for index in range(len(call.results)))


class Expressions:
    """Simplifies values; equal expressions become one object."""

    def __init__(self) -> None:
        self._sources: dict[tuple[KeyPath, AbstractArray | None], SourceValue] = {}
        self._results: dict[Hashable, tuple[Value, ...]] = {}
        self._simplified: dict[Value, Value] = {}

    def source(self, path: KeyPath, aval: AbstractArray | None) -> SourceValue:
        """Returns the value of a leaf of a source."""
        key = (path, aval)
        found = self._sources.get(key)
        if found is None:
            found = self._sources[key] = SourceValue(path, aval)
        return found

    def simplified(self, value: Value) -> Value:
        """Returns the simplified expression of a value."""
        if not isinstance(value, CallResult):
            return value
        known = self._simplified
        for one in below(value, known) if value not in known else ():
            known[one] = self._simple(one) if isinstance(one, CallResult) else one
        return known[value]

    def _simple(self, value: CallResult) -> Value:
        """Returns the simplified expression of a value; its inputs are simplified already."""
        return self._call(value.call.op, tuple(self._simplified[one] for one in value.call.inputs))[value.index]

    def _call(self, op: Op, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        key = (op, inputs)
        if key not in self._results:
            self._results[key] = self._made(op, inputs)
        return self._results[key]

    def _made(self, op: Op, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        call = OpCall(op, inputs, op.infer(*(one.aval for one in inputs if one.aval is not None)))
        before = _only_call(inputs)
        if call.avals == call.results and op.does_nothing(*call.avals):
            return inputs
        if all(isinstance(one, CreatedValue) for one in inputs):
            constants = _constants(call)
            if constants:
                return constants
        if before is not None and _undoes(call, before):
            return before.inputs
        merged = op.after(before.op, *before.avals) if before is not None else None
        if merged is not None and before is not None:
            return self._call(merged, before.inputs)
        return tuple(CallResult(call, index) for index in range(len(call.results)))


def _only_call(inputs: Sequence[Value]) -> OpCall | None:
    """Returns the call whose results, all of them and in order, are the inputs."""
    first = inputs[0] if inputs else None
    if not isinstance(first, CallResult) or len(inputs) != len(first.call.results):
        return None
    same = all(
        isinstance(one, CallResult) and one.call is first.call and one.index == n for n, one in enumerate(inputs)
    )
    return first.call if same else None


def _undoes(call: OpCall, before: OpCall) -> bool:
    """Whether the call restores every bit of the inputs of the call before it."""
    if not before.op.structural or not before.op.restores(*before.avals):
        return False
    inverse = before.op.inverse(*before.avals)
    return not isinstance(inverse, NotInvertible) and identity(call.op, call.avals) == identity(inverse, call.avals)


def _constants(call: OpCall) -> tuple[Value, ...]:
    """Returns the results of an op on arrays of one number as such arrays; empty where they are none."""
    values = [one for one in call.inputs if isinstance(one, CreatedValue)]
    numbers = {(type(one.number), one.number) for one in values}
    first = values[0] if values else None
    if first is None or first.number is None or len(numbers) > 1:
        return ()
    dtypes = {aval.dtype for aval in (*call.avals, *call.results)}
    moves = call.op.structural and len(dtypes) == 1
    casts = call.op.only_casts and first.number in (0, 1) and not any(map(key_impl, dtypes))
    if not moves and not casts:
        return ()
    leaves = (replace(first.creation.leaf, kind="array", aval=aval) for aval in call.results)
    return tuple(CreatedValue(replace(first.creation, leaf=leaf), first.rules) for leaf in leaves)
