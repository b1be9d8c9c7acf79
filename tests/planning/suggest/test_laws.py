"""Whatever the names of the model: wrong suggestions are in doubt, and suggestions without unplaced leaves apply."""

import random

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from migrate.planning.suggest.pipeline import suggest
from migrate.tree import AbstractTree
from tests.matrix import examples
from tests.planning.suggest.laws import faults
from tests.planning.suggest.mutations import Refactor, mutated, names_without_node
from tests.planning.suggest.score import CASES
from tests.planning.suggest.trees import Template, suggested

OLD = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
NEW = ("rho", "sigma", "tau", "phi", "chi", "psi")


@st.composite
def layers(draw):
    """Draws the arrays of one layer; few sizes, so that many layers are alike."""
    rows, columns = draw(st.sampled_from((2, 3))), draw(st.sampled_from((2, 3)))
    kernel, bias = ("kernel", (rows, columns)), ("bias", (columns,))
    return draw(st.sampled_from(([kernel, bias], [kernel], [("scale", (rows,)), ("bias", (rows,))])))


@st.composite
def models(draw):
    """Draws old shapes, new shapes, and the true target of every array; no name is on both sides."""
    old, new, truth = {}, {}, {}
    for source, target in zip(OLD, draw(st.permutations(NEW)), strict=True):
        inner = draw(st.lists(layers(), max_size=3))
        count = draw(st.integers(1, 3))
        for index in range(count):
            for a, b, layer in zip(OLD, draw(st.just(NEW)), inner, strict=False):
                for name, shape in layer:
                    left = f"params/{source}_{index}/{a}/{name}" if count > 1 else f"params/{source}/{a}/{name}"
                    right = f"{target}/{index}/{b}/{name}" if count > 1 else f"{target}/{b}/{name}"
                    old[left], new[right], truth[left] = shape, shape, right
    return old, new, truth


TRUTH = {
    "params/gamma/alpha/scale": "phi/rho/scale",
    "params/gamma/alpha/bias": "phi/rho/bias",
    "params/gamma/beta/kernel": "phi/sigma/kernel",
    "params/gamma/gamma/kernel": "phi/tau/kernel",
    "params/delta_0/alpha/kernel": "tau/0/rho/kernel",
    "params/delta_0/alpha/bias": "tau/0/rho/bias",
    "params/delta_1/alpha/kernel": "tau/1/rho/kernel",
    "params/delta_1/alpha/bias": "tau/1/rho/bias",
}
"""A model whose blocks the aligner once divided to fit, with a part left over."""
SHAPES = {path: (3, 2) if path.endswith("kernel") else (2,) for path in (*TRUTH, *TRUTH.values())}


@settings(max_examples=examples(25))
@given(models())
@example(({path: SHAPES[path] for path in TRUTH}, {path: SHAPES[path] for path in TRUTH.values()}, TRUTH))
def test_what_is_wrong_is_in_doubt_and_what_is_placed_can_be_applied(model):
    old, new, truth = model
    suggestion = suggested({**old, "params/end/kernel": (7, 8)}, {**new, "last/kernel": (7, 8)})
    for task in suggestion.plan.tasks:
        source, target = "/".join(task.sources[0]), "/".join(task.targets[0])
        assert truth.get(source, "last/kernel") == target or suggestion.doubts_of(task)
    left = suggestion.unplaced_sources or suggestion.unplaced_targets
    assert bool(left) != suggestion.plan.applicable
    assert [] == list(faults(suggestion))


@settings(max_examples=examples(20))
@given(models(), st.integers(0, 1 << 16))
def test_a_rule_file_passes_its_own_check_whatever_a_model_loses(model, seed):
    """In random models without names, layers of one shape stand for each other, so that only the file can be tested."""
    old, new, _ = model
    changed = mutated(Refactor(old, new, {}, {}), seed)
    assume(changed.old and changed.new)
    assert [] == list(faults(changed.suggestion()))


def test_parts_of_several_arrays_in_several_arrays_are_not_one_rule():
    """Layers of both sides could be stacks of each other's: 3 layers, and 3 rows of each matrix."""
    block = {"alpha": ("rho", (3, 2)), "beta": ("sigma", (3, 2)), "gamma": ("tau", (3, 3))}
    old = {f"params/zeta_{i}/{name}/kernel": shape for i in range(3) for name, (_, shape) in block.items()}
    new = {f"psi/{i}/{name}/kernel": shape for i in range(3) for name, shape in block.values()}
    del old["params/zeta_0/gamma/kernel"]
    old, new = {"params/epsilon/alpha/kernel": (3, 3), **old}, {"chi/rho/kernel": (3, 3), **new}
    assert [] == list(faults(suggested(old, new)))


@pytest.mark.sample(4)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rule_file_for_a_model_passes_its_own_check(case, opened):
    _, _, _, suggestion = opened(case)
    assert [] == list(faults(suggestion))


@pytest.mark.sample(4)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_so_does_one_for_a_model_that_lost_leaves(case, opened):
    checkpoint, template, _, _ = opened(case)
    for seed in range(4):
        names = names_without_node(dict.fromkeys(map("/".join, template.tree.leaves), ()), random.Random(seed))
        kept = {tuple(path.split("/")) for path in names}
        tree = AbstractTree({path: leaf for path, leaf in template.tree.leaves.items() if path in kept}, {})
        smaller = Template(tree, variables={p: v for p, v in template.variables.items() if p in kept})
        assert [] == list(faults(suggest(checkpoint.abstract, smaller)))
