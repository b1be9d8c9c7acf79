"""Whatever the names of the model: wrong suggestions are in doubt, and suggestions without unplaced leaves apply."""

from hypothesis import example, given
from hypothesis import strategies as st

from tests.planning.suggest.trees import suggested

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
