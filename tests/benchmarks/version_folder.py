"""Writes a folder of rule files and recorded trees: the versions of a transformer with the state of adam.

Every step changes one thing that model code changes: names of layers, fused and split projections, stacked layers, an
orientation, a dtype, the optimizer's chain, a created or a dropped leaf. Params that move take their moments along.

python -m tests.benchmarks.version_folder FOLDER [VERSIONS [LEAVES]]
"""

import subprocess
import sys
from pathlib import Path

from migrate.planning.planner import make_plan
from migrate.planning.versions.chain import recorded_source
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import RecordedTree, tree_text
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, parse_path

WIDTH = 64
PER_BLOCK = 33
"""Leaves of a block: eleven params with two moments each."""

HEADS = "['params/block_{i}/attention/query/kernel', 'params/block_{i}/attention/key/kernel', \
'params/block_{i}/attention/value/kernel']"
FUSED = "'params/block_{i}/attention/qkv/kernel'"
BIAS, BIASES = "'params/block_{i}/mlp/up/bias'", "params/up_bias"
SCALE = "'params/block_{i}/{norm}/scale'"
TURN = "- {from: params/head/kernel, to: params/head/kernel, ops: [transpose]}"
CHANGES = (
    "- 'params/block_{i}/attn/** -> params/block_{i}/attention/**'",
    f"- {{from: {HEADS}, to: {FUSED}, ops: [{{concat: 1}}]}}",
    "- 'opt_state/0/** -> opt_state/1/**'",
    TURN,
    f"- {{from: {BIAS}, to: {BIASES}, ops: [{{stack: {{axis: 0, over: i}}}}]}}",
    f"- {{from: {SCALE}, to: {SCALE}, ops: [{{cast: {{to: bfloat16, lossy: true}}}}]}}",
    "- 'params/embed -> params/token_embed'",
    "- create: {to: params/gain, init: ones}",
    f"- {{from: {BIASES}, to: {BIAS}, ops: [{{unstack: {{axis: 0, over: i}}}}]}}",
    f"- {{from: {FUSED}, to: {HEADS}, ops: [{{split: 1}}]}}",
    "- drop: params/gain",
    "- 'opt_state/1/** -> opt_state/0/**'",
    f"- {{from: {SCALE}, to: {SCALE}, ops: [{{cast: {{to: float32}}}}]}}",
    "- 'params/token_embed -> params/embed'",
    TURN,
    "- 'params/block_{i}/attention/** -> params/block_{i}/attn/**'",
)
"""The rules of the steps; after the last of them, the tree is that of the first version."""


def write_folder(folder, versions=50, leaves=2_000):
    """Writes `2.yaml`, …, `1.tree.json`, … and the lock file."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = first_tree(leaves)
    for version in range(1, versions + 1):
        recorded = RecordedTree("models:lm", "lm", version, tree, frozenset({"scale_by_adam"}))
        (folder / f"{version}.tree.json").write_text(tree_text(recorded))
        if version < versions:
            rules = CHANGES[(version - 1) % len(CHANGES)]
            after = target_of(recorded, rules)
            (folder / f"{version + 1}.yaml").write_text(rule_file(rules, version, tree, after))
            tree = after
    subprocess.run([sys.executable, "-m", "migrate", "check", folder, "--write"], check=True, stdout=subprocess.DEVNULL)


def rule_file(rules, version, before, after):
    """The rule file from one version to the next, with both structures."""
    guard = f"source: {{model: lm, version: {version}, structure: '{before.structure_hash}'}}\n"
    place = f"model: lm, version: {version + 1}, template: 'models:lm', structure: '{after.structure_hash}'"
    return f"migrate: 1\n{guard}target: {{{place}}}\nrules:\n{rules}\n"


def target_of(recorded, rules):
    """The tree after a rule file: the one that its rules derive, with the leaf that it creates and its moments."""
    plan = make_plan(recorded_source(recorded), parse_rules(f"migrate: 1\nrules:\n{rules}\n", "rules.yaml"), None)
    (adam,) = {path[1] for path in plan.target.leaves if path[0] == "opt_state"}
    places = [parse_path(place) for place in ("params/gain", f"opt_state/{adam}/mu/gain", f"opt_state/{adam}/nu/gain")]
    made = dict.fromkeys(places, array(WIDTH)) if "create" in rules else {}
    leaves = {path: AbstractLeaf(leaf.kind, leaf.aval) for path, leaf in plan.target.leaves.items()}
    kept = [(path, leaf) for path, leaf in (leaves | made).items() if "drop" not in rules or path not in places]
    return AbstractTree.build(kept, {("opt_state",): "list"})


def first_tree(leaves):
    """A transformer of about so many leaves, and the state of adam."""
    params = {f"block_{i}/{name}": leaf for i in range(leaves // PER_BLOCK) for name, leaf in block().items()}
    params |= {"embed": array(256, WIDTH), "head/kernel": array(WIDTH, 256)}
    places = ("params", "opt_state/0/mu", "opt_state/0/nu")
    found = {f"{place}/{name}": leaf for place in places for name, leaf in params.items()}
    found |= {"opt_state/0/count": array(dtype="int32"), "step": array(dtype="int32")}
    return AbstractTree.build([(parse_path(path), leaf) for path, leaf in found.items()], {("opt_state",): "list"})


def block():
    """The params of one block."""
    kernels = {f"attn/{name}/kernel": array(WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
    mlp = {"mlp/up/kernel": array(WIDTH, 4 * WIDTH), "mlp/down/kernel": array(4 * WIDTH, WIDTH)}
    biases = {"attn/out/bias": array(WIDTH), "mlp/up/bias": array(4 * WIDTH), "mlp/down/bias": array(WIDTH)}
    norms = {f"norm_{i}/scale": array(WIDTH) for i in (1, 2)}
    return kernels | mlp | biases | norms


def array(*shape, dtype="float32"):
    """One leaf."""
    return AbstractLeaf("array", AbstractArray(shape, dtype))


if __name__ == "__main__":
    write_folder(Path(sys.argv[1]), *map(int, sys.argv[2:]))
