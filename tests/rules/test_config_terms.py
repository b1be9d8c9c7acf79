"""What rule files read from a model's configuration: names, formulas, the first that has a value.

Also covers `value_type`.
"""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.config_terms import ConfigTerms, shown, term_text
from migrate.rules.expression import PatternError
from migrate.rules.loader import parse_rules

CONFIG = {"hidden_size": 48, "heads": 6, "head_dim": None, "rope": {"type": "llama3", "theta": 1e6}, "tied": False}


def find(*texts, place=()):
    found = ConfigTerms.parse(list(texts)).below(place).find(CONFIG)
    return None if found is None else (term_text(found[0]), found[1])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["heads"], ("heads", 6)),
        (["rope/type"], ("rope/type", "llama3")),
        (["rope"], ("rope", CONFIG["rope"])),
        (["tied"], ("tied", False)),
        (["head_dim"], None),
        (["rope/type/more"], None),
        (["missing", "head_dim", "heads"], ("heads", 6)),
        (["head_dim", "{hidden_size} // {heads}"], ("{hidden_size} // {heads}", 8)),
        (["{missing} // {heads}", "rope/theta"], ("rope/theta", 1e6)),
    ],
)
def test_the_first_term_with_a_value_counts(texts, expected):
    assert expected == find(*texts)


def test_names_can_be_below_a_place():
    assert ("rope/theta", 1e6) == find("theta", place=("rope",))
    assert ("{rope/theta}", None) == (ConfigTerms.parse(["{theta}"]).below(("rope",)).terms[0].text, find("theta"))


def test_a_formula_that_cannot_be_computed_is_an_error():
    with pytest.raises(PatternError, match="hidden_size = 48"):
        find("{hidden_size} // 7")


@pytest.mark.parametrize("value", ["3", "[]", "{a: b}", "''", "[a, 3]", "'{a} + b'"])
def test_a_term_is_a_name_or_a_formula(value):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(f"migrate: 1\nrequires: [{{config: {value}, is: 1, because: why}}]\nrules: []", "rules.yaml")
    assert {"M104", "M106"} > {one.code for one in caught.value.diagnostics}


def test_a_long_or_deep_value_is_shown_in_part():
    deep = value = []
    for _ in range(100_000):
        value.append([])
        value = value[0]
    assert ('"' + "x" * 59 + "…", "a nested value", "[1, null]") == (shown("x" * 99), shown(deep), shown([1, None]))
