"""Typical mistakes of a first migration: the help that the command prints, applied as it is, removes the finding.

No repair is written for one mistake. `repaired` reads what any reader sees: a command in backticks, `did you mean …`,
an option to add, a field to set, a number of spaces, or an argument of an op.
"""

import difflib
import json
import re
import shlex
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate

RULES = """\
migrate: 1
target: {template: "tiny_model:make"}
rules:
  - "params/Dense_{i}/bias -> layers/{i}/bias"
  - {from: "params/Dense_{i}/kernel", to: "layers/{i}/kernel", ops: [{transpose: [1, 0]}]}
  - drop: params/old_head
"""
STACKED = """\
migrate: 1
target: {template: "tiny_model:stacked"}
rules:
  - {from: "params/Dense_{i}/kernel", to: kernel, ops: [{stack: {over: i, axis: 0}}]}
  - drop: "params/Dense_{i}/bias"
  - drop: params/old_head
"""
MODEL = """
import numpy as np


def make():
    return {"layers": {str(i): layer() for i in range(3)}}


def layer():
    return {"kernel": np.zeros((4, 4), "float32"), "bias": np.zeros(4, "float32")}


def stacked():
    return {"kernel": np.zeros((3, 4, 4), "float32")}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with a checkpoint `run`, a root of two steps, rule files, a module and an earlier DST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_model", raising=False)  # every test has a module of its own
    layer = {"kernel": np.ones((4, 4), "float32"), "bias": np.ones(4, "float32")}
    params = {**{f"Dense_{i}": layer for i in range(3)}, "old_head": np.ones((4, 2), "float32")}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", {"params": params})
        checkpointer.save(tmp_path / "earlier", {"a": np.ones(3)})
    with ocp.CheckpointManager(tmp_path / "root", item_names=("model", "optimizer")) as manager:
        for step in (1, 2):
            item = ocp.args.StandardSave({"a": np.full(3, step, "float32")})
            manager.save(step, args=ocp.args.Composite(model=item, optimizer=item))
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "stacked.yaml").write_text(STACKED)
    (tmp_path / "tiny_model.py").write_text(MODEL)
    return tmp_path


def run(command):
    """Runs a command; returns its exit code and its findings."""
    result = CliRunner().invoke(migrate, [*command, "--json"])
    payload = json.loads(result.stdout)
    return payload["exit_code"], payload["diagnostics"]


def repaired(command, finding):
    """Applies the help of a finding to the file that it points into; returns the command to run next."""
    advice = " ".join(filter(None, (finding["label"], finding["help"])))
    if meant := re.search(r"did you mean `([^`]*)`\?", advice):
        return replaced(command, finding["span"], meant[1])
    if pasted := re.search(r"`migrate ([^`]*)`", advice):
        return shlex.split(pasted[1])
    if option := re.search(r"add `(--[^`]*)`", advice):
        return [*command, *shlex.split(option[1])]
    if spaces := re.search(r"add (\d+) spaces? before it", advice):
        return edited(command, finding["span"], lambda line: " " * int(spaces[1]) + line)
    if written := re.search(r"write `(\w+): ([^`]*)` in `\w+`", advice):
        name, value = written.groups()
        return edited(command, finding["span"], lambda line: re.sub(rf"\b{name}: [^,}}]*", f"{name}: {value}", line))
    if (field := re.search(r"set `([^`]*)`", advice)) is not None:
        return appended(command, field[1])
    return pytest.fail(f"no help that can be pasted: {advice}")


def replaced(command, span, text):
    """Puts a text in place of the marked one, or of the argument that it resembles."""
    if span is None:
        parts = [part for word in command for part in word.split(":")]
        (closest,) = difflib.get_close_matches(text, parts, 1, 0.1)
        return [":".join(text if part == closest else part for part in word.split(":")) for word in command]
    start, end = span["column"] - 1, span["end_column"] - 1
    return edited(command, span, lambda line: line[:start] + text + line[end:])


def edited(command, span, change):
    """Changes one line of a file."""
    with open(span["file"], encoding="utf-8") as file:
        lines = file.read().split("\n")
    lines[span["line"] - 1] = change(lines[span["line"] - 1])
    with open(span["file"], "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return command


def appended(command, line):
    with open(next(word for word in command if word.endswith(".yaml")), "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    return command


APPLY = ("apply", "rules.yaml", "run", "new")
MISTAKES = {
    "a misspelled path": (("apply", "rules.yaml", "rnu", "new"), "rules.yaml", None),
    "a misspelled rule file": (("apply", "rulse.yaml", "run", "new"), "rules.yaml", None),
    "swapped arguments": (("apply", "run", "rules.yaml", "new"), "rules.yaml", None),
    "a misspelled leaf": (APPLY, "rules.yaml", ("params/old_head", "params/old_haed")),
    "a leaf that is forgotten": (APPLY, "rules.yaml", ("  - drop: params/old_head\n", "")),
    "a wrong axis": (("apply", "stacked.yaml", "run", "new"), "stacked.yaml", ("axis: 0", "axis: 1")),
    "a misspelled module": ((*APPLY, "--template", "tiny_modle:make"), "rules.yaml", None),
    "a misspelled callable": ((*APPLY, "--template", "tiny_model:maek"), "rules.yaml", None),
    "a destination that exists": (("apply", "rules.yaml", "run", "earlier"), "rules.yaml", None),
    "an unknown op": (APPLY, "rules.yaml", ("transpose", "transposee")),
    "an item one column short": (APPLY, "rules.yaml", ("  - {from", " - {from")),
    "an unknown field": (APPLY, "rules.yaml", ("from:", "form:")),
    "a misspelled item": (("apply", "portable", "root", "new", "--item", "modle"), "rules.yaml", None),
    "a rule file in place of a checkpoint": (("inspect", "rules.yaml"), "rules.yaml", None),
}
"""Each mistake: the command, and what is wrong in a file."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_help_works_when_pasted(here, mistake):
    command, name, change = MISTAKES[mistake]
    if change is not None:
        assert change[0] in (here / name).read_text()
        (here / name).write_text((here / name).read_text().replace(*change))
    code, findings = run(command)
    assert code, "this is no mistake"
    seen = set()
    while code:
        first = next(finding for finding in findings if finding["severity"] == "error")
        assert first["message"] not in seen, "the help does not remove the finding"
        seen.add(first["message"])
        command = repaired(list(command), first)
        code, findings = run(command)
    assert 1 == len(seen), "one mistake needs one repair"


def test_a_root_without_a_step_says_how_a_manager_opens_the_result(here):
    shown = CliRunner().invoke(migrate, ["apply", "portable", "root", "new"]).stdout
    (place,) = re.findall(r"`CheckpointManager` opens it as (\S+?);", " ".join(shown.split()))
    (option,) = re.findall(r"`(--step all)` writes every step of a root", " ".join(shown.split()))
    assert 0 == CliRunner().invoke(migrate, ["apply", "portable", "root", "all", *option.split()]).exit_code
    (here / "named").mkdir()
    (here / "new").rename(here / "named" / place.split("/")[-1])
    for root, steps in (("named", [2]), ("all", [1, 2])):
        with ocp.CheckpointManager(here / root, item_names=("model", "optimizer")) as manager:
            assert steps == sorted(manager.all_steps())
            args = ocp.args.Composite(model=ocp.args.StandardRestore(), optimizer=ocp.args.StandardRestore())
            assert [2, 2, 2] == list(manager.restore(2, args=args)["model"]["a"])
