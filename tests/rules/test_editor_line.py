"""The line for editors, and what the YAML language server makes of a rule file that begins with it."""

import json
import tomllib
from pathlib import Path

import pytest

from migrate.ops.registry import OPS
from migrate.rules.editor_line import EDITOR_LINE, SCHEMA_FILE, SCHEMA_URL
from migrate.rules.schema import FILE, MOVE, json_schema
from tests.language_server import language_server

ROOT = Path(__file__).parents[2]
LOCAL_LINE = EDITOR_LINE.replace(SCHEMA_URL, str(ROOT / SCHEMA_FILE))
"""The line with the file in place of its address: tests have no network."""

BUNDLED = sorted((ROOT / "rules").rglob("*.yaml"))


def test_the_published_schema_is_that_of_this_version():
    text = json.dumps(json_schema(), indent=2) + "\n"
    assert text == (ROOT / SCHEMA_FILE).read_text(), f"run `migrate schema > {SCHEMA_FILE}`"


def test_the_address_is_that_of_the_published_file():
    links = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert f"{links['Homepage']}/raw/main/{SCHEMA_FILE}" == SCHEMA_URL


def test_the_documentation_shows_the_line():
    assert f"```yaml\n{EDITOR_LINE}\n```" in (ROOT / "docs" / "rules.md").read_text()


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: str(path.relative_to(ROOT / "rules")))
def test_every_bundled_rule_file_begins_with_the_line(path):
    assert path.read_text().startswith(f"{EDITOR_LINE}\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with language_server(tmp_path_factory.mktemp("documents")) as running:
        yield running


@pytest.fixture
def opened(server, request):
    """Opens a rule file that consists of the line and these lines; returns its URI."""

    def open_file(*lines):
        return server.open("\n".join((LOCAL_LINE, *lines, "")), f"{request.node.name}.yaml")

    return open_file


def test_a_server_completes_the_names_of_ops(server, opened):
    uri = opened("migrate: 1", "rules:", "  - from: a", "    to: b", "    ops:", "      - ")
    labels = server.completions(uri, 6, 8).keys()
    assert OPS.keys() <= labels


def test_a_server_completes_the_fields_of_a_file(server, opened):
    uri = opened("migrate: 1", "", "rules: []")
    labels = server.completions(uri, 2, 0).keys()
    assert FILE.by_name.keys() - {"migrate", "rules"} == labels


def test_a_server_shows_what_a_field_means(server, opened):
    uri = opened("migrate: 1", "follow: off", "rules:", "  - {from: a, to: b, copy: true}")
    assert plain(FILE.by_name["follow"].doc) in plain(server.hover(uri, 2, 2))
    assert plain(MOVE.by_name["copy"].doc) in plain(server.hover(uri, 4, 23))


def plain(text):
    """Returns a text without the escapes of Markdown and without its line breaks."""
    return " ".join(text.replace("\\", "").replace("&nbsp;", " ").split())


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (("migrate: 1", "folow: off", "rules: []"), "folow"),
        (("migrate: 1", "rules:", "  - {from: a, to: b, opz: [transpose]}"), "opz"),
        (("migrate: 1", "rules:", "  - {create: {to: b, init: zeros, optionl: true}}"), "optionl"),
        (("migrate: 1", "target: {templat: 'm:f'}", "rules: []"), "templat"),
    ],
)
def test_a_server_underlines_a_misspelled_field(server, opened, lines, word):
    found = server.diagnostics(opened(*lines))
    (line,) = [number for number, text in enumerate(lines, 1) if word in text]
    start = lines[line - 1].index(word)
    here = {"start": {"line": line, "character": start}, "end": {"line": line, "character": start + len(word)}}
    assert here in [one["range"] for one in found]
    assert any(word in one["message"] for one in found if one["range"] == here)


def test_a_server_finds_no_fault_in_bundled_rule_files(server):
    for path in BUNDLED[::8]:  # a server takes about a second for each
        text = path.read_text().replace(SCHEMA_URL, str(ROOT / SCHEMA_FILE))
        assert [] == server.diagnostics(server.open(text, f"bundled_{path.stem}.yaml")), path
