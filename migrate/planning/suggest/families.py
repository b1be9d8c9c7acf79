"""Recognizes the families of the bundled rule files: those whose rules account for every array of both models."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from migrate.errors import RuleFileError
from migrate.knowledge.meanings import BUFFERS, REMAINDER
from migrate.knowledge.naming import PARAM_ROOTS
from migrate.planning.model import Plan
from migrate.planning.rule_text.numbers import numbers_in
from migrate.planning.rule_text.write import flow, quoted
from migrate.planning.suggest.layout import ClassifiedTree
from migrate.planning.suggest.values import Shape
from migrate.rules.bundled_families import BundledFamily, bundled_families
from migrate.rules.loader import parse_rules
from migrate.rules.model import Drop, Move, RuleSet
from migrate.rules.pattern import Pattern
from migrate.tree import KeyPath, natural_key

_LIKE = 7
"""The number of the first, and of the last, blocks of a list that represent it when rule files are tried."""

_ROOTED = "maxtext/"
"""The folder of the files whose argument `root` is a place in the target."""

_BUFFERS = tuple(map(Pattern.parse, BUFFERS))


@dataclass(frozen=True, slots=True)
class FamilyFit:
    """A bundled rule file that may lead from the source to the target.

    Attributes:
      family: the file.
      include: the value of `include:`.
      rules: the number of its rules.
    """

    family: BundledFamily
    include: str
    rules: int

    @property
    def sentence(self) -> str:
        """What was recognized, as a sentence."""
        model, library = self.family.model, self.family.library
        file = f"bundled rule file `{self.family.name}` moves every array of the model."
        return f"This is {model} in {library}'s names: the {file}" if library else f"The {file}"


def fitting_families(mine: ClassifiedTree, theirs: ClassifiedTree) -> list[FamilyFit]:
    """Returns the bundled files whose patterns match every array of both models, the preferred first."""
    sources, targets = _shapes(mine), _shapes(theirs)
    arguments = _arguments(sources, targets)
    examples = _examples(sources), _examples(targets)
    found = []
    for family in bundled_families():
        values = {name: arguments[name]() for name in family.args if name in arguments}
        if None in values.values():
            continue
        changed = {name: value for name, value in values.items() if value != family.default(name)}
        fields = {"file": family.name, **_place(targets, family), **({"args": changed} if changed else {})}
        include = _include(fields)
        rules = _included(include)
        if rules is not None and _accounts_for(rules, *examples):
            found.append(FamilyFit(family, include, rules.count))
    return found


def reading_families(mine: ClassifiedTree) -> list[FamilyFit]:
    """Returns the bundled files whose patterns match every array of a source, whatever the target is."""
    sources = _examples(_shapes(mine))
    found = ((family, _included(family.name)) for family in bundled_families())
    return [
        FamilyFit(family, family.name, rules.count)
        for family, rules in found
        if rules is not None and sources and _accounts_for(rules, sources, ())
    ]


def _shapes(side: ClassifiedTree) -> dict[KeyPath, Shape]:
    return {leaf.path: leaf.aval.shape for leaf in side.of("model")}


def _place(targets: Mapping[KeyPath, Shape], family: BundledFamily) -> dict[str, str]:
    """Returns the place of the model in the target, if it is below a name such as `model`."""
    tops = {path[0] for path in targets}
    if len(tops) != 1 or not tops <= PARAM_ROOTS or family.name.startswith(_ROOTED):
        return {}
    return {"to": next(iter(tops))}


def _include(fields: Mapping[str, object]) -> str:
    args = fields.get("args")
    texts = {name: value for name, value in fields.items() if name != "args"}
    if len(texts) == 1 and not args:
        return str(fields["file"])
    listed = f", args: {flow(args)}" if isinstance(args, dict) else ""
    return f"{{{', '.join(f'{name}: {quoted(value)}' for name, value in texts.items())}{listed}}}"


@lru_cache(maxsize=64)
def _included(include: str) -> RuleSet | None:
    """Returns the rules of an `include:`, or None for a file that cannot be included."""
    try:
        return parse_rules(f"migrate: 1\ninclude: {include}\nrules: []\n", "the suggestion")
    except RuleFileError:
        return None


def _arguments(sources: Mapping[KeyPath, Shape], targets: Mapping[KeyPath, Shape]) -> dict[str, Callable[[], object]]:
    """Returns how to read the arguments of families off the shapes of MaxText's side; None for what is not there."""
    end = ("token_embedder", "embedding")
    side = targets if any(path[-2:] == end for path in targets) else sources
    embedding = _one(side, *end)
    width = side[embedding][-1] if embedding else 0

    def axis() -> object:
        norm = next((path for path in side if any("pre_self_attention" in segment for segment in path)), None)
        return None if norm is None else int(side[norm][0] == width or len(side[norm]) < 2)

    def head() -> object:
        query = _one(side, "query", "kernel")
        return side[query][-1] if query else None

    def padding() -> object:
        tokens = _one(sources, "embed_tokens", "weight")
        return max(side[embedding][0] - sources[tokens][0], 0) if embedding and tokens else None

    def rest() -> object:
        blocks = {path[2] for path in sources if path[:2] == ("model", "layers")}
        stacked = [path for path in side if "layers_0" in path and path[-2:] == ("query", "kernel")]
        last = {path[path.index(REMAINDER) + 1] for path in side if REMAINDER in path[:-1]}
        count = len(blocks) or (len(last) + 6 * side[stacked[0]][1] if stacked else 0)
        return count - len(last) or None

    return {
        "rest": rest,
        "root": lambda: "/".join(embedding[:-2]) or None if embedding else None,
        "axis": axis,
        "head": head,
        "width": lambda: width or None,
        "padding": padding,
    }


