"""A file's name in place of `module:callable`: the help, pasted, names the callable."""

import re

import pytest

from migrate.errors import CheckpointError, RuleFileError
from migrate.rules.loader import parse_rules
from migrate.template.spec_advice import advise_on_spec, meant_spec
from migrate.template.user_code import load


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "here" / "models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    text = "class Net: ...\ndef _private(): ...\ndef make(): return 1\n"
    for place in ("advised_model.py", "models/advised_net.py", "../advised_outside.py"):
        (tmp_path / "here" / place).write_text(text)
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("advised_model.py:make", "advised_model:make"),
        ("./advised_model.py:make", "advised_model:make"),
        ("advised_model.make", "advised_model:make"),
        ("models/advised_net.py:make", "models.advised_net:make"),
        ("models/advised_net:make", "models.advised_net:make"),
        ("advised_model", "advised_model:make"),
        ("advised_model.py", "advised_model:make"),
        ("HERE/advised_model.py:make", "advised_model:make"),
        ("HERE/../advised_outside.py:make", "advised_outside:make"),
    ],
)
def test_what_the_help_proposes_is_found(spec, meant, folder, monkeypatch):
    with pytest.raises(CheckpointError) as caught:
        load(spec.replace("HERE", str(folder)))
    advice = caught.value.diagnostics[0].help
    change = re.search("`cd (.*?)`", advice)
    if change:
        monkeypatch.chdir(change[1])
    assert f"`{meant}`" in advice
    assert 1 == load(meant)()


@pytest.mark.parametrize("spec", ["no_such_thing_here.py:make", "no_such_thing_here", ":", "x:y:z", ""])
def test_a_name_that_means_no_file_has_no_advice(spec):
    assert None is advise_on_spec(spec)


@pytest.mark.parametrize("name", ["target: {template: SPEC}", "probe: SPEC"])
def test_a_rule_file_names_what_was_meant(name):
    with pytest.raises(RuleFileError) as caught:
        parse_rules(f"migrate: 1\n{name.replace('SPEC', 'models/advised_net.py:make')}\nrules: []\n", "rules.yaml")
    assert "did you mean `models.advised_net:make`?" == caught.value.diagnostics[0].label


@pytest.mark.parametrize("spec", ["a.b:make", "/root/model.py:make", "a", "a b.py:make"])
def test_names_that_are_right_or_cannot_be_mended_stay(spec):
    assert None is meant_spec(spec)
