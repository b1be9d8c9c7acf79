"""The next rule file of a folder: its versions, its name, its guards, and the recorded trees beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrate.codes import AmbiguousUpgradePath
from migrate.errors import UsageError
from migrate.planning.rule_text.write import flow, quoted
from migrate.planning.versions.graph import VersionGraph, draw
from migrate.rules.folder import RuleFolder

if TYPE_CHECKING:
    from migrate.planning.suggest.pipeline import Suggestion

_LEADING = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Release:
    """A step from the newest version of a model to the next.

    Attributes:
      model: the model's name; None where nothing names it.
      before: the version that exists.
      after: the next version.
    """

    model: str | None
    before: int | str
    after: int | str


@dataclass(frozen=True)
class NewVersion:
    """The files of a new version.

    Attributes:
      release: the versions.
      name: the name of the rule file.
      text: its text, a draft for review.
      trees: the text of each recorded tree by file name.
      suggestion: the draft as `suggest` makes it, with its plan and doubts.
    """

    release: Release
    name: str
    text: str
    trees: Mapping[str, str]
    suggestion: Suggestion


def next_release(
    folder: RuleFolder, model: str | None, version: int | str | None, after: int | str | None = None
) -> Release:
    """Returns the versions of the next rule file.

    Args:
      folder: the rule files that exist.
      model: the model's name in the record of the source, or as the user names it.
      version: the version in the record of the source; None where it has none, then it is the newest version.
      after: the next version (default: the number after it).

    Raises:
      UsageError: the source is not of the newest version, or there are several newest ones (`AmbiguousUpgradePath`).
    """
    graph = VersionGraph(folder)
    heads = [head for head in graph.heads if model is None or head.model in (model, None)]
    if version is None and len(heads) > 1:
        names = ", ".join(map(str, heads))
        raise _second(f"{folder.path} has {len(heads)} newest versions: {names}", graph, "merge them first")
    if version is not None and heads and str(version) not in {head.version for head in heads}:
        newest = ", ".join(map(str, heads))
        message = f"the source is version {version}, but the newest version in {folder.path} is {newest}"
        raise _second(message, graph, f"upgrade it first: `migrate upgrade {folder.path} SRC DST`")
    before = version if version is not None else _number(heads[0].version) if heads else 1
    name = model or (heads[0].model if heads else None)
    return Release(name, before, _number(str(after)) if after is not None else _following(before))


def file_name(folder_names: Iterable[str], release: Release, message: str) -> str:
    """Returns the name of the next rule file: a number of four digits, and the message.

    Args:
      folder_names: the names of the files in the folder.
      release: its versions.
      message: what changes, in a few words.
    """
    rules = (name for name in folder_names if name.endswith((".yaml", ".yml")))
    taken = [int(found[0]) for name in rules if (found := _LEADING.match(name))]
    first = release.after if isinstance(release.after, int) else 1
    number = max(taken) + 1 if taken else first
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")[:60]
    return f"{number:04}_{slug}.yaml" if slug else f"{number:04}.yaml"


def target_fields(release: Release, structure: str) -> dict[str, Any]:
    """Returns the guards of `target:`."""
    return _guards(release.model, release.after, structure)


def with_source(text: str, release: Release, structure: str) -> str:
    """Returns a rule file with the guards of `source:` above its `target:`."""
    line = f"source: {flow(_guards(release.model, release.before, structure))}\n"
    head, separator, rest = text.partition("\nmigrate: 1\n")
    return f"{head}{separator}{line}{rest}"


def with_probe(text: str, probe: str) -> str:
    """Returns a rule file that names its probe, above its rules."""
    head, separator, rest = text.partition("\nrules:\n")
    return f"{head}\nprobe: {quoted(probe)}{separator}{rest}"


def _guards(model: str | None, version: int | str, structure: str) -> dict[str, Any]:
    fields = {"model": model, "version": version, "structure": structure}
    return {name: value for name, value in fields.items() if value is not None}


def _number(version: str) -> int | str:
    return int(version) if version.isdecimal() and str(int(version)) == version else version


def _following(version: int | str) -> int | str:
    if isinstance(version, int):
        return version + 1
    found = list(_LEADING.finditer(version))
    if not found:
        return f"{version}.1"
    last = found[-1]
    return f"{version[: last.start()]}{int(last[0]) + 1}{version[last.end() :]}"


def _second(message: str, graph: VersionGraph, advice: str) -> UsageError:
    return UsageError(AmbiguousUpgradePath.at(message, help=f"{advice}; the rule files:", snippet=draw(graph.steps)))
