import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules


def rules(template, path="rules/v2.yaml"):
    return parse_rules(f"migrate: 1\ntarget: {{template: '{template}'}}\nrules: []\n", path)


def test_a_recorded_tree_is_named_relative_to_the_rule_file():
    assert "rules/lm.tree.json" == rules("lm.tree.json").target.template
    assert "/trees/lm.tree.json" == rules("/trees/lm.tree.json").target.template


def test_a_recorded_tree_is_no_code():
    assert () == rules("lm.tree.json").template_code
    assert ["lm:make"] == [code.spec for code in rules("lm:make").template_code]


@pytest.mark.parametrize("template", ["lm.json", "lm", "a/b.tree.jsonx"])
def test_other_text_is_refused(template):
    with pytest.raises(RuleFileError, match="must be `module:callable`, not"):
        rules(template)
