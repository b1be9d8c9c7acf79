"""The first files of a migration, from the metadata of a checkpoint alone: a template and a rule file.

The template returns the checkpoint's own tree, so that the rule file needs no rule and its plan can be applied at once.
The user then replaces the tree by the new model, and learns from the plan which rules it needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from textwrap import wrap
from typing import Any

from migrate.codes import InvalidUsage, NoCheckpoint
from migrate.dtypes import key_impl
from migrate.errors import CheckpointError, UsageError, listed
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import Metadata
from migrate.planning.model import Plan
from migrate.planning.moments.names import PARAM_STATES
from migrate.planning.planner import make_plan
from migrate.planning.rule_text.examples import creation_example, example_rules
from migrate.planning.rule_text.rule_drafts import pattern, text_of
from migrate.planning.rule_text.write import Word, drop_line, flow, move_lines
from migrate.planning.suggest.families import FamilyFit, reading_families
from migrate.planning.suggest.family_drafts import told_apart
from migrate.planning.suggest.layout import ClassifiedTree, lay_out, refuse_single_array
from migrate.planning.suggest.transformers import is_foreign
from migrate.printable import printable
from migrate.rules.editor_line import EDITOR_LINE
from migrate.rules.loader import parse_rules
from migrate.template.stub import FUNCTION, InexpressibleTreeError, stub_code, stub_tree
from migrate.tree import AbstractTree, KeyPath

_UNWRITTEN = "the rule file"
"""The name of the unwritten rule file in diagnostics."""

_SHOWN = 3
"""The most bundled rule files that are named."""

_WIDTH = 116
"""The number of columns of a comment, without its mark."""

_DOCSTRING = f'''\
"""The target of a migration: `{FUNCTION}` returns the tree that the new checkpoint gets.

At first it is the tree of the old checkpoint. Return the new model instead:

    from flax import nnx

    from my_project import Model

    def {FUNCTION}():
        return Model(rngs=nnx.Rngs(0))

