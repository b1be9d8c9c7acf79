from migrate.errors import ExitCode
from migrate.report import json, text
from migrate.report.of_inversion import MOST_ROWS, inversion_report
from tests.planning.invert.cases import inverted

RULES = """
- "params/L_{i}/** -> l/{i}/**"
- {from: params/emb, to: [in, out]}
- {from: params/half, to: half, ops: [{cast: {to: bfloat16, lossy: true}}]}
- {from: params/cut, to: cut, ops: [{slice: {axis: 0, stop: 1}}]}
- drop: "params/old_{i}/**"
- create: {to: "new/**", init: zeros}
"""
SOURCE = {
    **{f"params/L_{i}/w": "3" for i in range(3)},
    **{f"params/old_{i}/{name}": "3" for i in range(3) for name in ("kernel", "bias")},
    "params/emb": "3",
    "params/half": "3",
    "params/cut": "3",
    "opt_state/1": "none",
}
TARGET = {
    **{f"l/{i}/w": "3" for i in range(3)},
    "in": "3",
    "out": "3",
    "half": "bfloat16:3",
    "cut": "1",
    "new/a": "3",
    "new/b": "3",
}


def report(**options):
    return inversion_report(inverted(RULES, SOURCE, TARGET), "rules.yaml", "old", "back.yaml", **options)


def test_an_inversion_as_text(golden):
    golden("report/inversion.txt", text.draw(report()))


def test_an_inversion_as_json(golden):
    golden("report/inversion.json", json.draw(report()))


def test_what_is_lost_makes_the_answer_no():
    assert ExitCode.NO == report().exit_code
    assert ExitCode.OK == inversion_report(inverted("- a -> b", {"a": "3"}), "rules.yaml", "old", "back.yaml").exit_code


def test_a_long_list_is_cut_until_asked_for():
    letters = "abcdefg"
    source = {f"{a}{b}/{a}": "3" for a in letters for b in letters} | {"kept": "3"}
    inversion = inverted("\n".join(f'- drop: "{path}"' for path in source if path != "kept"), source)
    brief = inversion_report(inversion, "rules.yaml", "old", "back.yaml")
    assert MOST_ROWS == len(brief.rows)
    assert "… 9 more lines (-v shows all)" == brief.omitted
    assert 49 == len(inversion_report(inversion, "rules.yaml", "old", "back.yaml", verbose=True).rows)
