"""Chains of rule files in tests: short notation, random chains, and what each makes of values in memory."""

import numpy as np
from hypothesis import strategies as st

from migrate import dtypes
from migrate.planning.invert.readback import as_read
from migrate.planning.versions.chain import ChainStep, plan_steps, result_of
from migrate.planning.versions.fuse import fuse
from migrate.rules.loader import parse_rules
from migrate.tree import AbstractTree
from tests.planning.invert.cases import carried_out
from tests.planning.trees import Template, checkpoint


class OfTree(Template):
    """A template that consists of an abstract tree."""

    def __init__(self, tree):
        self.tree = tree


def rule_file(rules, version, target=None):
    """One rule file of a chain, from version `version` to the next."""
    guard = f"source: {{model: m, version: {version}}}\ntarget: {{model: m, version: {version + 1}}}\n"
    text = "migrate: 1\n" + guard + (f"rules:\n{rules}" if rules else "rules: []")
    template = target if target is None or isinstance(target, Template) else Template(target)
    return ChainStep(parse_rules(text, f"{version + 1}.yaml"), template)


def files(*rules):
    """Rule files from version 1 on; each is the text of its rules, or a pair of that and its target."""
    pairs = [one if isinstance(one, tuple) else (one, None) for one in rules]
    return [rule_file(text, number, target) for number, (text, target) in enumerate(pairs, start=1)]


def both(source, *rules, **fields):
    """The plans of a chain, and the fused plan."""
    plans = plan_steps(checkpoint(source, **fields), files(*rules), link=False)
    assert plans[-1].applicable, [d.message for d in plans[-1].diagnostics]
    assert len(plans) == len(rules)
    return plans, fuse(plans, link=False)


def made_by(plan, values):
    """What a plan makes of values, created leaves included."""
    made = carried_out(plan, values)
    for creation in plan.created:
        init, aval = creation.init, creation.leaf.aval
        number = None if init is None else {"zeros": 0, "ones": 1}.get(init.kind, init.value)
        made[creation.target] = None if aval is None else np.full(aval.shape, number, dtypes.to_numpy(aval.dtype))
    return made


def step_by_step(plans, values):
    """What a chain makes of values, one plan after the other."""
    for plan in plans:
        names = as_read(plan.target)[1]
        values = {names[path]: value for path, value in made_by(plan, values).items()}
    return values


def summary(plan):
    """Sources, targets and ops of every task of a plan."""
    return {
        (" ".join("/".join(p) for p in t.sources), " ".join("/".join(p) for p in t.targets)): [
            op.name for step in t.steps for op, _ in step.calls
        ]
        for t in plan.tasks
    }


SHAPES = st.lists(st.integers(1, 4), max_size=3).map(lambda shape: ",".join(map(str, shape)))
SOURCES = st.dictionaries(st.sampled_from([f"s{n}" for n in range(6)]), SHAPES, min_size=1)


def _ops(shape, path, name):
    """The rules that fit an array, without those that keep it."""
    rank = len(shape)
    flow = {
        "cast": "[{cast: {to: bfloat16, lossy: true}}]",
        "back": "[{cast: {to: float32, lossy: true}}]",
        "scale": "[{scale: 0.3}]",
        "flat": "[{reshape: [-1]}]",
        "wide": "[{expand_dims: 0}]",
    }
    if rank:
        flow |= {
            "turn": "[transpose]",
            "flip": "[{flip: 0}]",
            "thin": "[{squeeze: 0}]" if shape[0] == 1 else "[{flip: -1}]",
            "pad": "[{pad: {widths: [" + ", ".join(["[1, 0]"] * rank) + "], value: 2}}]",
            "crop": "[{slice: {axis: 0, start: 0, stop: 1}}]",
        }
    rules = [f"- {{from: {path}, to: {name}, ops: {ops}}}" for ops in flow.values()]
    rules += [f'- "{path} -> {name}"', f'- "{path} -> {name}"', f"- {{from: {path}, to: [{name}, {name}t]}}"]
    rules += [f"- drop: {path}"]
    if rank:
        rules += [f'- {{from: {path}, to: "{name}_{{i}}", ops: [{{unstack: {{over: i}}}}]}}']
        if shape[0] % 2 == 0:
            rules += [f"- {{from: {path}, to: [{name}a, {name}b], ops: [split]}}"]
    return rules


@st.composite
def random_chains(draw):
    """A source and several rule files, each of which fits the target of the one before."""
    source = draw(SOURCES)
    abstract, chain = checkpoint(source), []
    for version in range(1, draw(st.integers(2, 5)) + 1):
        rules = _random_rules(draw, abstract.tree, version)
        (plan,) = plan_steps(abstract, [rule_file(rules, version)], link=False)
        if not plan.applicable or not plan.tasks:
            break
        one = _with_creation(draw, plan.target, rules, version) if draw(st.booleans()) else (rules, None)
        (plan,) = plan_steps(abstract, [rule_file(one[0], version, one[1])], link=False)
        assert plan.applicable, [d.message for d in plan.diagnostics]
        chain.append(one)
        abstract = result_of(plan)
    return source, chain


@st.composite
def random_rules(draw, tree):
    """The rules of one rule file that fit a tree."""
    return _random_rules(draw, tree, 1)


def _random_rules(draw, tree, version):
    rules = []
    free = {"/".join(path): leaf.aval for path, leaf in tree.leaves.items()}
    while free and draw(st.integers(0, 3)):
        name = f"v{version}{len(rules)}x"
        path = draw(st.sampled_from(sorted(free)))
        aval = free.pop(path)
        alike = [other for other in sorted(free) if free[other] == aval]
        if alike and draw(st.booleans()):
            other = draw(st.sampled_from(alike))
            del free[other]
            op = draw(st.sampled_from(["stack", "concat"])) if aval.shape else "stack"
            rules.append(f"- {{from: [{path}, {other}], to: {name}, ops: [{op}]}}")
        else:
            rules.append(draw(st.sampled_from(_ops(aval.shape, path, name))))
    return "\n".join(rules)


def _with_creation(draw, tree, rules, version):
    """The rules with one more leaf, of the shape and dtype of a leaf that there is, and the target that they need."""
    kind = draw(st.sampled_from(["zeros", "ones", "{constant: 2}"]))
    leaf = draw(st.sampled_from(list(tree.leaves.values())))
    target = OfTree(AbstractTree.build([*tree.leaves.items(), ((f"v{version}new",), leaf)], tree.containers))
    return f"{rules}\n- {{create: {{to: v{version}new, init: {kind}}}}}".lstrip(), target
