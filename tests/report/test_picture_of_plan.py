"""What happens to every leaf, as a picture: covers `picture` and `picture_of_plan`."""

import json

import numpy as np
import optax
import pytest

from migrate.engine.verification.run_statistics import RunStatistics
from migrate.engine.verification.value_statistics import statistics_of
from migrate.planning.model import Plan
from migrate.report.picture import LeafLink, Picture
from migrate.report.picture_of_plan import plan_picture
from tests.planning.optimizer_trees import state
from tests.planning.trees import planned
from tests.report import vit

RULES = """
- a -> b
- {from: k, to: k2, ops: [{transpose: [1, 0]}]}
- {from: s, to: s2, ops: [{add: 1}]}
- {from: h, to: h2, ops: [{cast: {to: bfloat16, lossy: true}}]}
- {from: "layers/{i}", to: layers, ops: [{stack: {axis: 0, over: i}}]}
- drop: gone
- create: {to: fresh, init: zeros}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    source = dict.fromkeys(("same", "a", "k", "s", "h", "gone", "layers/0", "layers/1"), "2,3")
    target = {
        **dict.fromkeys(("same", "b", "s2", "fresh"), "2,3"),
        "k2": "3,2",
        "h2": "bfloat16:2,3",
        "layers": "2,2,3",
    }
    return planned(RULES, source, target)


def link_to(picture: Picture, path: str) -> LeafLink:
    (index,) = [n for n, leaf in enumerate(picture.trees[1].leaves) if "/".join(leaf.path) == path]
    (link,) = [link for link in picture.links if index in link.targets]
    return link


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("same", "kept"),
        ("b", "renamed"),
        ("k2", "restructured"),
        ("s2", "computed"),
        ("h2", "cast"),
        ("layers", "restructured"),
        ("fresh", "created"),
    ],
)
def test_a_leaf_has_the_kind_of_what_happens_to_it(plan: Plan, path: str, kind: str):
    assert kind == link_to(plan_picture(plan, "new"), path).kind


def test_every_leaf_of_both_trees_has_a_link(plan: Plan):
    picture = plan_picture(plan, "new")
    for tree, end in zip(picture.trees, ("sources", "targets"), strict=True):
        assert set(range(len(tree.leaves))) == {leaf for link in picture.links for leaf in getattr(link, end)}


def test_joined_leaves_are_one_link(plan: Plan):
    assert 2 == len(link_to(plan_picture(plan, "new"), "layers").sources)


def test_the_rule_stands_beside_what_it_did():
    text = "migrate: 1\nrules:\n  - a -> b\n"
    plan = planned("- a -> b", {"a": "2"}, {"b": "2"})
    (rule,) = plan_picture(plan, "new", lambda _: text).rules
    assert rule.text in text
    assert rule.text.strip()


def test_slots_of_an_optimizer_follow_the_link_of_their_param():
    adam = optax.adam(1e-3)
    source = state(adam, {"old/kernel": (4, 6), "old/bias": (6,)})
    target = state(adam, {"new/kernel": (4, 6), "new/bias": (6,)}, params="model", opt_state="optimizer/opt_state")
    picture = plan_picture(planned('- "params/old/** -> model/new/**"', source, target), "new")
    followers = [link for link in picture.links if link.follows is not None]
    assert followers
    for link in followers:
        param = picture.links[link.follows]
        paths = [picture.trees[0].leaves[end.sources[0]].path for end in (link, param)]
        assert paths[0][-1] == paths[1][-1]
        assert "params" == paths[1][0]


def test_a_plan_that_cannot_be_applied_has_a_picture():
    picture = plan_picture(vit.plan(covered=False), "new")
    assert picture.links
    json.dumps(picture.to_json())


def test_only_kinds_that_occur_are_filters(plan: Plan):
    assert {"kept": "kept"} == plan_picture(planned("", {"a": "2"}, {"a": "2"}), "new").labels
    assert {link.kind for link in plan_picture(plan, "new").links} == set(plan_picture(plan, "new").labels)


def test_leaves_and_links_have_the_statistics_of_a_run(plan: Plan):
    one, two = statistics_of(np.zeros(6)), statistics_of(np.ones(6))
    layers = {("layers", "0"): one, ("layers", "1"): two}
    picture = plan_picture(plan, "new", measured=RunStatistics({**layers, ("h",): one}, {("h2",): two}))
    joined, cast = link_to(picture, "layers"), link_to(picture, "h2")
    assert (one + two, None) == (joined.before, joined.after)
    assert (None, None) == (cast.before, cast.after)
    old, new = (tree.leaves for tree in picture.trees)
    assert [one, two] == [old[cast.sources[0]].statistics, new[cast.targets[0]].statistics]
    drawn = picture.to_json()
    assert 3 == len(drawn["statistics"])
    assert drawn["trees"][0]["leaves"][cast.sources[0]][3] == drawn["trees"][0]["leaves"][joined.sources[0]][3]


def test_a_plan_that_was_not_run_has_no_statistics(plan: Plan):
    drawn = plan_picture(plan, "new").to_json()
    assert "statistics" not in drawn
    assert {3} == {len(leaf) for tree in drawn["trees"] for leaf in tree["leaves"]}
