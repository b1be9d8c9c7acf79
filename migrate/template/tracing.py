"""Abstract evaluation of a model: what Flax and JAX do differently while a model is traced, undone where it matters.

Three things differ. Flax refuses sharding annotations without the mesh that they were written for. It takes an array
that is set as a bare attribute for data, unless it is a tracer. And with each random number it asks a tracer for its
`sharding`, upon which JAX composes an error message that searches all that was traced so far: thousands of layers would
take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from migrate.template.user_code import bind, load, running

T = TypeVar("T")


def maker(spec: str, args: Mapping[str, Any] | None) -> Callable[[], Any]:
    """The template's callable with its arguments.

    Raises:
      CheckpointError: it cannot be imported or called (M408).
    """

    def rngs() -> Any:
        from flax import nnx

        return nnx.Rngs(0)

    return bind(spec, load(spec), args or {}, {"rngs": rngs})


def traced(spec: str, make: Callable[[], Any], look: Callable[[Any], T]) -> T:
    """Makes the template under abstract evaluation; `look` sees what was made, with tracers for arrays."""
    import jax

    seen: list[T] = []

    def run() -> None:
        with faithful():
            seen.append(look(make()))

    with running(spec):
        jax.eval_shape(run)
    return seen[0]


@contextmanager
def faithful() -> Iterator[None]:
    """Inside a traced function: here a model has the leaves that it has when it is made for real, in linear time."""
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
    """JAX's messages do not say from where a tracer came; nobody sees more than their first line."""
    original = vars(tracer).get("_origin_msg")
    if original is None:
        yield
        return
    tracer._origin_msg = lambda _: ""  # noqa: SLF001  # JAX has no public switch
    try:
        yield
    finally:
        tracer._origin_msg = original  # noqa: SLF001  # as above
