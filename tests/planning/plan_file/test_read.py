"""Reading is strict: what a plan file claims is computed again. Covers `read` and `read_tasks`."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.errors import MigrateError, PlanError
from migrate.planning.plan_file.write import plan_text
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.sharding import parse_mesh
from migrate.tree import ChunkShapes, Sharding
from tests.matrix import examples
from tests.planning.invert.test_laws import plans
from tests.planning.plan_file.plans import again, edited, read, small
from tests.planning.trees import Template, checkpoint


def same(one, other):
    """Two plans decide the same about every leaf, and are drawn the same."""
    assert one.digest == other.digest
    assert one.target.leaves == other.target.leaves
    for mine, theirs in ((one.tasks, other.tasks), (one.dropped, other.dropped), (one.created, other.created)):
        assert [(str(a.rule), _bare(a)) for a in mine] == [(str(b.rule), _bare(b)) for b in theirs]


def _bare(entry):
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__ if name not in ("rule", "leaf")}


@given(plans())
@settings(max_examples=examples(40))
def test_any_plan_is_read_as_it_was(case):
    _, plan = case
    same(plan, again(plan))
    assert plan_text(plan) == plan_text(again(plan))


def test_a_plan_with_drops_and_creations():
    template = {"b/0/w": "2,3", "b/1/w": "2,3", "new": "7", "e": "{}", "n": "none", "k": "key<fry>:"}
    rules = """