def _one(shapes: Mapping[KeyPath, Shape], *end: str) -> KeyPath | None:
    """Returns the first key path with this end."""
    return next((path for path in shapes if path[-len(end) :] == end and len(path) > len(end) - 1), None)


def _examples(paths: Iterable[KeyPath]) -> list[KeyPath]:
    """Returns a few key paths of each kind, which differ in numbers only."""
    kinds: defaultdict[KeyPath, list[KeyPath]] = defaultdict(list)
    for path in sorted(paths, key=natural_key):
        kinds[tuple(numbers_in(segment)[0] for segment in path)].append(path)
    return [path for kind in kinds.values() for path in dict.fromkeys((*kind[:_LIKE], *kind[-_LIKE:]))]


def _accounts_for(rules: RuleSet, sources: Sequence[KeyPath], targets: Sequence[KeyPath]) -> bool:
    """Whether patterns match all of these sources and every rule one, and whether targets have these names."""
    left = {path for path in sources if not any(pattern.match(path) is not None for pattern in _BUFFERS)}
    for rule in rules.rules:
        if not isinstance(rule, Move):
            patterns = rule.sources if isinstance(rule, Drop) else ()
            left -= {path for pattern in patterns for path in left if pattern.match(path) is not None}
            continue
        for pattern in rule.sources:
            matched = {path for path in sources if pattern.match(path) is not None}
            if not matched and not rule.optional:
                return False
            left -= matched
    names = [_shape_of(pattern) for rule in rules.rules for pattern in getattr(rule, "targets", ())]
    return not left and all(any(name.fullmatch("/".join(path)) for name in names) for path in targets)


@lru_cache(maxsize=1 << 10)
def _shape_of(pattern: Pattern) -> re.Pattern[str]:
    """Returns what the key paths that a target pattern fills look like."""
    pieces = re.split(r"\{[^}]*\}", str(pattern))
    return re.compile("[^/]*".join(re.escape(piece).replace(r"\*\*", ".*") for piece in pieces))


def other_tasks(one: Plan, other: Plan) -> list[KeyPath]:
    """Returns the sources of the tasks of one plan that the other carries out otherwise."""
    known = {task.targets: (task.sources, task.outputs, task.steps) for task in other.tasks}
    changed = (task for task in one.tasks if known.get(task.targets) != (task.sources, task.outputs, task.steps))
    return [source for task in changed for source in task.sources]
