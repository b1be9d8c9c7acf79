"""Rule files: every form is read to the right values, and all mistakes are reported with their locations.

Covers `migrate.rules.build`, `migrate.rules.field_types`, `migrate.rules.model`, `migrate.rules.op_types` and
`migrate.rules.pattern_types`, whose work shows only in whole rules.
"""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import ExitCode, RuleFileError, Span
from migrate.ops.registry import OPS
from migrate.rules.loader import load_rules, parse_rules
from migrate.rules.model import Create, Drop, Init, Move

GOLDEN = Path(__file__).parents[1] / "golden" / "rules"
HASH = "sha256:" + "0123456789abcdef" * 4

WHOLE = f"""\
migrate: 1
name: whole
source: {{model: kr_lpr, version: 1, structure: "{HASH}", unbox: never}}
target:
  model: kr_lpr
  version: v2
  template: kr_lpr.model:make_model
  args: {{num_classes: 85, names: [a, no]}}
  structure: "{HASH}"
  layout: items
rules:
  - "params/Dense_{{i}}/** -> layers/{{i}}/**"
  - from: "params/encoder/{{p:query|key|value}}/kernel"
    to: "encoder/attn/{{p}}/kernel"
    ops: [{{reshape: [512, 512]}}]
  - from: "params/Block_{{i}}/mlp/kernel"
    to: "blocks/mlp/kernel"
    ops: [{{stack: {{axis: 0, over: i}}}}]
    except: ["**/Block_7/**"]
    optional: true
    moments: reset
  - from: "params/Scan_0/**"
    to: "blocks/{{i}}/**"
    ops: [{{unstack: {{axis: 0, over: i}}}}]
  - from: ["a/query", "a/key"]
    to: a/qk
    ops:
      - rearrange: {{pattern: "d h k -> d (h k)"}}
      - transpose
      - concat: {{axis: 1}}
      - cast: {{to: bfloat16, lossy: true}}
  - from: params/emb
    to: ["embed/embedding", "head/kernel"]
  - from: {{regex: "old/(?P<x>.+)"}}
    to: "new/{{x:**}}"
  - drop: "params/old_head/**"
  - drop: [a/b, {{regex: "c.*"}}]
  - drop: {{from: "params/gru/hn/bias", assert: zero, except: x/y, optional: true}}
  - create: {{to: "head/bias", init: zeros}}
  - create: {{to: "**/rngs/**", init: {{rng: {{seed: 7}}}}}}
  - create: {{to: [scale, shift], init: {{constant: 1.5}}, optional: true}}
follow: off
unmatched: {{source: drop, target: template}}
probe: my_probe:probe
"""


def rules_of(*lines):
    return parse_rules("migrate: 1\nrules:\n" + "".join(f"  - {line}\n" for line in lines), "r.yaml")


def rule_of(line):
    return rules_of(line).rules[0]


def refused(text):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(text, "r.yaml")
    return caught.value.diagnostics


def refused_rule(line):
    (finding,) = refused(f"migrate: 1\nrules:\n  - {line}\n")
    return finding


def texts(patterns):
    return [str(pattern) for pattern in patterns]


def test_a_whole_rule_file_is_read():
    rules = parse_rules(WHOLE, "whole.yaml")
    assert ("whole.yaml", "whole", WHOLE) == (rules.path, rules.name, rules.text)
    assert ("kr_lpr", 1, HASH, "never") == (
        rules.source.model,
        rules.source.version,
        rules.source.structure,
        rules.source.unbox,
    )
    target = rules.target
    assert ("kr_lpr", "v2", HASH, "items") == (target.model, target.version, target.structure, target.layout)
    assert "kr_lpr.model:make_model" == target.template
    assert {"num_classes": 85, "names": ["a", "no"]} == target.args
    assert (False, "drop", "template") == (rules.follow, rules.unmatched_source, rules.unmatched_target)
    assert "my_probe:probe" == rules.probe
    assert [Move] * 7 + [Drop] * 3 + [Create] * 3 == [type(rule) for rule in rules.rules]
    assert Span("whole.yaml", 3, 1, 3, 7) == rules.source.span


