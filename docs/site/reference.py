"""Reference pages made from code, in Markdown: ops, commands, diagnostics, exit codes and the Python API.

`write` puts them below `docs/reference/made/`, where Sphinx finds them; they are not in the repository, so that none of
them can be out of date.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from inspect import getdoc, getmodule
from pathlib import Path

import click

import migrate
from docs.site.op_examples import EXAMPLES, OpExample
from migrate import codes, errors
from migrate.cli.main import COMMANDS
from migrate.cli.options import SETTINGS
from migrate.errors import Code, ExitCode
from migrate.ops.base import NotInvertible, Op
from migrate.ops.registry import OPS
from migrate.planning.rule_text.ops import op_text

MADE = Path(__file__).parents[1] / "reference" / "made"

_ROLES = {
    "map": "one array to one",
    "reduce": "several arrays to one",
    "extend": "one array to several",
    "combine": "unlike arrays, bound to names by `from:`, to one",
}

_FAMILIES = {
    "M0": "YAML",
    "M1": "Fields of a rule file",
    "M2": "Matching and coverage",
    "M3": "Shapes, dtypes and structure",
    "M4": "Formats and input",
    "M5": "Execution and verification",
    "M6": "Versions of a model",
    "M7": "Loading, training scripts, roots and layouts",
    "M9": "Bugs",
}


def write(folder: Path = MADE) -> None:
    """Writes every page into `folder`, and removes what else was there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.name not in PAGES:
            old.unlink()
    for name, page in PAGES.items():
        text = "\n".join(page()) + "\n"
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def ops_page() -> Iterator[str]:
    """The ops in the order of the registry, each with its fields, an example and its inverse."""
    yield from ("# Ops", "")
    yield "The items of a rule's `ops:`, applied in order. `float32[512,8]` is the dtype and shape of an array."
    for name, op in OPS.items():
        yield from ("", f"## `{name}`", "", _doc(op), "")
        yield f"It takes {_ROLES[op.role]}.{_shorthand(op)}"
        yield from _op_fields(op)
        yield from _op_example(EXAMPLES[name])


def _shorthand(op: type[Op]) -> str:
    return f" `{{{op.name}: …}}` alone sets `{op.shorthand}`." if op.shorthand else ""


def _op_fields(op: type[Op]) -> Iterator[str]:
    rows = [(f"`{one.name}`", one.doc, one.required) for one in op.params]
    rows = [(f"`{one.name}` (in `from:`)", one.doc, one.required) for one in op.inputs] + rows
    if not rows:
        return
    yield from ("", "| field | meaning | required |", "|---|---|---|")
    for name, meaning, required in rows:
        yield f"| {name} | {_cell(meaning)} | {'yes' if required else 'no'} |"


def _op_example(example: OpExample) -> Iterator[str]:
    yield from ("", "```yaml", f"- {example.rule}", "```", "")
    yield f"{_arrays(example.inputs)} → {_arrays(example.results)}"
    yield ""
    inverse = example.inverse
    if isinstance(inverse, NotInvertible):
        yield f"No inverse: {inverse.reason}."
    elif example.op.exact:
        yield f"Inverse: `{{{op_text(inverse)}}}`, bit for bit."
    else:
        yield f"Inverse: `{{{op_text(inverse)}}}`; values can differ by rounding."


def _arrays(arrays: tuple[object, ...]) -> str:
    first = str(arrays[0])
    if len(arrays) > 1 and all(str(one) == first for one in arrays):
        return f"{len(arrays)} × `{first}`"
    return ", ".join(f"`{one}`" for one in arrays)


def commands_page() -> Iterator[str]:
    """The help of every command."""
    yield from ("# Commands", "")
    yield "What `migrate COMMAND --help` prints. [Exit codes](exit_codes.md) are the same for all commands."
    for name in COMMANDS:
        command = importlib.import_module(f"migrate.cli.{name}").command
        context = click.Context(command, info_name=f"migrate {name}", **SETTINGS)
        yield from ("", f"## `migrate {name}`", "", command.short_help or "", "")
        yield from ("```text", command.get_help(context).rstrip(), "```")


def diagnostics_page() -> Iterator[str]:
    """Every diagnostic, as `migrate explain` prints it."""
    yield from ("# Diagnostics", "")
    yield "`migrate explain CODE` prints the same text."
    family = None
    for number in sorted(Code.registry):
        code = Code.registry[number]
        if number[:2] != family:
            family = number[:2]
            yield from ("", f"## {_FAMILIES[family]}")
        title, _, text = _doc(code).partition("\n")
        yield from ("", f"({number.lower()})=", f"### {number}: {title.removesuffix('.')}", "")
        yield from (f"*{code.severity.capitalize()}{', a lint' * code.is_lint}.* {text.strip()}",)


def exit_codes_page() -> Iterator[str]:
    """The exit codes, with the exceptions of the Python API that have them."""
    yield from ("# Exit codes", "", "| code | meaning |", "|---:|---|")
    docs = _value_docs()
    for code in ExitCode:
        yield f"| {code.value} | {_cell(docs[code.name])} |"
    yield from ("", "The exceptions of the Python API have the same codes, as `error.exit_code`.", "")
    yield from ("```text", _tree_of_exceptions(), "```")


def _value_docs() -> dict[str, str]:
    """The text after each value of `ExitCode`."""
    lines = [line.strip() for line in Path(errors.__file__).read_text().splitlines()]
    found = {}
    for line, after in itertools.pairwise(lines):
        name, equals, _ = line.partition(" = ")
        if equals and name in ExitCode.__members__:
            found[name] = after.strip('"')
    return found


def _tree_of_exceptions() -> str:
    """The indented lines of the docstring of `migrate.errors`."""
    text = errors.__doc__ or ""
    return "\n".join(line.removeprefix("    ") for line in text.splitlines() if line.startswith("    "))


def api_page() -> Iterator[str]:
    """Every public name of the package, for autodoc."""
    yield from ("# Python API", "")
    yield "All names below are imported from `migrate`. Arguments that stand for a path also take a bucket, `gs://…` or `s3://…`."
    names = [name for name in migrate.__all__ if not name.startswith("_")]
    functions = sorted(name for name in names if not isinstance(getattr(migrate, name), type))
    classes = sorted(name for name in names if isinstance(getattr(migrate, name), type))
    for title, kind, group in (("Functions", "autofunction", functions), ("Classes", "autoclass", classes)):
        yield from ("", f"## {title}")
        for name in group:
            module = getmodule(getattr(migrate, name))
            assert module is not None
            yield from ("", "```{eval-rst}", f".. {kind}:: {module.__name__}.{name}", "```")


def _doc(thing: object) -> str:
    return getdoc(thing) or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "ops.md": ops_page,
    "commands.md": commands_page,
    "diagnostics.md": diagnostics_page,
    "exit_codes.md": exit_codes_page,
    "api.md": api_page,
}
"""The pages by file name."""

assert codes  # the import registers every diagnostic
