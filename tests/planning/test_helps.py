"""A rule that a help proposes works: pasted into the rule file, it makes its finding disappear."""

import re

import optax
import pytest

from migrate.rules.loader import parse_rules
from tests.planning.moments.networks import adam, net
from tests.planning.moments.test_ownership import RULES, target, twins
from tests.planning.moments.test_pairing import CRITICS, ENSEMBLE, STACK
from tests.planning.optimizer_trees import state
from tests.planning.trees import planned

ADAM = optax.adam(1e-3)
W = {"w": (2, 3)}


def new(tx, shapes):
    return state(tx, shapes, params="model", opt_state="optimizer/opt_state")


def move(ops, **fields):
    more = "".join(f", {name}: {value}" for name, value in fields.items())
    return f"- {{from: params/w, to: model/w, ops: [{ops}]{more}}}\n"


MASKED = {path: "none" if path.endswith("mu/b") else text for path, text in new(ADAM, {"a": (2,), "b": (2,)}).items()}
CASES = {
    "a leaf in the wrong optimizer": (
        RULES.format("models/") + '- "ab/opt_state/0/mu/d/bias -> optimizers/g_x2y/opt_state/0/mu/fc/bias"\n',
        twins(),
        target(["optimizers/g_y2x", "optimizers/g_x2y"], "models/"),
    ),
    "optimizers that nothing tells apart": (RULES.format(""), twins(), target(["opt0", "opt1"])),
    "counts of several optimizers": (STACK, CRITICS, ENSEMBLE),
    "a copy of another name": (
        '- "params/d/** -> model/fc/**"\n',
        net("params", "d") | net("ema_params", "d"),
        net("model") | net("slow"),
    ),
    "a state that could be two": (
        '- "params/** -> model/**"\n',
        state(optax.chain(optax.ema(0.9)), W),
        new(optax.chain(optax.ema(0.9), optax.ema(0.5)), W),
    ),
    "a transform that is new": (
        '- "params/** -> model/**"\n',
        state(ADAM, W),
        new(optax.chain(ADAM, optax.ema(0.9)), W),
    ),
    "a transform that is gone": (
        '- "params/** -> model/**"\n',
        state(optax.chain(ADAM, optax.ema(0.9)), W),
        new(ADAM, W),
    ),
    "another optimizer": ('- "params/** -> model/**"\n', state(ADAM, W), new(optax.lion(1e-3), W)),
    "an optimizer that is gone": ('- "params/** -> model/**"\n', state(ADAM, W), {"model/w": "2,3"}),
    "an optimizer that is new": ('- "params/** -> model/**"\n', {"params/w": "2,3"}, new(ADAM, W)),
    "a moment without a place": ('- "params/** -> model/**"\n', state(ADAM, {"a": (2,), "b": (2,)}), MASKED),
    "a scaled param": (move("{scale: 2.0}"), state(ADAM, W), new(ADAM, W)),
    "copies": (move("{tile: [2, 1]}"), state(ADAM, W), new(ADAM, {"w": (4, 3)})),
    "a padded param of adagrad": (
        move("{pad: [[0, 1], [0, 0]]}"),
        state(optax.adagrad(1), W),
        new(optax.adagrad(1), {"w": (3, 3)}),
    ),
    "state of an unknown form": (
        "- {from: params/d/w, to: model/d/w, ops: [transpose]}\n",
        state(optax.sm3(1), {"d/w": (3, 3)}),
        new(optax.sm3(1), {"d/w": (3, 3)}),
    ),
    "a key of another implementation": ("", {"rng": "key<rbg>:"}, {"rng": "key<fry>:"}),
    "a key of another implementation that moves": ('- "rng -> key"\n', {"rng": "key<rbg>:"}, {"key": "key<fry>:"}),
    "a move to another root without a template": (
        '- "params/d/** -> model/fc/**"\n',
        net("params", "d") | adam("opt_state", "d"),
        None,
    ),
    "words of a key": ("", {"rng": "uint32:2"}, {"rng": "key<fry>:"}),
    "words of a key that a rule moves": ('- "rng -> key"\n', {"rng": "uint32:2"}, {"key": "key<fry>:"}),
    "a key as words": ("", {"rng": "key<fry>:"}, {"rng": "uint32:2"}),
    "a stream that is new": ("", {"w": "2"}, {"w": "2", "rngs/key": "key<fry>:", "rngs/count": "uint32:"}),
    "a stream that is gone": ("", {"w": "2", "rngs/key": "key<fry>:", "rngs/count": "uint32:"}, {"w": "2"}),
    "a transposed leaf": ("", {"a": "3,4"}, {"a": "4,3"}),
    "an odd name": (
        "",
        {"w": "2", "a b/[x]/{c}": "2"} | {"rngs/{k}": "key<fry>:"},
        {"w": "2"},
    ),
}


def identity(finding):
    return finding.code, finding.paths


@pytest.mark.parametrize("name", CASES)
def test_a_proposed_rule_makes_its_finding_disappear(name):
    rules, source, wanted = CASES[name]
    plan = planned(rules, source, wanted)
    assert any(finding.is_error for finding in plan.diagnostics)
    for finding in plan.diagnostics:
        proposed = re.findall(r"`(- .*?)`(?:[ ,;.]|$)", finding.help or "")
        edits = re.findall(r"^add .*?`(moments: \w+)`", finding.help or "")
        if not proposed and not edits:
            continue
        lines = rules.splitlines()
        if edits:
            at = finding.span.line - 3
            lines[at] = f"{lines[at].removesuffix('}')}, {edits[0]}}}"
        if "replace the rule" in (finding.help or ""):
            del lines[finding.span.line - 3]
        text = "\n".join([*lines, *proposed]) + "\n"
        parse_rules("migrate: 1\nrules:\n" + text, "rules.yaml")
        again = planned(text, source, wanted)
        assert identity(finding) not in map(identity, again.diagnostics), text
        new_findings = {each.code for each in again.diagnostics} - {each.code for each in plan.diagnostics}
        assert not new_findings & {"M201", "M202", "M203", "M206"}, (text, again.diagnostics)
