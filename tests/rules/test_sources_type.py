"""`sources:` in rule files: names, paths and requirements, and the key paths that begin with a name."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import load_rules, parse_rules
from migrate.source_names import source_start


def parsed(*lines, path="rules.yaml"):
    return parse_rules("\n".join(("migrate: 1", *lines)), path)


def _findings(*lines):
    with pytest.raises(RuleFileError) as caught:
        parsed(*lines)
    return caught.value.diagnostics


def refused(*lines):
    return [(one.code, one.message) for one in _findings(*lines)]


def texts(rules):
    return [[str(pattern) for pattern in rule.sources] for rule in rules.rules]


def test_a_path_is_relative_to_the_rule_file_unless_it_is_absolute():
    rules = parsed("sources: {a: x/y.safetensors, b: /x, d: null}", "rules: []", path="dir/rules.yaml")
    assert ["dir/x/y.safetensors", "/x", None] == [one.path for one in rules.sources.values()]


def test_a_source_has_the_requirements_of_the_main_one():
    rules = parsed("sources: {tower: {path: t, model: vit, version: 2, separator: '/', unbox: never}}", "rules: []")
    guard = rules.sources["tower"].guard
    assert ("vit", 2, "/", "never") == (guard.model, guard.version, guard.separator, guard.unbox)
    assert 2 == guard.span.line


@pytest.mark.parametrize("entry", ["gs://b/c", "s3://b", "file:///etc", "{path: gs://b/c}"])
def test_a_rule_file_names_no_url(entry):
    (found,) = (one for one in _findings(f"sources: {{tower: {entry}}}", "rules: []"))
    assert "only the command line or a caller names those" in found.message
    assert "`--source tower=" in found.help


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{1a: x}", "`1a` cannot be the name of a source"),
        ("{a: 3}", "`a` must be a path, or `null` if `--source` gives it, not `3`"),
        ("{a: {modell: x}}", "a source has no field `modell`"),
        ("[a]", "`sources` must be a mapping of names to paths, or to mappings with `path`, not a list of 1"),
    ],
)
def test_what_is_no_source_is_refused(entry, message):
    assert [message] == [found for _, found in refused(f"sources: {entry}", "rules: []")]


def test_the_slash_after_a_declared_name_may_be_left_out():
    rules = parsed(
        "sources: {lora: null}",
        "rules:",
        '  - {from: {w: "m/{p:**}", a: "lora:m/{p:**}/a"}, to: "m/{p}", ops: [{sum: [w, a]}]}',
        '  - drop: ["lora:**", "lora:/x", "other:m"]',
        '  - {drop: {regex: "lora:(x|y)"}}',
        '  - {drop: {from: z, except: "lora:y"}}',
        '  - {drop: {from: z, assert: {equal: "lora:z"}}}',
    )
    assert [["m/{p:**}", "lora:/m/{p:**}/a"], ["lora:/**", "lora:/x", "other:m"], ["lora:/(x|y)"]] == texts(rules)[:3]
    assert ("lora:/y", "lora:/z") == (str(rules.rules[3].excepts[0]), str(rules.rules[4].equal))


def test_a_wildcard_of_the_main_source_matches_no_leaf_of_another():
    patterns = '["**", "*/w", "lor{x}/w", "lora:**", {regex: ".*"}, {regex: "lora:.*"}]'
    rules = parsed("sources: {lora: null}", f"rules: [drop: {patterns}]")
    named, main = (*source_start("lora"), "w"), ("lora:", "w")
    matching = [pattern.match(named) is not None for pattern in rules.rules[0].sources]
    assert [False, False, False, True, False, True] == matching
    assert all(pattern.match(main) is not None for pattern in rules.rules[0].sources)


def test_a_rule_writes_to_no_source():
    (found,) = refused("sources: {lora: null}", "rules:", '  - "a -> lora:a"')
    assert ("M106", "`lora:/a` is in the source `lora`, to which nothing is written") == found


def test_an_included_file_may_declare_sources_whose_leaves_stay_in_their_places(write):
    write(
        main=["sources: {more: m.npz}", 'include: {file: merge.yaml, under: "model", to: "."}', "rules: []"],
        merge=[
            "sources: {lora: null}",
            "rules:",
            '  - {from: {w: "{p:**}/w", a: "lora:{p:**}/a"}, to: "{p}/w", ops: [{sum: [w, a]}]}',
            '  - {drop: {from: "lora:b/**", except: "lora:b/c"}}',
        ],
    )
    rules = load_rules("main.yaml")
    assert {"lora": None, "more": "m.npz"} == {name: one.path for name, one in rules.sources.items()}
    assert [["model/{p:**}/w", "lora:/{p:**}/a"], ["lora:/b/**"]] == texts(rules)
    assert "lora:/b/c" == str(rules.rules[1].excepts[0])


def test_the_including_file_decides_on_the_path(write):
    write(
        main=["sources: {lora: mine.npz}", "include: part.yaml", "rules: []"],
        part=["sources: {lora: theirs.npz}", "rules: []"],
    )
    assert "mine.npz" == load_rules("main.yaml").sources["lora"].path


def test_two_included_files_cannot_disagree_about_a_path(write):
    write(
        main=["include: [a.yaml, b.yaml]", "rules: []"],
        a=["sources: {lora: a.npz}", "rules: []"],
        b=["sources: {lora: b.npz}", "rules: []"],
    )
    with pytest.raises(RuleFileError, match="two included files name different paths for the source `lora`"):
        load_rules("main.yaml")


def test_a_file_for_one_checkpoint_can_be_included_for_a_named_source(write):
    write(
        main=["sources: {vision: null}", 'include: {file: tower.yaml, under: "vision:", to: tower}', "rules: []"],
        tower=["rules:", '  - "params/** -> **"'],
    )
    (rule,) = load_rules("main.yaml").rules
    assert ("vision:/params/**", "tower/**") == (str(rule.sources[0]), str(rule.targets[0]))


def test_a_step_of_a_folder_has_one_source(write, tmp_path):
    from migrate.rules.folder import load_folder

    write(step=["source: {version: 1}", "target: {version: 2}", "sources: {lora: a}", "rules: []"])
    with pytest.raises(RuleFileError) as caught:
        load_folder(".")
    assert ["M633"] == [one.code for one in caught.value.diagnostics]
