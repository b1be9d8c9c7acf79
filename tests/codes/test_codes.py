"""The contract of diagnostics: one class each, whose number occurs only there, in the module of its family.

Covers every module of `migrate.codes`.
"""

import ast
import re
from collections.abc import Iterator

from migrate import codes
from migrate.errors import Code
from tests.import_graph import modules_below
from tests.test_architecture import PACKAGE

SOURCES = {name: path.read_text(encoding="utf-8") for name, path in modules_below(PACKAGE).items()}
FAMILIES = {name: source for name, source in SOURCES.items() if name.startswith("migrate.codes.")}
OTHERS = {name: source for name, source in SOURCES.items() if not name.startswith("migrate.codes")}

ALLOWED = {"migrate.errors": ["M201"], "migrate.cli.explain": ["M201"]}
"""The examples in the docstring of `Code` and in the help of `explain`."""


def classes(source: str) -> list[tuple[str, str]]:
    """The name and the number of each diagnostic that a source defines."""
    return [
        (node.name, statement.value.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "number"
    ]


DEFINED = [(family, name, number) for family, source in FAMILIES.items() for name, number in classes(source)]


def test_names_and_numbers_are_unique():
    names, numbers = [name for _, name, _ in DEFINED], [number for _, _, number in DEFINED]
    assert sorted(set(names)) == sorted(names)
    assert sorted(set(numbers)) == sorted(numbers)


def test_the_registry_and_the_package_have_every_class():
    assert {number: name for _, name, number in DEFINED} == {n: code.__name__ for n, code in Code.registry.items()}
    assert sorted(name for _, name, _ in DEFINED) == codes.__all__


def test_a_number_belongs_to_the_family_of_its_module():
    for family, name, number in DEFINED:
        assert re.fullmatch(r"M\d{3}", number), name
        assert family.startswith(f"migrate.codes.m{number[1]}_"), name


def test_numbers_rise_in_each_module():
    for source in FAMILIES.values():
        numbers = [number for _, number in classes(source)]
        assert sorted(numbers) == numbers


def test_severities_are_stable():
    notes = {number for number, code in Code.registry.items() if code.severity == "note"}
    known = "M212 M213 M226 M227 M311 M407 M410 M413 M414 M508 M510 M528 M560 M734"
    assert known.split() == sorted(notes)
    others = {number: code.severity for number, code in Code.registry.items() if number not in notes}
    assert {"M217", "M310", "M325", "M608", "M609", "M610", "M611", "M636", "M740", "M745"} == {
        number for number, severity in others.items() if severity == "warning"
    }
    assert {"error", "warning"} == set(others.values())


def numbers_in(sources: dict[str, str]) -> dict[str, list[str]]:
    """The numbers of diagnostics in code, strings, comments and docstrings, by module."""
    found = {name: re.findall(r"\bM\d{3}\b", source) for name, source in sources.items()}
    return {name: numbers for name, numbers in found.items() if numbers}


def test_a_number_stands_only_in_its_class():
    found = numbers_in(OTHERS)
    assert ALLOWED == found
    assert [number for _, _, number in DEFINED] == [
        n for source in FAMILIES.values() for n in numbers_in({"": source})[""]
    ]


def test_a_number_in_a_comment_a_docstring_or_a_string_is_found():
    source = '"""See M101."""\nx = f"(M202)"  # M303\nM4 = "M40 M5555"'
    assert {"a": ["M101", "M202", "M303"]} == numbers_in({"a": source, "b": "M1xx"})


def used_names(source: str) -> Iterator[str]:
    """Names that code uses, without those that it only imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_every_diagnostic_is_used():
    used = {name for source in OTHERS.values() for name in used_names(source)}
    assert set() == {name for _, name, _ in DEFINED} - used


def test_a_diagnostic_that_is_only_imported_is_not_used():
    assert {"Other", "at"} == set(used_names("from migrate.codes import InvalidYaml, Other\nOther.at"))


def test_a_page_is_a_title_and_at_most_five_sentences():
    assert len(Code.registry) > 100
    for name, page in ((code.__name__, code.__doc__) for code in Code.registry.values()):
        title, blank, *rest = [re.sub(r"`[^`]*`", "x", line.strip()) for line in page.strip().splitlines()]
        assert "" == blank, name
        assert re.fullmatch(r"[^.]+\.", title), name
        text = re.sub(r"`[^`]*`", "x", " ".join(rest))
        assert 1 <= len(re.findall(r"\.(?= [A-Z`x(]|$)", text)) <= 5, name


def test_lints_are_those_of_a_folder_of_rule_files():
    assert {"M605", "M608", "M609", "M610", "M611"} == {n for n, code in Code.registry.items() if code.is_lint}
