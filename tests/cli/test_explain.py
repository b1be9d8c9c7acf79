import json

from migrate import codes
from migrate.errors import Code


def test_the_page_of_a_code(run, golden):
    result = run("explain", "m204")
    assert 0 == result.exit_code
    golden("cli/explain.txt", result.stdout)


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
