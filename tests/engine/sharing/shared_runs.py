"""Runs with several workers, and the comparison of their results."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from migrate.engine.sharing.pool_workers import PoolWorkers
from migrate.engine.sharing.pools import GivenExecutor
from migrate.engine.workspace.directory import Workspace, workspace_path
from tests.engine.sources import apply_plan, opened, plan_for

RULES = """
rules:
- {from: 'turned/{i}', to: 'flipped/{i}', ops: [{transpose: [1, 0]}]}
- {from: 'flat/{i}', to: 'flat/{i}', ops: [{flip: {axis: 0}}]}
- {from: name, to: title}
"""
"""Fourteen arrays and a number are streamed, three arrays linked; a string is neither."""

STREAMED = frozenset(
    [("step",), *(("flipped", str(i)) for i in range(6)), *(("flat", str(i)) for i in range(8))],
)


def tree():
    rng = np.random.default_rng(0)
    turned = {str(i): rng.normal(size=(40 + 90 * i, 64)).astype("float32") for i in range(6)}
    flat = {str(i): np.arange(3 + i) for i in range(8)}
    kept = {str(i): rng.normal(size=(300,)) for i in range(3)}
    arrays = jax.tree.map(jnp.asarray, {"turned": turned, "flat": flat, "kept": kept})
    return {**arrays, "step": 7, "name": "small"}


def applied(source, target, workers=None, rules=RULES, **options):
    """Runs the plan, with a number of workers that are threads, or with these workers."""
    with opened(source) as reader:
        plan = plan_for(reader, rules)
        if not isinstance(workers, int):
            return apply_plan(plan, reader, target, workers=workers, **options)
        with ThreadPoolExecutor(workers) as executor:
            return apply_plan(plan, reader, target, workers=PoolWorkers(GivenExecutor(executor)), **options)


def workspace(source, target, rules=RULES):
    with opened(source) as reader:
        return Workspace(workspace_path(target, plan_for(reader, rules).digest))


def values(target):
    with opened(target) as reader:
        return {path: np.asarray(reader.read(path)) for path in reader.abstract().tree.leaves}


def same(one, other):
    assert one.keys() == other.keys()
    assert [] == [
        path for path in one if one[path].dtype != other[path].dtype or one[path].tobytes() != other[path].tobytes()
    ]


class After:
    """Returns true from the nth call on."""

    def __init__(self, calls):
        self._left = calls
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self._left -= 1
            return self._left < 0
