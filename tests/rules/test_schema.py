"""The JSON Schema accepts and refuses the same files as the loader."""

import re

import pytest
import yaml

from migrate.errors import RuleFileError
from migrate.ops.registry import OPS
from migrate.rules.loader import parse_rules
from migrate.rules.schema import json_schema

SCHEMA = json_schema()
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
KEYWORDS = {
    *("$schema", "$ref", "title", "description", "definitions", "type", "enum", "const", "anyOf", "properties"),
    *("required", "additionalProperties", "items", "minItems", "maxItems", "minProperties", "maxProperties", "pattern"),
}


def of_type(value, name):
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))


def accepts(schema, value):
    """Whether a schema accepts a value, for the keywords that ours uses."""
    assert schema.keys() <= KEYWORDS
    if "$ref" in schema:
        return accepts(SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]], value)
    types = schema.get("type", [])
    return (
        (not types or any(of_type(value, name) for name in ([types] if isinstance(types, str) else types)))
        and ("enum" not in schema or value in schema["enum"])
        and ("const" not in schema or value == schema["const"])
        and ("anyOf" not in schema or any(accepts(one, value) for one in schema["anyOf"]))
        and ("pattern" not in schema or not isinstance(value, str) or re.search(schema["pattern"], value) is not None)
        and (not isinstance(value, dict) or accepts_object(schema, value))
        and (not isinstance(value, list) or accepts_array(schema, value))
    )


def accepts_object(schema, value):
    extra = schema.get("additionalProperties", True)
    known = schema.get("properties", {})
    return (
        all(name in value for name in schema.get("required", ()))
        and schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value))
        and all(
            accepts(known[k], v) if k in known else extra is True or (extra is not False and accepts(extra, v))
            for k, v in value.items()
        )
    )


def accepts_array(schema, value):
    bounded = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
    return bounded and all(accepts(schema.get("items", {}), item) for item in value)


def loader_accepts(data):
    try:
        parse_rules(yaml.safe_dump(data), "r.yaml")
    except RuleFileError:
        return False
    return True


def file_of(*rules, **fields):
    return {"migrate": 1, "rules": list(rules), **fields}


def with_ops(*ops):
    return file_of({"from": "a", "to": "b", "ops": list(ops)})


GOOD = [
    file_of(),
    file_of("a -> b"),
    file_of({"from": ["a", {"regex": "b"}], "to": ["c", "d"], "except": "x", "optional": True, "moments": "reset"}),
    file_of({"from": 0, "to": 1}),
    file_of({"drop": "a"}, {"drop": ["a", "b"]}, {"drop": {"regex": "a"}}, {"drop": {"from": "a", "assert": "zero"}}),
    file_of({"create": {"to": "a", "init": "zeros"}}, {"create": {"to": ["a"], "init": {"constant": 1.5}}}),
    file_of({"create": {"to": "a", "init": {"rng": {"seed": 0}}, "optional": False}}),
    file_of(source={"model": "m", "version": "1", "structure": "sha256:" + "0" * 64, "unbox": "auto"}),
    file_of(target={"template": "m:f", "args": {"a": [1]}, "layout": "state", "version": 2}),
    file_of(name="x", follow="off", unmatched={"source": "drop", "target": "template"}),
    with_ops("transpose", {"transpose": None}, {"transpose": [0]}, {"transpose": {"perm": [0]}}),
    with_ops({"reshape": "template"}, {"reshape": [1, -1]}, {"reshape": {"shape": [1]}}),
    with_ops({"cast": "bfloat16"}, {"cast": {"to": "template", "lossy": True}}, {"scale": 0.5}),
    with_ops({"scale": "1/sqrt(16)"}, {"add": {"value": -1}}),
    with_ops({"pad": {"widths": [[0, 1]], "value": 1}}, {"rearrange": {"pattern": "(a b) -> a b", "sizes": {"a": 2}}}),
    file_of({"from": "a/{i}", "to": "b", "ops": [{"stack": {"axis": 0, "over": "i"}}]}),
    file_of({"from": "a", "to": "b/{i}", "ops": [{"unstack": {"over": "i"}}]}),
    file_of({"from": {"value": "a", "scale?": {"regex": "b"}}, "to": "c", "ops": [{"dequantize": "template"}]}),
    file_of({"from": {"w": "a", "x": "b"}, "to": "c", "ops": [{"transpose": {"of": "x"}}, {"sum": ["w", "x"]}]}),
    file_of({"from": {"base": "a", "a": "b", "b": "c"}, "to": "c", "ops": [{"lora": "16 / sqrt(8)"}]}),
    file_of(config=["a -> b", {"in": "x", "from": ["a", {"regex": "b"}], "to": "c"}, {"to": "c", "value": None}]),
    file_of(config=[{"drop": "a"}, {"from": "a", "drop": True, "except": "b", "optional": True}]),
    file_of(config=[{"from": "a", "to": "b", "value": "{a} // 2"}, {"to": "c", "value": {"x": [1, 2.5, "y"]}}]),
    file_of({"from": "a", "to": "b", "ops": [{"flip": "${axis}"}]}, args={"axis": 1}),
    file_of({"from": "a", "to": "b", "ops": [{"pad": {"widths": [[0, "${n}"]], "value": "${n}"}}]}, args={"n": 1}),
    file_of(
        {"from": "a", "to": "b", "ops": [{"rearrange": {"pattern": "(a b) -> a b", "sizes": {"a": "${n}"}}}]},
        args={"n": 1},
    ),
    file_of(include="portable"),
    file_of(include=["portable", {"file": "nnx/stack", "under": "a/{i}", "to": "b/{i}"}, {"file": "nnx/stack"}]),
]

