"""What a shell offers for an argument: bundled rule files, steps, items, key paths and codes.

They are read from metadata on this machine: no array, no bucket, no code of the user. Where nothing is known, nothing
is offered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from migrate.errors import MigrateError
from migrate.places.names import bucket_path

if TYPE_CHECKING:
    from migrate.formats.reader import AbstractCheckpoint
    from migrate.rules.source import Value

Candidates = list["CompletionItem[str]"]  # not generic in click 8.2
Complete = Callable[[click.Context, click.Parameter, str], Candidates]

_CHECKPOINTS = ("ckpt", "src", "step", "dst")
"""The arguments that name the checkpoint that `--step` and `--item` choose from; the first that a command has."""


def files(incomplete: str) -> Candidates:
    """Returns the request that the shell completes a path itself."""
    return [CompletionItem(incomplete, type="file")]


def file(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Offers the files of an option."""
    del ctx, param
    return files(incomplete)


def rule_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Offers bundled rule files by name, and paths."""
    del ctx, param
    from migrate.rules.files import bundled_names

    return [*files(incomplete), *_starting(incomplete, bundled_names())]


def steps(ctx: click.Context, incomplete: str, words: Iterable[str]) -> Candidates:
    """Offers words such as `latest`, and the steps of the checkpoint, the latest first; also after a comma."""
    given, comma, _ = incomplete.rpartition(",")
    return _starting(incomplete, [*("" if comma else word for word in words), *_steps(ctx, given + comma)])


def _steps(ctx: click.Context, given: str) -> Iterator[str]:
    from migrate.formats.detect import list_steps

    path = _checkpoint(_given(ctx))
    try:
        numbers = list_steps(path) if path else ()
    except MigrateError:
        return
    taken = given.split(",")
    yield from (f"{given}{number}" for number in reversed(numbers) if str(number) not in taken)


def items(ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
    """Offers the items of the checkpoint's step."""
    del param
    abstract = _abstract(ctx)
    return _starting(incomplete, sorted(abstract.items)) if abstract else []


def arguments(ctx: click.Context, incomplete: str) -> Candidates:
    """Offers the arguments that RULES declare with their defaults, and key paths of SRC as their values."""
    name, equals, value = incomplete.partition("=")
    declared = _declared(ctx)
    if not equals:
        shown = [text for one, default in declared.items() for text in (f"{one}=", f"{one}={default}")]
        return _starting(incomplete, shown)
    abstract = _abstract(ctx) if isinstance(declared.get(name), str) else None
    paths = _next_segments(value, abstract.tree.leaves) if abstract else ()
    return [CompletionItem(f"{name}={path}") for path in paths]


def codes(incomplete: str) -> Candidates:
    """Offers the codes that `migrate explain` explains, with their titles."""
    import migrate.codes  # noqa: F401 (registers them)
    from migrate.errors import Code

    found = _starting(incomplete.upper(), sorted(Code.registry))
    for item in found:
        item.help = (Code.registry[item.value].__doc__ or "").partition("\n")[0]
    return found


def _starting(incomplete: str, values: Iterable[str]) -> Candidates:
    return [CompletionItem(value) for value in values if value and value.startswith(incomplete)]


def _given(ctx: click.Context) -> Mapping[str, Any]:
    """Returns what is given so far; click itself knows nothing after an option whose value is being typed."""
    words = list((ctx.find_root().obj or ("",))[1:])
    complete = words[:-1] if words and words[-1].startswith("-") else words
    return ctx.command.make_context(ctx.info_name, complete, resilient_parsing=True).params


def _checkpoint(given: Mapping[str, Any]) -> str | None:
    """Returns the path of the checkpoint that the command reads; None if it is not given, or in a bucket."""
    path = next((str(given[name]) for name in _CHECKPOINTS if isinstance(given.get(name), str)), None)
    if path is None or bucket_path(path):
        return None
    return os.path.expanduser(os.path.expandvars(path))


def _abstract(ctx: click.Context) -> AbstractCheckpoint | None:
    """Returns the checkpoint without its values; None if it cannot be read."""
    from migrate.formats.detect import open_reader

    given = _given(ctx)
    path, step = _checkpoint(given), given.get("step")
    if path is None:
        return None
    try:
        with open_reader(path, step if isinstance(step, int) else None) as reader:
            return reader.abstract()
    except MigrateError:
        return None


def _declared(ctx: click.Context) -> Mapping[str, Value]:
    """Returns the defaults of the arguments that RULES declare; none if it cannot be read."""
    from migrate.rules.argument_values import declared_arguments
    from migrate.rules.files import decode, find, read
    from migrate.rules.source import MapNode, compose

    try:
        rules = find(str(_given(ctx).get("rules")))
        root, _ = compose(decode(read(rules), rules.name), rules.name)
    except MigrateError:
        return {}
    return {one.name: one.default for one in declared_arguments(root).values()} if isinstance(root, MapNode) else {}


def _next_segments(incomplete: str, paths: Iterable[tuple[str, ...]]) -> list[str]:
    """Returns the key paths that continue a text by one segment; by more below a node that is the only one."""
    from migrate.tree import format_path

    depth = incomplete.count("/") + 1
    known = [(path, format_path(path)) for path in paths]
    known = [(path, text) for path, text in known if text.startswith(incomplete)]
    found: set[str] = set()
    while len(found) < 2:
        longer = {format_path(path[:depth]) for path, _ in known}
        if longer == found:
            break
        found |= longer
        depth += 1
    return sorted(found)
