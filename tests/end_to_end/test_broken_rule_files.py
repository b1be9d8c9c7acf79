"""Rule files, each broken in one place: the code, the place, the nearest name, and a help that works when pasted.

A reader sees the terminal's output, so that is where the code and the place are looked for.
"""

import re

import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate
from tests.end_to_end.test_mistakes import here, repaired, run

__all__ = ["here"]  # a fixture

OP = "{transpose: [1, 0]}"
BROKEN = {
    "a misspelled section": ("rules.yaml", "rules:", "rulse:", "M101", "rulse", "rules"),
    "a misspelled field": ("rules.yaml", "from:", "form:", "M101", "form", "from"),
    "a misspelled op": ("rules.yaml", "transpose", "trasnpose", "M102", "trasnpose", "transpose"),
    "a misspelled field of an op": ("rules.yaml", OP, "{transpose: {prem: [1, 0]}}", "M103", "prem", "perm"),
    "a misspelled dtype": ("rules.yaml", OP, f"{OP}, {{cast: flaot32}}", "M104", "flaot32", "float32"),
    "a misspelled keyword": ("rules.yaml", "rules:", "follow: of\nrules:", "M104", "of", "off"),
    "another name on the right": ("rules.yaml", "layers/{i}/bias", "layers/{j}/bias", "M107", "{j}", "{i}"),
    "another name in an op": ("stacked.yaml", "over: i", "over: j", "M108", "j", "i"),
    "a misspelled source leaf": (
        "rules.yaml",
        "params/old_head",
        "params/old_haed",
        "M201",
        "params/old_haed",
        "params/old_head",
    ),
    "a misspelled target": (
        "rules.yaml",
        "layers/{i}/bias",
        "layer/{i}/bias",
        "M206",
        "layer/{i}/bias",
        "layers/{i}/bias",
    ),
    "a misspelled initial value": (
        "rules.yaml",
        "  - drop",
        "  - {create: {to: new, init: zeroes, optional: true}}\n  - drop",
        "M104",
        "zeroes",
        "zeros",
    ),
    "a misspelled include": ("rules.yaml", "rules:", "include: portabel\nrules:", "M004", "portabel", "portable"),
}
"""Each fault: the file, its text before and after, the code, what is marked, and what was meant."""


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_is_named_with_its_place_and_what_was_meant(here, fault):
    name, good, bad, code, marked, meant = BROKEN[fault]
    text = (here / name).read_text()
    assert text.replace(good, bad, 1) != text
    (here / name).write_text(text.replace(good, bad, 1))
    command = ["check", name, "run"]
    line, column = place_of(text.replace(good, bad, 1), bad, marked)
    shown = CliRunner().invoke(migrate, command).stdout
    assert re.search(rf"^error\[{code}\]: .*\n +--> {name}:{line}:{column}$", shown, re.MULTILINE), shown
    exit_code, findings = run(command)
    (finding,) = [one for one in findings if code == one["code"]]
    assert 1 == exit_code
    assert f"did you mean `{meant}`?" in f"{finding['label']} {finding['help']}"
    repaired(command, finding | {"help": finding["help"] or ""})
    assert (0, []) == run(command)


def place_of(text, bad, marked):
    """Returns the line and the column, both from 1, of a word within what is wrong in a text."""
    at = text.index(bad) + bad.rindex(marked)
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
