"""Abstract evaluation of a model that yields the same leaves as real evaluation, in linear time.

Tracing differs in three ways, which this module compensates. Flax refuses sharding annotations outside their mesh. Flax
treats an array in a plain attribute as data, but not a tracer. And for each random number Flax reads the `sharding` of
a tracer, for which JAX composes an error message that searches the whole trace: thousands of layers take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from migrate.template.user_code import bind, load, running

T = TypeVar("T")


def template_callable(spec: str, args: Mapping[str, Any] | None) -> Callable[[], Any]:
    """Returns the template's callable with its arguments bound.

    Raises:
      CheckpointError: it cannot be imported or called (`InvalidTemplate`).
    """

    def rngs() -> Any:
        from flax import nnx

        return nnx.Rngs(0)

    return bind(spec, load(spec), args or {}, {"rngs": rngs})


def trace(spec: str, make: Callable[[], Any], look: Callable[[Any], T]) -> T:
    """Calls `make` under abstract evaluation and returns `look` of its result, in which arrays are tracers."""
    import jax

    seen: list[T] = []

    def run() -> None:
        with faithful_tracing():
            seen.append(look(make()))

    with running(spec, advise=tracing_advice):
        jax.eval_shape(run)
    return seen[0]


_ADVICE = {
    "TracerArrayConversionError": "use `jnp` in place of `np` for the arrays of this line",
    "ConcretizationTypeError": "compute this number from shapes or arguments, or move the line out of the callable",
    "TracerBoolConversionError": "decide by shapes or arguments, or move the line out of the callable",
    "TracerIntegerConversionError": "compute this index from shapes or arguments, or move the line out of the callable",
    "NonConcreteBooleanIndexError": "use `jnp.where` in place of the mask, or move the line out of the callable",
    "UnexpectedTracerError": "make all modules and arrays inside the callable",
    "TraceContextError": "make the module inside the callable, not when its file is imported",
    "MemoryError": "NumPy allocates its arrays there: make them with `jnp`, which does not",
    "XlaRuntimeError": "make the arrays of this line inside the callable with `jnp`, which allocates nothing there",
}
"""Advice by the class of an error, so that JAX and Flax need not be imported."""


def tracing_advice(error: BaseException) -> str | None:
    """Returns the help for an error that abstract evaluation causes in a callable; None for others."""
    names = [kind.__name__ for kind in type(error).__mro__]
    advice = next((_ADVICE[name] for name in names if name in _ADVICE), None)
    if advice is None and "traced array" in str(error):
        advice = "move the line out of the callable"
    return (
        f"a template runs under `nnx.eval_shape`, where arrays have shapes and no values: {advice}" if advice else None
    )


@contextmanager
def faithful_tracing() -> Iterator[None]:
    """Compensates the differences inside a trace function (see the module's docstring)."""
    import jax.numpy as jnp
    from flax import nnx

    tracer = type(jnp.zeros(()))
    with ExitStack() as stack:
        stack.enter_context(nnx.use_eager_sharding(False))
        stack.enter_context(_data_type(tracer))
        stack.enter_context(_without_origins(tracer))
        yield


@contextmanager
def _data_type(tracer: type) -> Iterator[None]:
    from flax import nnx

    registry = nnx.pytreelib.DATA_REGISTRY
    added = tracer not in registry
    nnx.register_data_type(tracer)
    try:
        yield
    finally:
        if added:
            registry.discard(tracer)


@contextmanager
def _without_origins(tracer: Any) -> Iterator[None]:
    """Omits the origin of tracers from JAX's messages, of which only the first line is shown."""
    original = vars(tracer).get("_origin_msg")
    if original is None:
        yield
        return
    tracer._origin_msg = lambda _: ""  # noqa: SLF001  # JAX has no public switch
    try:
        yield
    finally:
        tracer._origin_msg = original  # noqa: SLF001  # as above