BAD = [
    {"rules": []},
    {"migrate": 1},
    {"migrate": 2, "rules": []},
    file_of(foo=1),
    file_of("a"),
    file_of(3),
    file_of({"from": "a"}),
    file_of({"from": "a", "to": "b", "op": []}),
    file_of({"from": [], "to": "b"}),
    file_of({"from": {}, "to": "b"}),
    file_of({"from": {"w": ["a"], "s": "b"}, "to": "c", "ops": [{"sum": ["w", "s"]}]}),
    file_of({"drop": {"assert": "zero"}}),
    file_of({"create": {"to": "a", "init": "zero"}}),
    file_of({"create": {"to": "a", "init": {}}}),
    file_of(source={"structure": "abc"}),
    file_of(target={"template": "f"}),
    file_of(follow=False),
    with_ops("reshape"),
    with_ops("nothing"),
    with_ops({"transpose": "x"}),
    with_ops({"transpose": {"perms": [0]}}),
    with_ops({"flip": True}),
    with_ops({"cast": "bfloat61"}),
    with_ops({"scale": True}),
    with_ops({"pad": {"widths": [[1]]}}),
    with_ops({"flip": {"axis": 0, "over": "i"}}),
    with_ops({"flip": "axis"}),
    file_of(config={"from": "a", "to": "b"}),
    file_of(config=[3]),
    file_of(config=["a"]),
    file_of(config=[{"to": "a", "val": 1}]),
    file_of(config=[{"drop": False}]),
    file_of(config=[{"to": {"regex": "a"}, "value": 1}]),
    file_of(include=3),
    file_of(include=[]),
    file_of(include=[["portable"]]),
    file_of(include={"under": "a"}),
    file_of(include={"file": "portable", "into": "a"}),
    file_of(include={"file": "portable", "under": {"regex": "a"}}),
]


@pytest.mark.parametrize("data", GOOD)
def test_what_the_loader_reads_the_schema_accepts(data):
    assert loader_accepts(data)
    assert accepts(SCHEMA, data)


@pytest.mark.parametrize("data", BAD)
def test_what_is_malformed_both_refuse(data):
    assert not loader_accepts(data)
    assert not accepts(SCHEMA, data)


def test_every_op_and_every_field_of_it_is_described():
    (ops,) = [
        one["properties"]["ops"]
        for one in SCHEMA["properties"]["rules"]["items"]["anyOf"]
        if "from" in one.get("required", ())
    ]
    described, descriptions = {}, {}
    for item in ops["items"]["anyOf"][1:]:
        ((name, value),) = item["properties"].items()
        assert value["description"]
        descriptions[name] = value["description"]
        described[name] = value["anyOf"][0]["properties"]
    assert list(OPS) == list(described)
    for name, op in OPS.items():
        assert [param.doc for param in op.params] == [described[name][param.name]["description"] for param in op.params]
        assert (op.role in ("reduce", "extend")) == ("over" in described[name])
        assert (op.role in ("map", "combine")) == ("of" in described[name])
        for one in op.inputs:
            assert f"`{one.name}`, {one.doc}" in descriptions[name]


def test_the_schema_is_of_draft_7():
    assert "http://json-schema.org/draft-07/schema#" == SCHEMA["$schema"]
