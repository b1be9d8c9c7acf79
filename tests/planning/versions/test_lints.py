import pytest

from migrate.planning.versions.lints import lint
from tests.planning.trees import planned

SOURCE = {"a": "2,3", "b": "2,3", "c": "4", "n": "none"}
FIRST = "rules.yaml:1:1"


def found(rules, source=SOURCE, target=None):
    plan = planned(rules, source, target)
    assert plan.applicable, [one.message for one in plan.diagnostics]
    return [(one.code, one.severity, str(one.span), " ".join(one.paths)) for one in lint(plan)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("- drop: a", [("M608", "warning", "rules.yaml:3:9", "a")]),
        ("- drop: '{x:a|b}'", [("M608", "warning", "rules.yaml:3:10", "a b")]),
        ("- drop: {from: a, assert: zero}", []),
        ("- drop: n", []),
        (
            "- {from: c, to: c, ops: [{cast: {to: bfloat16, lossy: true}}]}",
            [("M609", "warning", "rules.yaml:3:10", "c")],
        ),
        ("- {from: c, to: c, ops: [{cast: {to: float32, lossy: true}}]}", []),
        ("- {from: c, to: c, ops: [{cast: float16}]}", []),
        ("- '{x:a|b} -> {x}/w'", [("M610", "warning", "rules.yaml:3:4", "a/w b/w")]),
        ("- c -> d", []),
        (
            "- {from: c, to: d, ops: [{slice: {axis: 0, start: 0, stop: 2}}]}",
            [("M610", "warning", "rules.yaml:3:10", "d"), ("M611", "warning", "rules.yaml:3:10", "c")],
        ),
        ("- {from: '{x:a|b}', to: '{x}/w', ops: [transpose]}", [("M610", "warning", "rules.yaml:3:11", "a/w b/w")]),
        ("", []),
    ],
)
def test_each_loss_is_found_with_its_rule_and_its_leaves(rules, expected):
    assert expected == found(rules)


def test_leaves_that_no_rule_drops_are_found_at_the_start_of_the_file():
    rules = "unmatched: {source: drop}\nrules: []"
    assert [("M608", "warning", FIRST, "b c")] == found(rules, target={"a": "2,3"})


def test_with_a_probe_unproved_leaves_are_no_finding():
    rules = "rules:\n  - '{x:a|b} -> {x}/w'"
    assert ["M610"] == [code for code, *_ in found(rules)]
    assert [] == found(f'probe: "m:f"\n{rules}')


def test_the_message_names_the_op_and_the_dtype():
    plan = planned(
        "- {from: c, to: d, ops: [{slice: {axis: 0, start: 0, stop: 2}}, {cast: {to: float16, lossy: true}}]}", SOURCE
    )
    messages = [one.message for one in lint(plan)]

    assert "the cast to float16 may change values of these leaves" in messages
    assert any(text.startswith("`slice` has no inverse: the elements") for text in messages)


def test_moments_are_judged_with_their_params():
    state = {f"opt/0/{slot}/{name}": "2,3" for slot in ("mu", "nu") for name in ("a", "b")}
    rules = "rules:\n  - {from: 'p/{x}', to: 'q/{x}', ops: [{cast: {to: float16, lossy: true}}]}"
    source = {"p/a": "2,3", "p/b": "2,3", "opt/0/count": "int32:", **state}
    target = {path.replace("p/", "q/") if path[0] == "p" else path: text for path, text in source.items()}
    target = {path: "float16:2,3" if text == "2,3" else text for path, text in target.items()}
    plan = planned(rules, source, target)

    assert any(task.follows for task in plan.tasks)
    assert {"M609": ("p/a", "p/b"), "M610": ("q/a", "q/b")} == {one.code: one.paths for one in lint(plan)}
