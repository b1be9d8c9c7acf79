"""A folder of rule files, one for each version of a model, with the recorded trees of the versions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrate.codes import InvalidRecordedTree, SingleSourceOnly, UnreadableRuleFile
from migrate.errors import Diagnostic, RuleFileError
from migrate.rules.files import bundled_names
from migrate.rules.loader import load_rules
from migrate.rules.model import RuleSet
from migrate.rules.recorded_tree import SUFFIX, RecordedTree, TreeReader, is_recorded_tree
from migrate.tree import natural_key

_RULES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class RuleFolder:
    """The content of a folder.

    Attributes:
      path: the folder as the user named it.
      files: the rule files that lead to a version, by name.
      others: the names of rule files without a version in `source:` or `target:`, such as those to be included.
      trees: the recorded trees.
    """

    path: str
    files: tuple[RuleSet, ...]
    others: tuple[str, ...] = ()
    trees: tuple[RecordedTree, ...] = ()

    def recorded_tree(self, model: str | None, version: str) -> RecordedTree | None:
        """Returns the recorded tree of a version; None where there is none."""
        alike = (one for one in self.trees if str(one.version) == version)
        return next((one for one in alike if one.model in (model, None)), None)


def load_folder(path: str | os.PathLike[str]) -> RuleFolder:
    """Returns the rule files and recorded trees of a folder; folders below it are not searched.

    Raises:
      RuleFileError: it is no folder (`UnreadableRuleFile`), or a file in it is invalid; all mistakes are named.
    """
    found, problems = read_folder(path)
    if problems:
        raise RuleFileError(*problems)
    return found


def read_folder(path: str | os.PathLike[str]) -> tuple[RuleFolder, list[Diagnostic]]:
    """Returns the valid files of a folder, and every mistake in the others.

    Raises:
      RuleFileError: it is no folder (`UnreadableRuleFile`).
    """
    folder = Path(path)
    try:
        names = sorted((one.name for one in folder.iterdir()), key=lambda name: natural_key((name,)))
    except OSError as error:
        message = f"the folder of rule files `{folder}` cannot be read: {error.strerror}"
        raise RuleFileError(UnreadableRuleFile.at(message, help="name a folder with one rule file per step")) from None
    problems: list[Diagnostic] = []
    files, trees, reader = list[RuleSet](), list[RecordedTree](), TreeReader()
    for name in names:
        try:
            if name.endswith(_RULES):
                rules = load_rules(str(folder / name))
                files.append(rules)
                problems += _other_sources(rules)
            elif name.endswith(SUFFIX):
                trees += [tree] if (tree := reader.read(folder / name)).version is not None else []
        except RuleFileError as error:
            problems += error.diagnostics
    problems += _doubles(trees)
    others = tuple(Path(rules.path).name for rules in files if not is_step(rules))
    return RuleFolder(os.fspath(path), tuple(filter(is_step, files)), others, tuple(trees)), problems


def released_names(folder: RuleFolder) -> list[str]:
    """Returns the files that decide what an upgrade does, relative to the folder: steps, included files and trees."""
    bundled = bundled_names()
    read = [name for rules in folder.files for name, _ in rules.files if name not in bundled]
    targets = [rules.target.template or "" for rules in folder.files]
    names = [*read, *(tree.spec for tree in folder.trees), *filter(is_recorded_tree, targets)]
    return sorted({Path(os.path.relpath(name, folder.path)).as_posix() for name in names})


def is_step(rules: RuleSet) -> bool:
    """Whether a rule file leads from one version to another."""
    return rules.source.version is not None and rules.target.version is not None


def _other_sources(rules: RuleSet) -> Iterable[Diagnostic]:
    """Yields a finding for each source of a step beside the main one: a step leads from one checkpoint to the next."""
    for name, one in rules.sources.items() if is_step(rules) else ():
        message = f"the step {rules.path} has the source `{name}`, and a step leads from one checkpoint to the next"
        advice = "move the file out of the folder, and apply it with `migrate apply`"
        yield SingleSourceOnly.at(message, span=one.span, help=advice)


def _doubles(trees: Iterable[RecordedTree]) -> Iterable[Diagnostic]:
    seen: dict[tuple[str | None, str], str] = {}
    for one in trees:
        first = seen.setdefault((one.model, str(one.version)), one.spec)
        if first != one.spec:
            yield InvalidRecordedTree.at(
                f"{first} and {one.spec} both record version {one.version}", help="remove one of the two"
            )
