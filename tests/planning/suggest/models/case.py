"""One model in Linen and in NNX, with hand-written rules between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn


@dataclass(frozen=True)
class Case:
    """A pair of models.

    Attributes:
      name: the name in tables and tests.
      model: the kind of model, by which the table groups cases.
      linen: the Linen module.
      inputs: makes the inputs of a call from a seeded generator.
      template: the NNX counterpart.
      truth: rules that are known to be right, since the NNX model then computes the same as the Linen module.
      linen_options: keyword arguments of the Linen module's call.
      zero: key paths (last two segments) of leaves that must be zero for an NNX counterpart to exist.
    """

    name: str
    model: str
    linen: nn.Module
    inputs: Callable[[Any], tuple[Any, ...]]
    template: str
    truth: str
    linen_options: dict[str, Any]
    zero: tuple[tuple[str, str], ...] = ()


def case(
    name: str, model: str, linen: nn.Module, inputs: Callable[[Any], tuple[Any, ...]], template: str, truth: str, **more
) -> Case:
    """Returns a case; `template` is a callable of this folder, `module:callable`."""
    spec = f"tests.planning.suggest.models.{template}"
    return Case(name, model, linen, inputs, spec, truth, more.pop("options", {}), **more)


def floats(*shape: int) -> Callable[[Any], tuple[Any, ...]]:
    """Returns a function that makes an input of floats."""
    return lambda rng: (rng.normal(size=shape).astype("float32"),)


def tokens(*shape: int, below: int) -> Callable[[Any], tuple[Any, ...]]:
    """Returns a function that makes an input of tokens."""
    return lambda rng: (rng.integers(0, below, shape).astype("int32"),)
