"""Scans over blocks of several layers, with and without a remainder, and lists of all layers."""

import pytest

from tests.planning.suggest.trees import moves, rules_of, suggested

LAYER = {"attn/query/kernel": (8, 2, 4), "attn/key/kernel": (8, 2, 4), "mlp/wi/kernel": (8, 8), "norm/scale": (8,)}
BLOCKS, PER_BLOCK = 5, 3


def scanned(rest, *, axis=1, block="scan/layers", remainder="rest/layers"):
    """Returns the stacks of a scan and its remainder."""
    stacks = {
        f"{block}_{j}/{path}": (*shape[:axis], BLOCKS, *shape[axis:])
        for j in range(PER_BLOCK)
        for path, shape in LAYER.items()
    }
    return stacks | {f"{remainder}_{k}/{path}": shape for k in range(rest) for path, shape in LAYER.items()}


def listed(rest):
    return {f"layers_{k}/{path}": s for k in range(BLOCKS * PER_BLOCK + rest) for path, s in LAYER.items()}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rest", [0, 1, 2])
def test_a_scan_over_blocks_becomes_a_list(axis, rest):
    suggestion = suggested(scanned(rest, axis=axis), listed(rest))
    assert suggestion.plan.applicable
    assert {} == suggestion.doubts
    assert {'to: "layers_{i*3+j}/**"', f"ops: [{{unstack: {{axis: {axis}, over: i}}}}]"} <= {*rules_of(suggestion)}
    for task in suggestion.plan.tasks:
        if len(task.targets) > 1:
            number = int(task.sources[0][1].removeprefix("layers_"))
            assert [f"layers_{b * PER_BLOCK + number}" for b in range(BLOCKS)] == [path[0] for path in task.targets]
    expected = {f"rest/layers_{k}/norm/scale": f"layers_{15 + k}/norm/scale" for k in range(rest)}
    assert expected.items() <= moves(suggestion).items()


@pytest.mark.parametrize("rest", [0, 1, 2])
def test_a_list_becomes_a_scan_over_blocks(rest):
    suggestion = suggested(listed(rest), scanned(rest))
    assert suggestion.plan.applicable
    assert {} == suggestion.doubts
    assert 'to: "scan/layers_{i%3}/**"' in suggestion.text
    for task in suggestion.plan.tasks:
        if len(task.sources) > 1:
            number = int(task.targets[0][1].removeprefix("layers_"))
            assert [f"layers_{b * PER_BLOCK + number}" for b in range(BLOCKS)] == [path[0] for path in task.sources]


def test_stages_that_are_scanned_apart_are_in_doubt_and_list_consecutive_layers():
    suggestion = suggested(scanned(0, block="stages/stage"), listed(0))
    assert "unproved: shapes do not show whether a stack holds consecutive layers" in suggestion.text
    doubted = suggestion.doubts["stages", "stage_1", "norm", "scale"]
    others = {path[0] for doubt in doubted for path in doubt.others}
    assert {f"layers_{k}" for k in range(5, 10)} >= others != set()


def test_layers_of_different_shapes_prove_the_order():
    def wide(tree, every):
        kinds = {path: 1 for path in tree if every(path) and path.endswith("mlp/wi/kernel")}
        return {path: (*shape[:-1], 16) if path in kinds else shape for path, shape in tree.items()}

    old = wide(scanned(0, block="stages/stage"), lambda path: path.startswith("stages/stage_2/"))
    new = wide(listed(0), lambda path: int(path.split("/")[0].removeprefix("layers_")) % 3 == 2)
    assert {} == suggested(old, new).doubts
