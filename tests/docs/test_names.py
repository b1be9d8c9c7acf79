"""Commands, options, diagnostics, functions and files that the documentation names exist."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import migrate
from migrate.cli.main import COMMANDS
from migrate.cli.main import migrate as group
from migrate.errors import Code
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
MADE = (DOCS / "build", DOCS / "reference/made", DOCS / "examples")
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
    if not any(page.is_relative_to(folder) for folder in MADE)
)
NOT_FUNCTIONS = {"digests", "items", "lock", "schema"}
"""Keys and files whose names begin with `migrate.`"""

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_COMMAND = re.compile(r"(?:^|[\s(])migrate ([a-z][a-z-]*)([^|;&#]*)")
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*|-[a-zA-Z])(?=[\s=]|$)")
_FUNCTION = re.compile(r"(?<![\w./])migrate\.([A-Za-z_]+)")
_FILE = re.compile(r"(?:docs|fixtures|migrate|tests)/[\w./-]+\w")


def options_of(name: str) -> set[str]:
    """The options of a command, and those of every command."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {text for option in options for text in (*option.opts, *option.secondary_opts)} | {"--help"}


OPTIONS = {name: options_of(name) for name in COMMANDS}
ALL_OPTIONS = set().union(*OPTIONS.values()) | {"--version"}


def inline_code(text: str) -> list[str]:
    """The code within the lines of a page."""
    return re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))


def command_lines(text: str) -> Iterator[str]:
    """The commands of a page, in blocks and in the middle of a line."""
    for _, language, block in _BLOCK.findall(text):
        if language in ("console", "sh"):
            lines = block.replace("\\\n", " ").splitlines()
            yield from (line.removeprefix("$ ") for line in lines if language == "sh" or line.startswith("$ "))
    yield from (code for code in inline_code(text) if code.startswith("migrate "))


def wrong_names(text: str) -> list[str]:
    """What a page names and does not exist."""
    wrong = [number for number in re.findall(r"\bM\d{3}\b", text) if number not in Code.registry]
    for line in command_lines(text):
        for name, rest in _COMMAND.findall(line):
            if name not in COMMANDS:
                wrong.append(f"migrate {name}")
            else:
                wrong += [f"migrate {name} {option}" for option in _OPTION.findall(rest) if option not in OPTIONS[name]]
    code = inline_code(text)
    wrong += [found[0] for line in code if (found := re.match(r"--[a-z-]+", line)) and found[0] not in ALL_OPTIONS]
    code += [block for _, language, block in _BLOCK.findall(text) if language == "python"]
    wrong += [f"migrate.{name}" for line in code for name in _FUNCTION.findall(line) if not is_public(name)]
    files = [line for line in inline_code(text) if _FILE.fullmatch(line) and not line.startswith("docs/build")]
    return wrong + [file for file in files if not (ROOT / file).exists()]


def is_public(name: str) -> bool:
    """Whether `migrate.` has this name."""
    return name in NOT_FUNCTIONS or hasattr(migrate, name) or importlib.util.find_spec(f"migrate.{name}") is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_exists(page: Path):
    assert [] == wrong_names(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`migrate apply R S D --dry-run`, M201, `--probe`, `migrate.load`, `docs/rules.md`", []),
        ("`migrate aply R S D`", ["migrate aply"]),
        ("```console\n$ migrate apply R S D --dryrun\nerror: no option --x\n```\n", ["migrate apply --dryrun"]),
        ("```sh\nmigrate inspect D --probe M:F   # a comment with --nothing\n```\n", ["migrate inspect --probe"]),
        ("the option `--dry-runs`", ["--dry-runs"]),
        ("M999", ["M999"]),
        ("`migrate.loads(x)`", ["migrate.loads"]),
        ("```python\nmigrate.plans()\n```\n", ["migrate.plans"]),
        ("`docs/rulez.md`", ["docs/rulez.md"]),
    ],
)
def test_a_name_that_does_not_exist_is_found(text: str, wrong: list[str]):
    assert wrong == wrong_names(text)