- "a/{i}/w -> b/{i}/w"
- drop: old
- create: {to: new, init: template}
- create: {to: k, init: {rng: {seed: 3}}}
"""
    source = {"a/0/w": "2,3", "a/1/w": "2,3", "old": "5", "none": "none"}
    plan = small(rules, source, template)
    same(plan, again(plan))
    assert again(plan).calls_model


def test_an_op_that_binds_to_each_target():
    plan = small(
        "- {from: a, to: [x, y], ops: [{cast: template}, {flip: 0}]}", {"a": "3"}, {"x": "bfloat16:3", "y": "int8:3"}
    )
    assert plan.tasks[0].steps[0].bound
    assert [["cast: {to: bfloat16}", "cast: {to: int8}"], "flip: {axis: 0}"] == json.loads(plan_text(plan))["tasks"][0][
        "ops"
    ]
    assert plan.tasks[0].steps == again(plan).tasks[0].steps
    same(plan, again(plan))


def bind(content, ops, groups):
    content["tasks"][0].update(ops=[ops], groups=[groups])


@pytest.mark.parametrize(
    ("ops", "groups", "message"),
    [
        (["cast: {to: int8}", "flip: {axis: 0}"], [[0], [0]], "a list of ops has one op with the fields of each group"),
        (["cast: {to: int8}", "cast: {to: int4}"], [[0]], "`cast` has 2 ops for 1 groups"),
        (["cast: {to: int8}", "cast: {to: template}"], [[0], [0]], "has the field `template`"),
    ],
)
def test_ops_of_groups_that_contradict_each_other(ops, groups, message):
    with pytest.raises(PlanError) as caught:
        read(edited(small(), lambda content: bind(content, ops, groups)))
    assert message in caught.value.diagnostics[0].message


def test_moments_with_their_params_and_states():
    params = {"l/0/w": "2,3", "l/1/w": "2,3"}
    moments = {f"opt_state/0/{slot}/{path}": leaf for slot in ("mu", "nu") for path, leaf in params.items()}
    source = {**{f"params/{path}": leaf for path, leaf in params.items()}, **moments, "opt_state/0/count": "int32:"}
    plan = small("- {from: 'params/l/{i}/w', to: params/w, ops: [{stack: {over: i}}]}", source)
    assert any(task.follows for task in plan.tasks)
    same(plan, again(plan))


def test_shardings():
    target = Template({"a": "4,2", "b": "3"})
    leaves = target.tree.leaves
    split = {**leaves, ("a",): _split(leaves[("a",)])}
    target.tree = type(target.tree)(split)
    rules = parse_rules("migrate: 1\nrules: []", "rules.yaml")
    plan = make_plan(checkpoint({"a": "4,2", "b": "3"}), rules, target, mesh=parse_mesh("data=2,model=2"))
    same(plan, again(plan))
    assert (("data",), ("model",)) == again(plan).target.leaves[("a",)].sharding.spec


def _split(leaf):
    return type(leaf)(leaf.kind, leaf.aval, sharding=Sharding((), (("data",), ("model",))))


def test_code_has_its_place_in_the_plan_file():
    op = "{call: {function: 'f:g', shape: [2]}}"
    rules = f"probe: 'p:f'\ntarget: {{template: 'm:make'}}\nrules:\n- {{from: a, to: b, ops: [{op}]}}"
    rules = read(plan_text(small(rules, {"a": "2"}, {"b": "2"}))).rules
    references = (*rules.template_code, *rules.call_code, *rules.probe_code)
    assert ["tests:template", "f:g", "p:f"] == [one.spec for one in references]
    assert {"plan.json"} == {one.file for one in references}
    assert {("/project/plan.json",)} == {one.places for one in references}


def task(content, number=0):
    return content["tasks"][number]


EDITS = {
    "an unknown field": (lambda c: task(c).update(form={}), "a task has no field `form`", "M101"),
    "an unknown field at the top": (lambda c: c.update(extra=1), "a plan file has no field `extra`", "M101"),
    "another type": (lambda c: task(c).update(rule=3), "`rule` must be `file:line:column`, not `3`", "M104"),
    "no version": (lambda c: c.pop("migrate_plan"), "a plan file needs the field `migrate_plan`", None),
    "another version": (lambda c: c.update(migrate_plan=2), "the version of the plan file is `2`", "M321"),
    "no tasks": (lambda c: c.pop("tasks"), "a plan file needs the field `tasks`", "M320"),
    "a task without targets": (
        lambda c: task(c).update(to={}),
        "`to` must be a mapping of key paths to leaves",
        "M104",
    ),
    "a leaf that is no text": (lambda c: task(c).update(to={"b": 1}), "`b` must be a mapping", "M104"),
    "a source twice": (lambda c: c["tasks"].append(task(c)), "is in two entries", "M320"),
    "a lost leaf": (lambda c: c["dropped"].clear(), "the leaves of the plan have the source structure", "M320"),
    "another shape": (lambda c: task(c).update(to={"b/0/w": "float32[3,2]"}), "its task makes float32[2,3]", "M320"),
    "another dtype": (
        lambda c: task(c).update(to={"b/0/w": "int32[2,3]"}),
        "is int32[2,3], but its task makes",
        "M320",
    ),
    "another target": (lambda c: task(c).update(to={"z": "float32[2,3]"}), "the target structure", "M320"),
    "an op that does not fit": (
        lambda c: task(c).update(ops=["transpose: {perm: [0, 1, 2]}"]),
        "`transpose` does not fit float32[2,3]",
        "M320",
    ),
    "an unknown op": (lambda c: task(c).update(ops=["transpos: {}"]), "unknown op `transpos`", "M102"),
    "a field for the template": (
        lambda c: task(c).update(ops=["cast: {to: template}"]),
        "has the field `template`",
        "M320",
    ),
    "groups beyond the arrays": (
        lambda c: stacked(c).update(groups=[[[0, 2]], []]),
        "`groups` of `stack` do not fit 2 arrays",
        "M320",
    ),
    "an array that no group has": (
        lambda c: stacked(c).update(groups=[[[0]], []]),
        "`groups` of `stack` do not fit 2 arrays",
        "M320",
    ),
    "a source that no target has": (
        lambda c: task(c)["from"].update({"a/1/w": c["tasks"].pop(1)["from"]["a/1/w"]}),
        "2 arrays do not fit 1 targets",
        "M320",
    ),
    "too few groups": (lambda c: stacked(c).update(groups=[[]]), "`groups` has 1 entries for 2 ops", "M320"),
    "outputs beyond the arrays": (lambda c: stacked(c).update(outputs=[1]), "1 arrays do not fit 1 targets", "M320"),
    "a false proof": (lambda c: task(c).update(proof="name"), "`proof` is `name`, but nothing proves `b/0/w`", "M320"),
    "an absolute path": (lambda c: c["rules"].update(file="/etc/passwd"), "is an absolute path", "M320"),
    "a key path in another spelling": (lambda c: task(c).update(to={"b/0\\/w": "float32[2,3]"}), "", None),
    "an unknown dtype": (lambda c: task(c).update(to={"b/0/w": "float33[2,3]"}), "its task makes", "M320"),
    "a creation of nothing": (lambda c: c["created"].append({"to": {"z": "float32[2]"}}), "need an `init`", "M320"),
    "an impossible value": (
        lambda c: c["created"].append({"to": {"z": "int8[2]"}, "init": "{constant: 0.5}"}),
        "cannot create",
        "M320",
    ),
    "two leaves in a drop": (
        lambda c: c["dropped"][0]["from"].update(z="int8[2]"),
        "an entry has one leaf, not 2",
        "M320",
    ),
    "an error as a note": (lambda c: c["notes"].append(note(severity="error")), "`severity` must be", "M104"),
    "an unknown note": (lambda c: c["notes"].append(note(code="M000")), "not the number of a diagnostic", "M320"),
    "a spec of no array": (lambda c: c["target"].update(specs={"zz": [["data"]]}), "which is no array", "M320"),
    "a mesh with an axis twice": (
        lambda c: c["target"].update(mesh={"d": 2}, specs={"b/0/w": [["d"], ["d"]]}),
        "names the axis `d` twice",
        "M307",
    ),
}


def stacked(content):
    return next(entry for entry in content["tasks"] if "ops" in entry)


def note(**changes):
    return {"code": "M201", "severity": "note", "message": "m", **changes}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_refused_with_the_place(name):
    change, message, code = EDITS[name]
    with pytest.raises(PlanError) as caught:
        read(edited(small(), change))
    found = caught.value.diagnostics[0]
    assert message in found.message
    assert code in (None, found.code)
    assert found.span is not None
    assert "plan.json" == found.span.file


def test_several_mistakes_are_found_together():
    def change(content):
        for entry in content["tasks"]:
            entry["ops"] = ["flip: {axis: 9}"]

    with pytest.raises(PlanError) as caught:
        read(edited(small(), change))
    assert len(json.loads(plan_text(small()))["tasks"]) == len(caught.value.diagnostics)


SCALARS = (None, 0, -1, 10**30, 0.5, True, "", "x", "float32[2]")
PLAIN = json.loads(plan_text(small()))


@given(st.data())
@settings(max_examples=examples(100))
def test_no_edit_is_a_bug(data):
    """A value anywhere in the file is replaced by another: the file is read or refused, and never fails otherwise."""
    content = json.loads(json.dumps(PLAIN))
    node, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(
        st.sampled_from(
            [
                None,
                0,
                -1,
                10**30,
                0.5,
                True,
                "",
                "x",
                "float32[2]",
                [],
                [[0]],
                [[[0, 0]]],
                {},
                {"a": "b"},
                ["call: {function: 'os:system'}"],
            ]
        )
    )
    with suppress(MigrateError):
        read(json.dumps(content))


def test_chunks_that_were_chosen_are_those_of_an_array_of_the_target():
    plan = small('- "a -> x"', {"a": "4,6", "n": "none"})
    assert ChunkShapes((4, 3), (2, 3)) == read(_with_chunks(plan, {"x": [[4, 3], [2, 3]]})).target.leaves[("x",)].chunks
    assert ChunkShapes((2, 3), (2, 3)) == read(_with_chunks(plan, {"x": [[2, 3]]})).target.leaves[("x",)].chunks


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ({"y": [[2, 3]]}, "`chunks` names `y`, which is no array of the target"),
        ({"n": [[2, 3]]}, "`chunks` names `n`, which is no array of the target"),
        ({"x": [[2]]}, "`chunks` of `x` are no chunks of float32[4,6]"),
        ({"x": [[2, 0]]}, "`chunks` of `x` are no chunks of float32[4,6]"),
        ({"x": []}, "`chunks` of `x` are no chunks of float32[4,6]"),
        ({"x": [[4, 3], [3, 3]]}, "`chunks` of `x` are no chunks of float32[4,6]"),
        ({"x": [[2, "3"]]}, "must be an integer"),
    ],
)
def test_other_chunks_are_refused(chunks, message):
    plan = small('- "a -> x"', {"a": "4,6", "n": "none"})
    with pytest.raises(PlanError) as caught:
        read(_with_chunks(plan, chunks))
    assert message in " ".join(one.message for one in caught.value.diagnostics)


def _with_chunks(plan, chunks):
    return edited(plan, lambda content: content["target"].update(chunks=chunks))
