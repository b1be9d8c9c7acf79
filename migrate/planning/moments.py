"""Moments follow their params: copies of the params' structure inside the optimizer state get the params' rules.

A slot is a subtree of the source whose key paths are all key paths of the params: `mu` and `nu` of adam, `trace` of
momentum, an EMA. Moving elements around commutes with every elementwise optimizer, so a slot's leaf goes through the
very ops of its param and ends in the slot of the target that mirrors this one. What has no exact answer is refused
with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from migrate.codes import M210
from migrate.errors import Diagnostic
from migrate.planning.claims import Claim, Claims
from migrate.planning.gather import gather
from migrate.planning.model import Created, Dropped, Task
from migrate.rules.model import Create, Drop, Init, Move, RuleSet
from migrate.tree import AbstractTree, KeyPath, format_path, natural_key

ROOTS = ("params", "model", "target")
"""Names under which Flax's training states keep the params; a slot mirrors what is below one of them."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A subtree that mirrors the params: `prefix` in the source, the params at `root`, the relative paths that they
    share.
    """

    prefix: KeyPath
    root: KeyPath
    paths: frozenset[KeyPath]


@dataclass(frozen=True, slots=True)
class Followed:
    """What following decided.

    Attributes:
      tasks, dropped: moments that move, and those that are left behind with their params.
      created: target leaves that start afresh.
      failed: moments whose task could not be made.
      excused: target leaves that those would have filled.
    """

    tasks: tuple[Task, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    created: tuple[Created, ...] = ()
    failed: tuple[KeyPath, ...] = ()
    excused: tuple[KeyPath, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def find_slots(tree: AbstractTree) -> tuple[Slot, ...]:
    """Every topmost subtree outside the params whose key paths are all key paths of the params."""
    slots: list[Slot] = []
    for root in _param_roots(tree):
        for prefix, paths in _mirroring_nodes(tree, root):
            if not any(prefix[: len(slot.prefix)] == slot.prefix for slot in slots):
                slots.append(Slot(prefix, root, paths))
    return tuple(slots)


def follow(
    rules: RuleSet, source: AbstractTree, claims: Claims, param_tasks: Sequence[Task], template: AbstractTree | None
) -> Followed:
    """Applies the params' rules to every slot.

    Args:
      rules: the rule file.
      source: the source's tree.
      claims: what the rules claimed by name; a slot's leaf that is among them does not follow.
      param_tasks: the tasks that those claims became.
      template: the target's tree, where there is one.
    """
    outcome = [_follow_slot(_Slot(rules, source, claims, slot, template), param_tasks) for slot in find_slots(source)]
    return _together(outcome)


def _param_roots(tree: AbstractTree) -> list[KeyPath]:
    nodes = {path[:depth] for path in tree.leaves for depth in range(1, min(len(path), 4))}
    return sorted(node for node in nodes if node[-1] in ROOTS and not any(part in ROOTS for part in node[:-1]))


def _below(tree: AbstractTree, node: KeyPath) -> frozenset[KeyPath]:
    """Relative key paths of all leaves with data below a node."""
    depth = len(node)
    return frozenset(path[depth:] for path, leaf in tree.leaves.items() if leaf.has_data and path[:depth] == node)


def _mirroring_nodes(tree: AbstractTree, root: KeyPath) -> list[tuple[KeyPath, frozenset[KeyPath]]]:
    """Inner nodes apart from the params whose every leaf is named like a param, the topmost first."""
    params = _below(tree, root)
    leaves: defaultdict[KeyPath, int] = defaultdict(int)
    shared: defaultdict[KeyPath, set[KeyPath]] = defaultdict(set)
    for path, leaf in tree.leaves.items():
        for depth in range(1, len(path)) if leaf.has_data and path[: len(root)] != root else ():
            leaves[path[:depth]] += 1
            if path[depth:] in params:
                shared[path[:depth]].add(path[depth:])
    found = [(node, frozenset(paths)) for node, paths in shared.items() if len(paths) == leaves[node]]
    return sorted(found, key=lambda pair: (len(pair[0]), natural_key(pair[0])))


@dataclass(frozen=True, slots=True)
class _Slot:
    """One slot with everything that deciding about it needs."""

    rules: RuleSet
    source: AbstractTree
    claims: Claims
    slot: Slot
    template: AbstractTree | None

    def claims_of_rule(self) -> dict[int, list[Claim]]:
        """The params' claims, moved into the slot, by rule; leaves that a rule names themselves are left out."""
        moved: defaultdict[int, list[Claim]] = defaultdict(list)
        for index, claims in self.claims.by_rule.items():
            for claim in claims:
                path = self.inside(claim.path)
                if path is not None:
                    moved[index].append(replace(claim, path=path, leaf=self.source.leaves[path]))
        return moved

    def inside(self, param: KeyPath) -> KeyPath | None:
        """The slot's copy of a param, unless there is none or a rule names it."""
        relative = param[len(self.slot.root) :]
        if param[: len(self.slot.root)] != self.slot.root or relative not in self.slot.paths:
            return None
        path = self.slot.prefix + relative
        return None if path in self.claims.claimed else path

    def unclaimed(self) -> list[KeyPath]:
        """Leaves of the slot whose param no rule names: they keep their place relative to the slot."""
        named = self.claims.claimed
        return [
            self.slot.prefix + relative
            for relative in sorted(self.slot.paths)
            if self.slot.root + relative not in named and self.slot.prefix + relative not in named
        ]


