"""Rules of an included file are narrowed as the help proposes, by leaves or by the patterns of the other rule."""

import json
import re

import pytest

from migrate.planning.planner import make_plan
from migrate.rules.loader import load_rules
from tests.planning.trees import Template, checkpoint

MANY = {f"0/extra/{name}": "2" for name in "abcdef"}
SOURCE = {"0/mean": "3", "0/eps": "scalar", **MANY}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stats.yaml").write_text('migrate: 1\nrules: ["0/** -> stats/**"]\n')

    def plan(include, *rules):
        lines = ["migrate: 1", f"include: {include}", "rules:", *rules]
        (tmp_path / "main.yaml").write_text("\n".join(lines) + "\n")
        return make_plan(checkpoint(SOURCE), load_rules("main.yaml"), Template({"stats/mean": "3"}))

    return plan


def test_an_overlap_with_an_included_rule_disappears_with_the_proposed_exception(plan):
    own = ['  - drop: "0/eps"', '  - {drop: {from: "0/extra/{n}"}}']
    before = plan("{file: stats.yaml}", *own)
    assert ["M202", "M202"] == [d.code for d in before.diagnostics][:2]
    helps = [re.fullmatch(r"add `except: (.*)` to the include of `stats.yaml`", d.help) for d in before.diagnostics[:2]]
    excepts = [pattern for found in helps for pattern in json.loads(found[1])]
    assert ["0/eps", "0/extra/{n}"] == sorted(excepts)
    after = plan(f"{{file: stats.yaml, except: {json.dumps(excepts)}}}", *own)
    assert [] == list(after.diagnostics)


def test_a_leaf_of_an_included_rule_that_the_template_lacks_has_a_proposal(plan):
    others = json.dumps(list(MANY))
    before = plan(f"{{file: stats.yaml, except: {others}}}", f"  - drop: {others}")
    finding = next(d for d in before.diagnostics if d.code == "M206")
    excepts = re.search(r"add `except: (.*?)` to the include of `stats.yaml`", finding.help)
    both = json.dumps([*MANY, *json.loads(excepts[1])])
    after = plan(f"{{file: stats.yaml, except: {both}}}", f"  - drop: {others}", *finding.snippet)
    assert [] == list(after.diagnostics)


def test_a_rule_whose_leaves_are_all_left_out_is_no_error_and_one_without_leaves_is(plan):
    rest = ['  - drop: "0/extra/**"', '  - drop: "0/eps"', '  - "0/mean -> stats/mean"']
    assert [] == list(plan('{file: stats.yaml, except: "0/**"}', *rest).diagnostics)
    assert ["M201"] == [
        d.code for d in plan('{file: stats.yaml, except: "0/**"}', *rest, '  - drop: "1/**"').diagnostics
    ]
