import json
from inspect import getdoc

from migrate import codes
from migrate.errors import Code
from tests.cli.terminals import on_terminal


def test_the_page_of_a_code(run, golden):
    result = run("explain", "m204")
    assert 0 == result.exit_code
    golden("cli/explain.txt", result.stdout)


def test_a_page_is_wrapped_as_paragraphs_on_any_terminal(here):
    title, blank, *lines = on_terminal(60, "explain", "M508", "--color", "never").text.splitlines()
    assert ("M508: The run was stopped before it finished.", "") == (title, blank)
    assert getdoc(codes.RunStopped).split()[7:] == " ".join(lines).split()
    assert 4 == len(lines)
    assert max(map(len, lines)) <= 60


def test_examples_in_a_page_keep_their_lines(run):
    page = run("explain", "M630").stdout
    assert "\n    sources:\n      lora: adapter.safetensors " in page


def test_without_a_code_all_are_listed(run):
    lines = run("explain").stdout.splitlines()
    assert sorted(Code.registry) == [line.split()[0] for line in lines]


def test_every_code_has_a_page_that_begins_with_a_sentence():
    assert set(codes.__all__) == {code.__name__ for code in Code.registry.values()}
    assert [] == [
        name for name, code in Code.registry.items() if not (code.__doc__ or "").partition("\n")[0].endswith(".")
    ]


def test_a_code_that_is_not_there_gets_the_nearest(run):
    result = run("explain", "M2O4")
    assert 2 == result.exit_code
    assert "did you mean `M204`?" in result.stderr


def test_pages_for_programs(run):
    assert "M204" == json.loads(run("explain", "M204", "--json").stdout)["code"]