def _follow_slot(slot: _Slot, param_tasks: Sequence[Task]) -> Followed:
    by_rule = slot.claims_of_rule()
    if not by_rule:
        return Followed()
    home = _home(slot, param_tasks)
    if home is None:
        return Followed()
    if isinstance(home, Diagnostic):
        return Followed(failed=tuple(c.path for claims in by_rule.values() for c in claims), diagnostics=(home,))
    parts = [_follow_rule(slot, index, claims, *home) for index, claims in by_rule.items()]
    parts.append(_kept(slot, *home))
    parts.append(_fresh(slot, *home))
    return _together(parts)


def _together(parts: Sequence[Followed]) -> Followed:
    return Followed(
        tasks=tuple(t for p in parts for t in p.tasks),
        dropped=tuple(d for p in parts for d in p.dropped),
        created=tuple(c for p in parts for c in p.created),
        failed=tuple(f for p in parts for f in p.failed),
        excused=tuple(e for p in parts for e in p.excused),
        diagnostics=tuple(d for p in parts for d in p.diagnostics),
    )


def _follow_rule(slot: _Slot, index: int, claims: Sequence[Claim], home: KeyPath, root: KeyPath) -> Followed:
    """One rule's share of the slot: moved, dropped, started afresh or refused."""
    rule = slot.rules.rules[index]
    if isinstance(rule, Drop):
        return Followed(dropped=tuple(Dropped(c.path, c.leaf, rule=rule.span) for c in claims))
    assert isinstance(rule, Move)
    data = [claim for claim in claims if claim.leaf.has_data]
    if rule.reset_moments:
        return _reset(slot, rule, data, home, root)
    refused = _inexact(slot, rule, data)
    if refused:
        failed = tuple(c.path for c in data)
        return Followed(failed=failed, excused=_mirrored(slot, rule, home, root), diagnostics=(refused,))
    made = gather(rule, data, slot.template, lambda path: home + path[len(root) :])
    depth = len(slot.slot.prefix)
    tasks = tuple(replace(t, follows=slot.slot.root + t.sources[0][depth:]) for t in made.tasks)
    excused = _mirrored(slot, rule, home, root) if made.failed else ()
    return Followed(tasks=tasks, failed=made.failed, excused=excused, diagnostics=made.diagnostics)


def _mirrored(slot: _Slot, rule: Move | Create, home: KeyPath, root: KeyPath) -> tuple[KeyPath, ...]:
    """The template's moments of all params that a rule's right-hand side names."""
    leaves = slot.template.leaves if slot.template else {}
    params = (root + path[len(home) :] for path in leaves if path[: len(home)] == home)
    named = (path for path in params if any(pattern.match(path) is not None for pattern in rule.targets))
    kept = (path for path in named if not isinstance(rule, Create) or not _excepted(rule, path))
    return tuple(home + path[len(root) :] for path in kept)


def _excepted(rule: Create, path: KeyPath) -> bool:
    return any(pattern.match(path) is not None for pattern in rule.excepts)


def _reset(slot: _Slot, rule: Move, claims: Sequence[Claim], home: KeyPath, root: KeyPath) -> Followed:
    """`moments: reset`: the old moments are left behind, the new ones start as the optimizer starts them."""
    params = [replace(c, leaf=slot.source.leaves[slot.slot.root + c.path[len(slot.slot.prefix) :]]) for c in claims]
    made = gather(rule, params, slot.template, lambda path: home + path[len(root) :])
    tree = slot.template
    if tree is None:
        problem = M210.at("`moments: reset` needs a template, whose optimizer starts them anew", span=rule.span)
        return Followed(failed=tuple(c.path for c in claims), diagnostics=(problem,))
    init = Init("template")
    return Followed(
        dropped=tuple(Dropped(c.path, c.leaf, rule=rule.span) for c in claims),
        created=tuple(
            Created(path, tree.leaves[path], init, rule.span)
            for t in made.tasks
            for path in t.targets
            if path in tree.leaves
        ),
    )


