"""Plans and their inverses in tests: short inverses to make them and to run them on arrays in memory."""

import numpy as np

from migrate.planning.invert.pipeline import invert
from migrate.planning.invert.readback import as_read
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.testing.ops import filled
from tests.planning.trees import planned


def inverted(rules, source, target=None, **fields):
    """The inversion of an applicable plan, made from the lines below `rules:`."""
    plan = planned(rules, source, target, **fields)
    assert plan.applicable, [d.message for d in plan.diagnostics]
    return invert(plan)


def rules_of(inversion):
    """The rules of an inverse file, without comments."""
    lines = inversion.text.splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("rules:")) + 1 :]
    return [line.split("  # ")[0].strip() for line in body if line.strip() and not line.lstrip().startswith("#")]


def lost(inversion):
    """Kind by key path of what does not go back."""
    return {"/".join(one.path): one.kind for one in inversion.lost}


def left(inversion):
    """Kind by key path of target leaves that are left behind."""
    return {"/".join(one.path): one.kind for one in inversion.left}


def values_for(tree, seed=0):
    """Random bits for every array of a tree."""
    return {
        path: filled(leaf.aval.shape, leaf.aval.dtype, seed + number) if leaf.aval else None
        for number, (path, leaf) in enumerate(tree.leaves.items())
    }


def carried_out(plan, values):
    """What a plan makes of values in memory."""
    made = {}
    for task in plan.tasks:
        arrays = [values[path] for path in task.sources]
        for step in task.steps:
            arrays = [result for op, group in step.calls for result in op.apply(*(arrays[index] for index in group))]
        made |= {path: arrays[index] for path, index in zip(task.targets, task.outputs, strict=True)}
    return made


def back_and_forth(plan, values):
    """The inversion, and what its rules make of what the plan makes of values; by the text of the file alone."""
    inversion = invert(plan)
    there = carried_out(plan, values)
    for creation in plan.created:
        aval = creation.leaf.aval
        there[creation.target] = filled(aval.shape, aval.dtype, 99) if aval else None
    names = as_read(plan.target)[1]
    renamed = {names[path]: value for path, value in there.items()}
    again = make_plan(inversion.plan.source, parse_rules(inversion.text, "back.yaml"), None)
    assert again.applicable, (inversion.text, [d.message for d in again.diagnostics])
    return inversion, carried_out(again, renamed)


def same_bits(expected, actual):
    """Two sets of values have the same key paths, dtypes, shapes and bits."""
    assert {p for p, v in expected.items() if v is not None} == {p for p, v in actual.items() if v is not None}
    for path, value in expected.items():
        if value is not None:
            one, other = np.asarray(value), np.asarray(actual[path])
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), path
