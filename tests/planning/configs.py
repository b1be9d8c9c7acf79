"""Configs in tests: checkpoints with hyperparameters and a JSON item, plans of `config:` rules, and random rules."""

from hypothesis import strategies as st

from migrate.metadata import Metadata, merge
from migrate.planning.config import configs_of, flatten
from migrate.planning.planner import make_plan
from migrate.planning.versions.chain import result_of
from migrate.rules.loader import parse_rules
from migrate.tree import format_path
from tests.planning.trees import checkpoint

HEAD = "migrate: 1\nrules: []\nconfig:\n"


def source(record=None, /, **items):
    """A checkpoint with these hyperparameters and JSON items."""
    metadata = {} if record is None else merge({}, Metadata(hyperparameters=record))
    return checkpoint({"w": "2"}, metadata=metadata, extras=items)


def planned_config(rules, checkpoint, template=None):
    """The plan of the lines below `config:`."""
    return make_plan(checkpoint, parse_rules(HEAD + rules, "rules.yaml"), template)


def contents(plan):
    """The configs of the target of a plan."""
    assert plan.applicable, [d.message for d in plan.diagnostics]
    return configs_of(result_of(plan))


def after(rules, record=None, /, **items):
    """The hyperparameters after the rules."""
    return contents(planned_config(rules, source(record, **items)))[""]


def mistakes(rules, record=None, /, **items):
    """The code and the message of every finding."""
    return [(d.code, d.message) for d in planned_config(rules, source(record, **items)).diagnostics]


NAMES = ("a", "b", "c", "d", "m/a", "m/b", "n/x/y", "n/x/z", "odd name", "k-1", "l/{i}")
CONFIGS = st.dictionaries(
    st.sampled_from([("a",), ("b",), ("m", "a"), ("m", "b"), ("n", "x", "y")]), st.integers(1, 99)
)
SPARE = [("c",), ("d",), ("m", "c"), ("n", "x", "z"), ("odd name",), ("k-1",), ("l", "{i}"), ("*",)]
JSON = st.sampled_from([True, None, 7, 1.5, "gelu", "{x}", r"a\{b}", [1, {"y": 2}], {}, {"z": [1]}, -3])


@st.composite
def random_rules(draw, leaves, exact=True):
    """Rules that fit a config, as mappings; `exact` leaves out those that cannot be inverted."""
    free = draw(st.permutations([path for path in SPARE if path not in leaves]))
    rules = []
    for path, value in leaves.items():
        kinds = ["keep", "rename", *([] if exact else ["drop", "replace", "compute", "use"])]
        kind = draw(st.sampled_from(kinds))
        name = format_path(path)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if kind == "drop":
            rules.append({"drop": name})
        elif kind == "replace":
            rules.append({"from": name, "to": name, "value": draw(st.integers(0, 9))})
        elif kind in ("rename", "compute", "use") and free:
            target = format_path(free.pop())
            formula = f"{{{name}}} * {draw(st.integers(2, 5))} + 1" if is_number else f"{{{name}}}"
            fields = {"from": name} if kind != "use" else {}
            rules.append({**fields, "to": target, **({"value": formula} if kind != "rename" else {})})
    if free and draw(st.booleans()):
        value = draw(st.integers(0, 9) if not exact else JSON)
        written = value.replace("{", r"\{") if isinstance(value, str) else value
        rules.append({"to": format_path(free.pop()), "value": written})
    return rules


def leaves_of(checkpoint, item=""):
    return flatten(configs_of(checkpoint)[item])