def _inexact(slot: _Slot, rule: Move, claims: Sequence[Claim]) -> Diagnostic | None:
    """Why this rule has no exact meaning for the slot's moments, or None."""
    loose = [op for op in rule.ops if not op.op.structural and op.op.name != "cast"]
    if loose:
        return M210.at(
            f"`{loose[0].op.name}` has no exact answer for the moments in `{format_path(slot.slot.prefix)}`",
            span=loose[0].span,
            paths=[format_path(c.path) for c in claims],
            help="say `moments: reset` in this rule, or write rules for the slot",
        )
    odd = [c for c in claims if rule.ops and c.leaf.aval and c.leaf.aval.shape != _param_shape(slot, c.path)]
    if odd:
        return M210.at(
            f"`{format_path(odd[0].path)}` is {odd[0].leaf}, not of its param's shape: such moments cannot follow ops",
            span=rule.span,
            paths=[format_path(c.path) for c in odd],
            help="say `moments: reset` in this rule, or write rules for the slot",
        )
    return None


def _param_shape(slot: _Slot, moment: KeyPath) -> tuple[int, ...] | None:
    leaf = slot.source.leaves[slot.slot.root + moment[len(slot.slot.prefix) :]]
    return leaf.aval.shape if leaf.aval else None


def _kept(slot: _Slot, home: KeyPath, root: KeyPath) -> Followed:
    """Moments of params that no rule names: the param keeps its path, and so does the moment within the slot."""
    tasks = []
    for path in slot.unclaimed():
        param = slot.slot.root + path[len(slot.slot.prefix) :]
        target = home + param[len(root) :]
        if target == path or param[: len(root)] != root:
            continue
        aval = slot.source.leaves[path].aval
        tasks.append(Task((path,), (target,), (0,), (), (aval,), (aval,), follows=param))
    return Followed(tasks=tuple(tasks))


def _fresh(slot: _Slot, home: KeyPath, root: KeyPath) -> Followed:
    """Moments of created params start as the optimizer starts them."""
    creates = [rule for rule in slot.rules.rules if isinstance(rule, Create)]
    moments = [(moment, rule) for rule in creates for moment in _mirrored(slot, rule, home, root)]
    leaves = slot.template.leaves if slot.template else {}
    return Followed(created=tuple(Created(path, leaves[path], Init("template"), rule.span) for path, rule in moments))


def _home(slot: _Slot, param_tasks: Sequence[Task]) -> tuple[KeyPath, KeyPath] | Diagnostic | None:
    """The slot's place in the target and the root of the params there, why it is not clear, or None if there is
    none.
    """
    below = slot.slot.root
    targets = [path for t in param_tasks for s in t.sources[:1] if s[: len(below)] == below for path in t.targets]
    if slot.template is not None:
        return _home_in_template(slot, targets)
    shared = _common_prefix(targets)
    if shared[: len(below)] == below:
        return slot.slot.prefix, below
    if not shared:
        return slot.slot.prefix, ()
    return M210.at(
        f"without a template it is not clear where the moments in `{format_path(slot.slot.prefix)}` go",
        paths=[format_path(slot.slot.prefix)],
        help="give `--template module:callable`, or say `follow: off` and write rules for the slot",
    )


def _home_in_template(slot: _Slot, targets: Sequence[KeyPath]) -> tuple[KeyPath, KeyPath] | Diagnostic | None:
    assert slot.template is not None
    present = [path for path in targets if path in slot.template.leaves]
    shared = _common_prefix(present)
    candidates = [
        (_agreement(slot.slot.prefix, home), home, shared[:depth])
        for depth in range(len(shared), -1, -1)
        for home in _mirrors(slot.template, {path[depth:] for path in present}, shared[:depth])
    ]
    agreed = max((agreement for agreement, _, _ in candidates), default=0)
    best = [(home, root) for agreement, home, root in candidates if agreement == agreed]
    if not agreed:
        return None
    if len({home for home, _ in best}) == 1:
        return best[0]
    return M210.at(
        f"the moments in `{format_path(slot.slot.prefix)}` have several possible slots in the target: "
        + ", ".join(f"`{format_path(home)}`" for home, _ in best[:5]),
        paths=[format_path(slot.slot.prefix)],
        help="say `follow: off` and write rules for the slot",
    )


def _mirrors(template: AbstractTree, wanted: Collection[KeyPath], root: KeyPath) -> list[KeyPath]:
    """Nodes of the template other than the params' own below which some of these paths are leaves, the fullest ones."""
    counts: defaultdict[KeyPath, int] = defaultdict(int)
    for path in template.leaves:
        for depth in range(len(path)):
            if path[depth:] in wanted and path[:depth] != root:
                counts[path[:depth]] += 1
    fullest = max(counts.values(), default=0)
    return [node for node, count in counts.items() if count == fullest]


def _agreement(one: KeyPath, other: KeyPath) -> int:
    """How many of their last segments agree."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _common_prefix(paths: Sequence[KeyPath]) -> KeyPath:
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    depth = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:depth]
