"""One model twice, in Linen and in NNX, and the rules that a person would write between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn


@dataclass(frozen=True)
class Case:
    """A pair of models.

    Attributes:
      name: what tables and tests call it.
      model: what kind of model it is, as the table groups them.
      linen: the Linen module.
      inputs: what it is called with, from a seeded generator.
      template: the NNX twin.
      truth: rules that are known to be right, since the twin then computes what the Linen module did.
      call: calls both; by default they are functions of the inputs alone.
      linen_options: keyword arguments of the Linen module's call.
      zero: key paths (last two segments) of leaves that have to be zero for the twin to exist at all.
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
    """A case; `template` is a callable of this folder, `module:callable`."""
    spec = f"tests.planning.suggest.models.{template}"
    return Case(name, model, linen, inputs, spec, truth, more.pop("options", {}), **more)


def floats(*shape: int) -> Callable[[Any], tuple[Any, ...]]:
    """An input of floats."""
    return lambda rng: (rng.normal(size=shape).astype("float32"),)


def tokens(*shape: int, below: int) -> Callable[[Any], tuple[Any, ...]]:
    """An input of tokens."""
    return lambda rng: (rng.integers(0, below, shape).astype("int32"),)