`migrate` takes its `nnx.state` and evaluates the function abstractly, as `nnx.eval_shape` does, so that no array is
allocated. A dict of several parts is a target as well: `{{"model": model, "optimizer": optimizer}}`.
"""
'''


@dataclass(frozen=True, slots=True)
class Starter:
    """The first files of a migration.

    Attributes:
      template: the code of the template.
      rules: the text of the rule file.
      plan: the plan of the rule file for this template.
      families: the bundled rule files that read the names of the checkpoint.
    """

    template: str
    rules: str
    plan: Plan
    families: tuple[FamilyFit, ...]


def start(source: AbstractCheckpoint, spec: str, *, model: str | None = None) -> Starter:
    """Returns the first files for a checkpoint.

    Args:
      source: the checkpoint.
      spec: the name of the template's callable for the rule file, `module:callable`.
      model: the name of the model (default: from the record of the checkpoint).

    Raises:
      CheckpointError: it has no arrays (`NoCheckpoint`), or its record is damaged (`DamagedFile`).
      UsageError: it is a single array, or no tree that a model can have (`InvalidUsage`).
    """
    tree = source.tree
    code = _code(source)
    mine = lay_out(tree)
    families = tuple(_families(source, mine))
    what = f"{printable(source.path.name)} ({mine.name}, {len(tree.leaves)} leaves)"
    head = [
        EDITOR_LINE,
        f"# From {what} to `{spec}`.",
        f"# Until `{FUNCTION}` returns the new model, it returns the tree of the checkpoint, and every leaf is kept.",
        *(f"# {line}" for sentence in family_sentences(families) for line in wrap(sentence, _WIDTH)),
        "migrate: 1",
        *_ends(source, spec, model),
    ]
    examples = _examples(tree, [leaf.path for leaf in mine.of("model") if tree.leaves[leaf.path].is_readable])

    def planned(rules: Sequence[str]) -> tuple[str, Plan]:
        lines = [*head, *(["rules:", *rules] if rules else ["rules: []"]), "", *examples]
        text = "".join(f"{printable(line)}\n" for line in lines)
        return text, make_plan(source, parse_rules(text, _UNWRITTEN), _Stub(spec, stub_tree(tree)))

    rules = list(_drops(tree))
    text, plan = planned(rules)
    if kept := list(_kept_states(plan)):
        text, plan = planned([*rules, *kept])
    return Starter(f"{_DOCSTRING}\n# The tree of {what}.\n\n{code}", text, plan, families)


@dataclass(frozen=True, slots=True)
class _Stub:
    """The template before it is written."""

    spec: str
    tree: AbstractTree
    transforms: frozenset[str] | None = None


def _code(source: AbstractCheckpoint) -> str:
    if not source.tree.with_data:
        message = f"`{source.path}` has no arrays to migrate"
        raise CheckpointError(NoCheckpoint.at(message, help="copy it unchanged; `migrate inspect` shows what it has"))
    refuse_single_array(source)
    try:
        return stub_code(source.tree)
    except InexpressibleTreeError:
        message = f"`{source.path}` has an array at a key path that is a node as well, so that no model has its tree"
        raise UsageError(
            InvalidUsage.at(message, help="`migrate suggest` drafts rules for a model of its own")
        ) from None


def family_sentences(families: tuple[FamilyFit, ...]) -> Iterator[str]:
    """Yields the bundled rule files that read the names of a checkpoint, as a sentence; nothing if there are none."""
    if families:
        first, names = families[0].family, listed([one.family.name for one in families], _SHOWN)
        known = f"Its names are those of {first.model} in {first.library}. " if first.library else ""
        which = "a bundled rule file that reads them" if len(families) == 1 else "bundled rule files that read them"
        yield f"{known}`migrate suggest` chooses {which} once the template is the new model: {names}."


def _families(source: AbstractCheckpoint, mine: ClassifiedTree) -> list[FamilyFit]:
    if not is_foreign(mine.of("model")):
        return []
    config = source.model_config
    return told_apart(reading_families(mine), config.content or None if config else None)


def _ends(source: AbstractCheckpoint, spec: str, model: str | None) -> Iterator[str]:
    """Yields the lines of `source:`, where there is anything to require of it, and of `target:`."""
    record = Metadata.from_json(source.metadata) or Metadata()
    fields = {"model": record.model or model, "version": record.version}
    required = {name: value for name, value in fields.items() if value is not None}
    if required:
        yield f"source: {flow(required)}"
    name = model or record.model
    made: dict[str, Any] = {"model": name} if name else {}
    made |= {"template": spec, **({"layout": Word("items")} if _has_items(source) else {})}
    yield f"target: {flow(made)}"


def _has_items(source: AbstractCheckpoint) -> bool:
    """Whether the target can have the items of the source: Orbax saves no array as an item, except for random keys."""
    return len(source.items) > 1 and all(() not in tree.leaves or _is_key(tree) for tree in source.items.values())


def _is_key(tree: AbstractTree) -> bool:
    aval = tree.leaves[()].aval
    return aval is not None and key_impl(aval.dtype) is not None


def _drops(tree: AbstractTree) -> Iterator[str]:
    """Yields rules for the leaves that no template can have."""
    paths = [path for path, leaf in tree.leaves.items() if not leaf.is_readable]
    yield from ["  # no array of JAX can hold these values"] if paths else []
    yield from (drop_line(pattern(text_of(path))) for path in paths)


def _kept_states(plan: Plan) -> Iterator[str]:
    """Yields rules for states of optimizers that the planner does not keep by their names alone: those before optax."""
    missing = set(plan.missing)
    trees: defaultdict[str, list[KeyPath]] = defaultdict(list)
    for path in plan.unexpected:
        if path in missing:
            trees[path[0]].append(path)
    yield from ["  # the state of an optimizer of flax.optim, unchanged"] if trees else []
    for paths in trees.values():
        columns = takewhile(lambda column: {column[0]} == set(column) != {PARAM_STATES}, zip(*paths, strict=False))
        node = tuple(column[0] for column in columns)
        text = pattern((*text_of(node[: len(paths[0]) - 1]), "**"))
        yield from move_lines([text], [text])


def _examples(tree: AbstractTree, arrays: Sequence[KeyPath]) -> Iterator[str]:
    yield "# Rules that the new model may need, with key paths of this checkpoint:"
    yield "#"
    yield "# rules:"
    yield from (f"# {line}" for line in [*example_rules(tree, arrays), creation_example(tree, arrays)])
    yield "#"
    yield "# All fields and ops: https://github.com/migrate-jax/migrate/blob/main/docs/rules.md"