def test_what_a_rule_file_leaves_out_has_its_default():
    rules = parse_rules("migrate: 1\nrules: []\n", "r.yaml")
    assert ((), "", True, "error", "error") == (
        rules.rules,
        rules.name,
        rules.follow,
        rules.unmatched_source,
        rules.unmatched_target,
    )
    assert (None, "auto", None, {}, None) == (
        rules.source.model,
        rules.source.unbox,
        rules.target.template,
        rules.target.args,
        rules.target.layout,
    )


def test_a_probe_is_a_module_and_a_function():
    (finding,) = refused("migrate: 1\nrules: []\nprobe: my_probe.py\n")
    assert "M104" == finding.code
    assert "`probe` must be `module:callable`" in finding.message


def test_a_line_is_a_move():
    rule = rule_of('"params/Dense_{i}/** -> layers/{i}/**"')
    assert (["params/Dense_{i}/**"], ["layers/{i}/**"]) == (texts(rule.sources), texts(rule.targets))
    assert ((), (), False, False) == (rule.ops, rule.excepts, rule.optional, rule.reset_moments)
    assert Span("r.yaml", 3, 6, 3, 25) == rule.span


def test_the_fields_of_a_move_are_read():
    rule = parse_rules(WHOLE, "r.yaml").rules[2]
    assert (["**/Block_7/**"], True, True) == (texts(rule.excepts), rule.optional, rule.reset_moments)
    (op,) = rule.ops
    assert (OPS["stack"](axis=0), "i") == (op.op, op.over)
    assert (18, 12) == (op.span.line, op.span.column)


def test_ops_are_written_as_a_name_a_shorthand_or_fields():
    ops = [op.op for op in parse_rules(WHOLE, "r.yaml").rules[4].ops]
    assert [
        OPS["rearrange"](pattern="d h k -> d (h k)"),
        OPS["transpose"](),
        OPS["concat"](axis=1),
        OPS["cast"](to="bfloat16", lossy=True),
    ] == ops


@pytest.mark.parametrize(
    ("written", "op"),
    [
        ("transpose", OPS["transpose"]()),
        ("{transpose: null}", OPS["transpose"]()),
        ("{transpose: }", OPS["transpose"]()),
        ("{transpose: [1, 0]}", OPS["transpose"](perm=(1, 0))),
        ("{transpose: {perm: [1, 0]}}", OPS["transpose"](perm=(1, 0))),
        ("{reshape: template}", OPS["reshape"](shape="template")),
        ("{reshape: {shape: [2, -1]}}", OPS["reshape"](shape=(2, -1))),
        ("{cast: bfloat16}", OPS["cast"](to="bfloat16")),
        ('{cast: "key<fry>"}', OPS["cast"](to="key<fry>")),
        ("{pad: {widths: [[0, 1], [2, 3]], value: 1.5}}", OPS["pad"](widths=((0, 1), (2, 3)), value=1.5)),
        ('{rearrange: {pattern: "(h k) -> h k", sizes: {h: 2}}}', OPS["rearrange"]("(h k) -> h k", (("h", 2),))),
        ("{scale: 2}", OPS["scale"](by=2)),
        ("{scale: {by: 1/sqrt(16)}}", OPS["scale"](by="1/sqrt(16)")),
        ("{add: 1}", OPS["add"](value=1)),
        ('{add: "-sqrt(2)"}', OPS["add"](value="-sqrt(2)")),
        ("{call: pkg.mod:fn}", OPS["call"](function="pkg.mod:fn")),
    ],
)
def test_every_type_of_parameter_is_read(written, op):
    assert op == rule_of(f"{{from: a, to: b, ops: [{written}]}}").ops[0].op


def test_reduce_and_extend_go_over_captures():
    rule = rule_of('{from: "a/{i}/{j}", to: "b/{j}/{k}", ops: [{stack: {over: i}}, {unstack: {axis: 1, over: k}}]}')
    assert ["i", "k"] == [op.over for op in rule.ops]


def test_what_one_op_extends_another_may_reduce():
    rule = rule_of("{from: a, to: b, ops: [{unstack: {over: i}}, {stack: {axis: 1, over: i}}]}")
    assert ["i", "i"] == [op.over for op in rule.ops]


def test_the_forms_of_drop():
    one, many, full = parse_rules(WHOLE, "r.yaml").rules[7:10]
    assert ["params/old_head/**"] == texts(one.sources)
    assert (["a/b", "c.*"], [False, True]) == (texts(many.sources), [pattern.is_regex for pattern in many.sources])
    assert (["x/y"], True, True) == (texts(full.excepts), full.optional, full.assert_zero)
    assert (False, False) == (one.optional, one.assert_zero)


