"""The libraries on the other side: their models, restored from a migrated checkpoint, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from tests.families.rows import Row

MODULES = {
    "tunix": "tests.families.tunix_models",
    "nnx": "tests.families.nnx_models",
    "maxtext": "tests.families.maxtext_trees",
}
"""The module of the models of each library: `make` returns a row's model, `logits` what it computes."""


def logits(row: Row, new: Path, inputs: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Returns the logits of the migrated checkpoint, restored by plain Orbax into the other side's model."""
    module = import_module(MODULES[row.other])
    if row.other == "maxtext":
        tree = _restored(new, jax.eval_shape(lambda: module.make(row.name)))
        return np.asarray(module.logits(tree, **inputs, config=row.config))
    made = nnx.eval_shape(lambda: module.make(row.name))
    parts = made if isinstance(made, dict) else {"": made}
    states = {name: nnx.state(part) for name, part in parts.items()}
    restored = _restored(new, states if isinstance(made, dict) else states[""])
    name = next(iter(parts))
    graph, state = nnx.graphdef(parts[name]), restored[name] if name else restored
    with jax.default_matmul_precision("highest"):  # compiled as a whole, which takes less time than op by op
        return np.asarray(jax.jit(lambda state: module.logits(nnx.merge(graph, state), **inputs))(state))


def _restored(path: Path, abstract: Any) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), abstract)
