"""Included rule files: the order of rules, the places of patterns, and refused includes with their locations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.errors import RuleFileError
from migrate.rules.files import text_of
from migrate.rules.loader import load_rules, parse_rules
from migrate.rules.pattern import Pattern


def rules_of(*lines):
    return ["rules:", *(f"  - {line}" for line in lines)]


def refused(name="main.yaml"):
    with pytest.raises(RuleFileError) as caught:
        load_rules(name)
    return list(caught.value.diagnostics)


def sides(rules):
    return [(*map(str, rule.sources), *map(str, getattr(rule, "targets", ()))) for rule in rules]


def test_included_rules_come_first_and_keep_their_place_in_their_own_file(write):
    write(
        main=["include: [cell.yaml, ./norm.yaml]", *rules_of("a -> b")],
        cell=rules_of("c -> d"),
        norm=["", *rules_of("e -> f")],
    )
    rules = load_rules("main.yaml")
    assert [("c", "d"), ("e", "f"), ("a", "b")] == sides(rules.rules)
    assert ["cell.yaml:3:5", "./norm.yaml:4:5", "main.yaml:4:5"] == [str(rule.span) for rule in rules.rules]


def test_a_file_can_be_put_under_a_place_of_the_source_and_to_a_place_of_the_target(write):
    write(
        main=['include: {file: cell.yaml, under: "params/rnn_{k}", to: "cells/{k+1}"}', "rules: []"],
        cell=rules_of(
            "if/** -> if_/**",
            "{from: '{g:i|o}/w', to: '{g}/v', except: 'i/*'}",
            "{drop: 'hn/bias'}",
        ),
    )
    move, gate, drop = load_rules("main.yaml").rules
    assert [("params/rnn_{k}/if/**", "cells/{k+1}/if_/**")] == sides([move])
    assert [("params/rnn_{k}/{g:i|o}/w", "cells/{k+1}/{g}/v")] == sides([gate])
    assert ["params/rnn_{k}/i/*"] == list(map(str, gate.excepts))
    assert [("params/rnn_{k}/hn/bias",)] == sides([drop])
    bindings = move.sources[0].match(("params", "rnn_3", "if", "kernel"))
    assert ("cells", "4", "if_", "kernel") == move.targets[0].fill(bindings)


def test_what_is_created_is_created_in_the_place_of_the_target(write):
    write(
        main=["include: {file: cell.yaml, under: params/rnn, to: rnn}", "rules: []"],
        cell=rules_of("create: {to: '**/rngs/**', init: {rng: {seed: 0}}, except: 'x/**'}"),
    )
    (create,) = load_rules("main.yaml").rules
    assert [("rnn/**/rngs/**", "rnn/x/**")] == [(str(create.targets[0]), str(create.excepts[0]))]


def test_the_place_of_the_target_is_that_of_the_source_unless_it_is_said(write):
    write(
        main=["include:", "  - {file: cell.yaml, under: a}", "  - {file: cell.yaml, under: b, to: .}", "rules: []"],
        cell=rules_of("x -> y"),
    )
    assert [("a/x", "a/y"), ("b/x", "y")] == sides(load_rules("main.yaml").rules)


def test_places_add_up_along_a_chain_of_includes(write):
    write(
        main=["include: {file: block.yaml, under: params, to: .}", "rules: []"],
        block=["include: {file: cell.yaml, under: 'b_{i}', to: 'blocks/{i}'}", "rules: []"],
        cell=rules_of(". -> z", "'**/w -> **/v'"),
    )
    assert [("params/b_{i}", "blocks/{i}/z"), ("params/b_{i}/**/w", "blocks/{i}/**/v")] == sides(
        load_rules("main.yaml").rules
    )


def test_paths_start_from_the_folder_of_the_file_that_includes(write, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/cell.yaml").write_text("migrate: 1\ninclude: gate.yaml\nrules: []\n")
    (tmp_path / "parts/gate.yaml").write_text("migrate: 1\nrules:\n  - a -> b\n")
    write(main=["include: parts/cell.yaml", "rules: []"])
    (rule,) = load_rules("main.yaml").rules
    assert "parts/gate.yaml:3:5" == str(rule.span)
    assert "  - a -> b" == text_of(rule.span.file).splitlines()[rule.span.line - 1]


def test_the_text_of_a_bundled_file_is_found_by_its_name():
    assert "name: portable" in text_of("portable")
    assert text_of("no/such-file") is None


def test_the_digest_covers_what_is_included(write):
    write(main=["include: cell.yaml", "rules: []"], cell=rules_of("a -> b"))
    before = load_rules("main.yaml").digest
    write(cell=rules_of("a -> c"))
    assert before != load_rules("main.yaml").digest
    write(cell=rules_of("a -> b"))
    assert before == load_rules("main.yaml").digest


def test_the_digest_covers_what_an_included_file_includes(write):
    write(main=["include: cell.yaml", "rules: []"], cell=["include: gate.yaml", "rules: []"], gate=rules_of("a -> b"))
    before = load_rules("main.yaml").digest
    write(gate=rules_of("a -> c"))
    assert before != load_rules("main.yaml").digest


def test_mistakes_of_all_files_come_together_each_with_its_own_file(write):
    write(main=["include: [cell.yaml, gate.yaml]", *rules_of("a->b")], cell=rules_of("c->d"), gate=rules_of("e->f"))
    assert {"main.yaml:4:5"} == {str(one.span) for one in refused()}
    write(main=["include: [cell.yaml, gate.yaml]", *rules_of("a -> b")])
    assert ["cell.yaml:3:5", "gate.yaml:3:5"] == [str(one.span) for one in refused()]


def test_a_file_that_includes_itself_is_refused_with_the_way_around(write):
    write(main=["include: [cell.yaml]", "rules: []"], cell=["include: main.yaml", "rules: []"])
    (finding,) = refused()
    assert ("M110", "cell.yaml:2:10") == (finding.code, str(finding.span))
    assert "`main` → `cell` → `main`" in finding.message


def test_a_file_included_twice_at_one_place_is_refused_wherever_it_is_said(write):
    write(
        main=["include:", "  - {file: cell.yaml, under: a}", "  - {file: ./cell.yaml, under: a}", "rules: []"],
        cell=rules_of("x -> y"),
    )
    (finding,) = refused()
    assert ("M110", "main.yaml:4:6", "first included at main.yaml:3:6") == (
        finding.code,
        str(finding.span),
        finding.label,
    )


@pytest.mark.parametrize(
    "line", ["source: {model: a}", "target: {model: a}", "follow: off", "unmatched: {source: drop}"]
)
def test_what_only_the_applied_file_can_decide_is_refused_in_an_included_one(write, line):
    write(main=["include: cell.yaml", "rules: []"], cell=[line, *rules_of("x -> y")])
    (finding,) = refused()
    assert ("M110", "main.yaml:2:10") == (finding.code, str(finding.span))
    assert f"the included file `cell.yaml` sets `{line.partition(':')[0]}`" == finding.message


def test_a_missing_file_is_reported_where_it_is_named(write):
    write(main=["include: [cel.yaml, linen/lstm]", "rules: []"], cell=rules_of("x -> y"))
    first, second = refused()
    assert ("M004", "main.yaml:2:11", "did you mean `cell.yaml`?") == (first.code, str(first.span), first.help)
    assert ("M004", "main.yaml:2:21") == (second.code, str(second.span))


def test_a_name_that_the_included_file_uses_as_well_is_refused(write):
    write(
        main=["include: {file: cell.yaml, under: 'b_{i}', to: 'c/{i}'}", "rules: []"],
        cell=rules_of("'x_{i} -> y/{i}'", "z -> w"),
    )
    (finding,) = refused()
    assert ("M110", "main.yaml:2:11") == (finding.code, str(finding.span))
    assert "`cell.yaml` also uses the name `i`, at cell.yaml:3:6" == finding.message


def test_a_name_in_the_place_of_the_target_alone_is_refused_as_well(write):
    write(main=["include: {file: cell.yaml, to: 'c/{i}'}", "rules: []"], cell=rules_of("'x_{i} -> y/{i}'"))
    (finding,) = refused()
    assert ("M110", "main.yaml:2:11") == (finding.code, str(finding.span))
    write(cell=rules_of("'x -> y'"))
    (finding,) = refused()
    assert ("M107", "main.yaml:2:11") == (finding.code, str(finding.span))
    assert "`to: c/{i}` uses `i`, which nothing captures without `under`" == finding.message


@pytest.mark.parametrize(
    ("places", "code", "column"),
    [
        ("under: 'a/*', to: b", "M110", 38),
        ("under: '**', to: b", "M110", 36),
        ("under: a, to: 'b/{i}'", "M107", 45),
        ("under: 'a_{i%2}', to: b", "M106", 38),
        ("under: '{a', to: b", "M106", 36),
        ("over: a", "M101", 28),
    ],
)
def test_a_place_that_makes_no_sense_is_refused_where_it_stands(write, places, code, column):
    write(main=[f"include: {{file: cell.yaml, {places}}}", "rules: []"], cell=rules_of("x -> y"))
    (finding,) = refused()
    assert (code, 2, column) == (finding.code, finding.span.line, finding.span.column)


@pytest.mark.parametrize(
    ("rule", "places"),
    [
        ("{from: {regex: 'a.*'}, to: b}", "under: p"),
        ("'**/a -> **/b'", "under: '{at:**}'"),
        ("create: {to: a, init: zeros}", "under: '{i}', to: '{i%2}'"),
    ],
)
def test_a_rule_that_cannot_be_put_under_a_place_is_refused(write, rule, places):
    write(main=[f"include: {{file: cell.yaml, {places}}}", "rules: []"], cell=rules_of(rule))
    (finding,) = refused()
    assert ("M110", "main.yaml:2:11") == (finding.code, str(finding.span))
    assert "the rule at cell.yaml:3" in finding.message


def test_more_files_than_anybody_means_are_refused(write):
    doubling = {
        f"f{n}": [f"include: [{{file: f{n + 1}.yaml, under: a}}, {{file: f{n + 1}.yaml, under: b}}]", "rules: []"]
        for n in range(12)
    }
    write(main=["include: f0.yaml", "rules: []"], **doubling, f12=rules_of("x -> y"))
    assert "more than 1000 files are included" == refused()[0].message


def test_the_text_alone_includes_from_where_its_name_says(write, tmp_path):
    write(cell=rules_of("x -> y"))
    assert [("x", "y")] == sides(parse_rules("migrate: 1\ninclude: cell.yaml\nrules: []\n", "r.yaml").rules)


SEGMENTS = st.lists(st.sampled_from(["a", "b", "c", "x1", "x2"]), max_size=4)
PATTERNS = st.lists(st.sampled_from(["a", "x{i:int}", "{j}", "*", "{k:b|c}"]), max_size=3).map("/".join)
WITH_REST = st.builds(lambda before, after: "/".join(filter(None, (before, "**", after))), PATTERNS, PATTERNS)
PLACES = st.sampled_from([".", "p", "p/{n}", "{m:q|r}/s{n:int}"])


@given(PLACES, PATTERNS | WITH_REST, SEGMENTS, st.sampled_from([(), ("p",), ("p", "t"), ("q", "s3")]))
def test_a_pattern_below_a_place_matches_there_what_it_matches_alone(place, pattern, path, at):
    place, pattern, path = Pattern.parse(place), Pattern.parse(pattern or "."), tuple(path)
    below = pattern.below(place)
    there, alone = place.match(at), pattern.match(path)
    if there is not None and alone is not None:
        bindings = below.match((*at, *path))
        assert {**there, **alone} == bindings
        assert (*at, *path) == below.fill(bindings)
    elif there is not None:
        assert below.match((*at, *path)) is None


def test_an_include_is_narrowed_by_key_paths_of_the_including_file(write):
    write(
        main=['include: {file: cell.yaml, under: "params/rnn", except: ["params/rnn/if/*", c/w]}', "rules: []"],
        cell=rules_of("if/kernel -> i/kernel", "{drop: hn/bias}", "{create: {to: w, init: zeros}}"),
    )
    rules = load_rules("main.yaml").rules
    assert [("params/rnn/if/*", "c/w")] * 3 == [tuple(map(str, rule.left_out)) for rule in rules]


def test_a_file_between_narrows_in_its_own_coordinates(write):
    write(
        main=["include: {file: between.yaml, under: a, except: a/x}", "rules: []"],
        between=["include: {file: cell.yaml, under: b, except: b/y}", "rules: []"],
        cell=rules_of('"** -> **"'),
    )
    (rule,) = load_rules("main.yaml").rules
    assert ("a/b/y", "a/x") == tuple(map(str, rule.left_out))


def test_one_file_is_included_twice_at_one_place_if_its_rules_differ(write):
    cell = ["args: {n: kernel}", *rules_of('"${n} -> x/${n}"')]
    write(main=["include: [cell.yaml, {file: cell.yaml, args: {n: bias}}]", "rules: []"], cell=cell)
    assert [("kernel", "x/kernel"), ("bias", "x/bias")] == sides(load_rules("main.yaml").rules)