@pytest.mark.parametrize(
    ("written", "init"),
    [
        ("zeros", Init("zeros")),
        ("ones", Init("ones")),
        ("template", Init("template")),
        ("{constant: 2}", Init("constant", 2)),
        ("{constant: .inf}", Init("constant", float("inf"))),
        ("{constant: true}", Init("constant", True)),
        ("{rng: {seed: 0}}", Init("rng", 0)),
    ],
)
def test_the_forms_of_create(written, init):
    rule = rule_of(f"create: {{to: [a, b], init: {written}}}")
    assert (["a", "b"], init, False) == (texts(rule.targets), rule.init, rule.optional)


def test_a_key_path_that_looks_like_a_number_needs_no_quotes():
    rule = rule_of("{from: 0, to: 1}")
    assert (["0"], ["1"]) == (texts(rule.sources), texts(rule.targets))


def test_a_rule_that_names_code_shows():
    assert ["m:f"] == [code.spec for code in rules_of("{from: a, to: b, ops: [{call: m:f}]}").call_code]
    assert () == rules_of("a -> b").call_code


def test_the_digest_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "r.yaml"
    content = b"\xef\xbb\xbfmigrate: 1\r\nrules: []\r\n"
    file.write_bytes(content)
    rules = load_rules(file)
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == rules.digest
    assert str(file) == rules.path


def test_five_mistakes_are_five_diagnostics_at_their_places(golden):
    text = (GOLDEN / "five_mistakes.yaml").read_text()
    lines = [
        f"{d.code} {d.span}-{d.span.end_line}:{d.span.end_column}\n  {d.message}\n"
        f"  label: {d.label}\n  help: {d.help}\n"
        for d in refused(text)
    ]
    golden("rules/five_mistakes.txt", "".join(lines))


@pytest.mark.parametrize(
    ("text", "code", "place", "said"),
    [
        ("", "M105", (1, 1), "empty"),
        ("[]", "M105", (1, 1), "a rule file must be a mapping"),
        ("rules: []", "M105", (1, 1), "needs the field `migrate`"),
        ("migrate: 1", "M105", (1, 1), "needs the field `rules`"),
        ("migrate: 2\nfoo: 1", "M109", (1, 10), "`migrate` must be 1"),
        ("migrate: true\nrules: []", "M104", (1, 10), "must be an integer"),
        ("migrate: 1\nrules:\n", "M104", (2, 7), "must be a list of rules (`[]` for none), not empty"),
        ("migrate: 1\nrules: []\nfolow: off", "M101", (3, 1), "no field `folow`"),
        ("migrate: 1\nrules: []\nfollow: no", "M104", (3, 9), "`follow` must be `auto` or `off`, not the text `no`"),
        ("migrate: 1\nrules: []\nunmatched: {source: keep}", "M104", (3, 21), "`error` or `drop`"),
        ("migrate: 1\nrules: []\nsource: {structure: abc}", "M104", (3, 21), "64 hexadecimal digits"),
        ("migrate: 1\nrules: []\nsource: {version: 1.5}", "M104", (3, 19), "an integer or text"),
        ("migrate: 1\nrules: []\ntarget: {template: make}", "M104", (3, 20), "`module:callable`"),
        ("migrate: 1\nrules: []\ntarget: {layout: dict}", "M104", (3, 18), "`pure_dict`"),
        ("migrate: 1\nrules: []\ntarget: {args: [1]}", "M104", (3, 16), "a mapping, not a list"),
        ("migrate: 1\nname: 3\nrules: []", "M104", (2, 7), "`name` must be text, not `3`"),
    ],
)
def test_a_mistake_in_the_file_is_found(text, code, place, said):
    (finding,) = refused(text)
    assert (code, place) == (finding.code, (finding.span.line, finding.span.column))
    assert said in finding.message


@pytest.mark.parametrize(
    ("line", "code", "columns", "said"),
    [
        ("a->b", "M105", (5, 9), "`a->b` is not a rule"),
        ("a -> b -> c", "M104", (5, 16), "not 2 times"),
        ("3", "M104", (5, 6), "must be a line `from -> to`"),
        ("{}", "M105", (5, 7), "this is not a rule"),
        ("{xyz: 1}", "M105", (6, 9), "this is not a rule"),
        ("{form: a, to: b}", "M101", (6, 10), "no field `form`"),
        ("{from: a}", "M105", (6, 10), "needs the field `to`"),
        ("{from: [], to: b}", "M104", (12, 14), "not an empty list"),
        ("{from: , to: b}", "M104", (12, 13), "must be a pattern"),
        ("{from: a, to: {regex: b}}", "M104", (19, 29), "`to` must be a pattern, not a mapping"),
        ("{from: {regx: b}, to: b}", "M101", (13, 17), "no field `regx`"),
        ("{from: {regex: '(b'}, to: b}", "M106", (21, 22), "invalid regular expression"),
        ('"a/{i -> b"', "M106", (8, 9), "unclosed `{`"),
        ('"a -> b/{i*}"', "M106", (13, 17), "neither a name nor"),
        ('"a/{i%2} -> b"', "M106", (8, 13), "has to be linear in one name"),
        ('"a/{i}{j} -> b"', "M106", (11, 14), "are adjacent"),
        ('create: {to: "a/{i%2}", init: zeros}', "M106", (21, 26), "arithmetic"),
        ('"a/{i} -> b/{j}"', "M107", (17, 20), "uses `j`, which is not captured on the left"),
        ('"a/{i} -> b/{i+j}"', "M107", (17, 22), "uses `j`"),
        ('"a/* -> b/*_*"', "M107", (17, 18), "more `*` than the left-hand side"),
        ('{from: ["a/{i}", b], to: "c/{i}"}', "M107", (33, 36), "not captured by every pattern"),
        ('{from: "a/{i}", to: b, ops: [{stack: {over: j}}]}', "M108", (49, 50), "does not capture `j`"),
        ('{from: "a/{i}", to: "b/{i}", ops: [{stack: {over: i}}]}', "M108", (55, 56), "also appears in `to`"),
        ("{from: a, to: b, ops: [{unstack: {over: i}}]}", "M108", (45, 46), "does not appear in `to`"),
        ('{from: "a/{i}", to: "b/{i}", ops: [{unstack: {over: i}}]}', "M108", (57, 58), "already captures `i`"),
        ("{from: a, to: b, ops: transpose}", "M104", (27, 36), "`ops` must be a list of ops"),
        ("{from: a, to: b, ops: [3]}", "M104", (28, 29), "must name one op"),
        ("{from: a, to: b, ops: [{flip: 0, cast: int8}]}", "M104", (28, 49), "must name one op"),
        ("{from: a, to: b, ops: [{transpoze: 0}]}", "M102", (29, 38), "unknown op `transpoze`"),
        ("{from: a, to: b, ops: [flip]}", "M103", (28, 32), "`flip` needs the field `axis`"),
        ("{from: a, to: b, ops: [{flip: {axes: 0}}]}", "M103", (36, 40), "`flip` has no field `axes`"),
        ("{from: a, to: b, ops: [{flip: {axis: 0, over: i}}]}", "M103", (45, 49), "`flip` has no field `over`"),
        ("{from: a, to: b, ops: [{flip: true}]}", "M104", (35, 39), "`flip` must be an integer, not `true`"),
        ("{from: a, to: b, ops: [{slice: 3}]}", "M104", (36, 37), "must be a mapping of `axis`, `start`"),
        ("{from: a, to: b, ops: [{reshape: [-1, -1]}]}", "M104", (38, 46), "`reshape`: [-1, -1] has more than one -1"),
        ("{from: a, to: b, ops: [{cast: bfloat61}]}", "M104", (35, 43), "the name of a dtype"),
        (
            "{from: a, to: b, ops: [{pad: [[1, 2, 3]]}]}",
            "M104",
            (35, 44),
            "`pad` must be a list of two integers, not a list of 3",
        ),
        ("{from: a, to: b, ops: [{pad: {widths: [[1]]}}]}", "M104", (44, 47), "a list of two integers"),
        ("{from: a, to: b, ops: [{stack: {over: 3}}]}", "M104", (43, 44), "`over` must be the name of a capture"),
        ("{from: a, to: b, moments: drop}", "M104", (31, 35), "`follow` or `reset`"),
        ("{from: a, to: b, optional: 1}", "M104", (32, 33), "`true` or `false`"),
        ("{drop: a, except: b}", "M101", (15, 21), "a `drop` rule has no field `except`"),
        ("{drop: {from: a, assert: one}}", "M104", (30, 33), "must be `zero`"),
        ("{create: {to: a}}", "M105", (15, 17), "a `create` rule needs the field `init`"),
        ("{create: {to: a, init: zero}}", "M104", (28, 32), "must be `zeros`"),
        ("{create: {to: a, init: {rng: {}}}}", "M105", (34, 36), "`rng` needs the field `seed`"),
        ("{create: {to: a, init: {}}}", "M104", (28, 30), "must be `zeros`"),
    ],
)
def test_a_mistake_in_a_rule_is_found_at_its_place(line, code, columns, said):
    finding = refused_rule(line)
    assert (code, 3, columns) == (finding.code, finding.span.line, (finding.span.column, finding.span.end_column))
    assert said in finding.message


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("{form: a, to: b}", "did you mean `from`?"),
        ('"a/{layer} -> b/{layr}"', "did you mean `{layer}`?"),
        ("{from: a, to: b, ops: [{transpoze: 0}]}", "did you mean `transpose`?"),
        ("{from: a, to: b, ops: [{transpose: {perms: [0]}}]}", "did you mean `perm`?"),
        ("{from: a, to: b, ops: [{cast: bfloat61}]}", "did you mean `bfloat16`?"),
        ("{from: a, to: b, moments: rest}", "did you mean `reset`?"),
        ("a->b", "put a space on both sides of `->`"),
    ],
)
def test_a_mistake_names_what_was_probably_meant(line, label):
    assert label == refused_rule(line).label


def test_yaml_findings_and_rule_findings_come_together_in_the_order_of_the_file():
    findings = refused("migrate: 1\nrules:\n  - a->b\n  - {drop: !x a}\nname: a\nname: b\nfoo: 1\n")
    assert [("M105", 3), ("M003", 4), ("M002", 6), ("M101", 7)] == [(d.code, d.span.line) for d in findings]


def test_a_rule_file_with_mistakes_is_a_no():
    with pytest.raises(RuleFileError) as caught:
        parse_rules("", "r.yaml")
    assert ExitCode.NO == caught.value.exit_code


def test_loading_imports_neither_numpy_nor_jax():
    code = (
        "import sys, migrate.rules.loader as l; l.load_rules('portable'); print({'numpy', 'jax'} & sys.modules.keys())"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "set()" == done.stdout.strip()


def test_a_thousand_rules_load_in_half_a_second():
    rules = "".join(
        f'  - from: "params/layer_{{i}}/part_{n}/**"\n    to: "e/{{i}}/p{n}/**"\n    ops: [{{transpose: [1, 0]}}]\n'
        for n in range(1000)
    )
    text = f"migrate: 1\nrules:\n{rules}"
    start = time.process_time()
    assert 1000 == len(parse_rules(text, "r.yaml").rules)
    assert time.process_time() - start < 6.0  # 0.25 s on one slow core


def loads_or_is_refused(text):
    try:
        findings = parse_rules(text, "r.yaml").rules and None
    except RuleFileError as error:
        findings = error.diagnostics
    assert findings is None or findings == () or all(d.span is not None for d in findings)


@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_broken_rule_file_is_refused_and_nothing_else_happens(source: random.Random, cuts):
    text = WHOLE
    for _ in range(cuts):
        start = source.randrange(len(text))
        piece = source.choice(["", "{", "}", "*", "&a", "!", "\n", ": ", "[", "- ", "\\", '"', "**", "->", "\t", "é"])
        text = text[:start] + piece + text[start + source.randrange(6) :]
    loads_or_is_refused(text)


WORDS = """
    from to drop create ops over init regex except optional moments reset assert zero zeros rng seed constant template
    a/{i} b/{j+1} ** ( .
"""
words = st.sampled_from([*WORDS.split(), "a -> b", *OPS])
values = st.recursive(
    words | st.integers(-2, 3) | st.booleans() | st.none() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(values, max_size=4), st.dictionaries(st.sampled_from(["source", "target", "unmatched", "follow"]), values)
)
def test_any_data_in_the_place_of_rules_is_read_or_refused(rules, rest):
    loads_or_is_refused(yaml.safe_dump({"migrate": 1, "rules": rules, **rest}))
