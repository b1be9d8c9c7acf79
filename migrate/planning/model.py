"""The plan as a value: what happens to every leaf, decided from metadata alone.

A plan is made once and then drawn, hashed, run and verified; later stages decide nothing again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any, Literal

from migrate.errors import Diagnostic, Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.notebook import ShownInNotebook
from migrate.ops.base import Op
from migrate.planning.config import UNCHANGED, PlannedConfig
from migrate.planning.rule_text.config import config_fields
from migrate.rules.model import Init, RuleSet
from migrate.rules.recorded_tree import is_recorded_tree
from migrate.sharding import PORTABLE
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, KeyPath, format_path

Mode = Literal["relink", "copy", "stream"]
"""`relink` refers to chunks, `copy` copies them in their encoding, `stream` decodes and encodes them again."""

Proof = Literal["name", "shape", "value", "none"]
"""The evidence, besides the rule file, that a task's sources belong at its targets; see `migrate.planning.proof`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One op over a list of arrays.

    `groups` gives the indices of the arrays that each call receives; the results are concatenated in order. An op of
    one array has one group per array, or one per target where the template's leaves differ; a reduction has one group
    per result.

    Attributes:
      op: the op, or the first of `bound`.
      bound: the op of each group where not all are equal; otherwise empty.
    """

    op: Op
    groups: tuple[tuple[int, ...], ...]
    over: str | None = None
    bound: tuple[Op, ...] = ()

    @property
    def ops(self) -> tuple[Op, ...]:
        """The different ops of its calls."""
        return tuple(dict.fromkeys(self.bound)) or (self.op,)

    @property
    def calls(self) -> Iterable[tuple[Op, tuple[int, ...]]]:
        """The op of each group, with the group."""
        return zip(self.bound or repeat(self.op), self.groups, strict=False)


@dataclass(frozen=True, slots=True)
class Task:
    """Source leaves that become target leaves; two tasks share no leaf.

    Attributes:
      sources: key paths in the source, in the order in which the first step receives them.
      targets: key paths in the target.
      outputs: for each target, the index of its array in the list that the last step returns.
      steps: the bound ops; none for a leaf that keeps its value.
      in_avals, out_avals: abstract arrays of sources and targets; None for strings, `None` and empty containers.
      rule: the rule's place in its file; None when no rule names the leaf and it keeps its path.
      follows: for a moment, the key path of the param whose rule it follows.
      state: for a leaf of an optimizer's state, optax's name of the transform, where it is known.
      remark: for a count, its meaning for the moments beside it.
    """

    sources: tuple[KeyPath, ...]
    targets: tuple[KeyPath, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    in_avals: tuple[AbstractArray | None, ...]
    out_avals: tuple[AbstractArray | None, ...]
    mode: Mode = "stream"
    proved: Proof = "none"
    rule: Span | None = None
    follows: KeyPath | None = None
    state: str | None = None
    remark: str = ""

    def with_proof(self, proved: Proof) -> Task:
        """Returns the task with a proof."""
        if self.proved == proved:
            return self
        arrays = self.sources, self.targets, self.outputs, self.steps, self.in_avals, self.out_avals
        return Task(*arrays, self.mode, proved, self.rule, self.follows, self.state, self.remark)

    def with_mode(self, mode: Mode) -> Task:
        """Returns the task with a mode."""
        if self.mode == mode:
            return self
        arrays = self.sources, self.targets, self.outputs, self.steps, self.in_avals, self.out_avals
        return Task(*arrays, mode, self.proved, self.rule, self.follows, self.state, self.remark)

    def with_origin(self, rule: Span | None, follows: KeyPath | None, state: str | None, remark: str) -> Task:
        """Returns the task with what is known about its origin."""
        arrays = self.sources, self.targets, self.outputs, self.steps, self.in_avals, self.out_avals
        return Task(*arrays, self.mode, self.proved, rule, follows, state, remark)

    @property
    def exact(self) -> bool:
        """Whether the inverse ops restore every bit of the sources."""
        return all(op.exact for step in self.steps for op in step.ops)

    @property
    def verb(self) -> str:
        """Its name in a plan: `keep`, `rename`, `tie`, or the name of its most prominent op."""
        if self.steps:
            return max((step.op for step in self.steps), key=lambda op: op.prominence).name
        if len(self.targets) > 1:
            return "tie"
        return "keep" if self.sources == self.targets else "rename"

    @property
    def in_bytes(self) -> int:
        """Host bytes of all sources."""
        return sum(aval.nbytes for aval in self.in_avals if aval)

    @property
    def out_bytes(self) -> int:
        """Host bytes of all targets."""
        return sum(aval.nbytes for aval in self.out_avals if aval)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A source leaf that is left behind.

    Attributes:
      assert_zero: whether it has to be zero.
      rule: None if `unmatched: {source: drop}` drops it or it holds no data.
      equal: the source leaf that has to equal it after `ops`.
      ops: bound ops of one array.
    """

    source: KeyPath
    leaf: AbstractLeaf
    assert_zero: bool = False
    rule: Span | None = None
    equal: KeyPath | None = None
    ops: tuple[Op, ...] = ()

    @property
    def asserts(self) -> bool:
        """Whether its values are checked."""
        return self.assert_zero or self.equal is not None


@dataclass(frozen=True, slots=True)
class Created:
    """A target leaf without a source.

    Attributes:
      init: its value; None for leaves without data.
      remark: for a count, the reason why it starts again.
      named: the key path on which the value of an RNG stream depends, where it is not `target`: a later rule file of a
        chain renamed the leaf.
    """

    target: KeyPath
    leaf: AbstractLeaf
    init: Init | None = None
    rule: Span | None = None
    remark: str = ""
    named: KeyPath | None = None


@dataclass(frozen=True, slots=True)
class AppliedRules:
    """One rule file of a chain, with the structure hash of the tree to which it is applied."""

    rules: RuleSet
    source_structure_hash: str


@dataclass(frozen=True)
class Plan(ShownInNotebook):
    """What happens to every leaf.

    Attributes:
      target: the tree to write, with containers, boxes and shardings.
      template: the name of the template, or None when the rules derive the target from the source.
      extras: names of the source's items that are not pytrees and are carried over.
      as_step: whether a checkpoint of one pytree is written as a step with one item, for a `CheckpointManager` root.
      max_ram: the limit on host bytes of arrays while the plan runs, where it is known.
      model_facts: the fields of the new checkpoint's record that the template's model fills, by name, as plain JSON.
      chain: the rule files of a fused plan in order; empty for the plan of one rule file.
      config: the hyperparameters and JSON items that rules change.
      specs: the template's annotations: the partition specs of target leaves, for any mesh.
      missing, unexpected, shape_mismatch, dtype_mismatch: the key paths that make the plan inapplicable; empty in an
        applicable plan.
    """

    source: AbstractCheckpoint
    rules: RuleSet
    target: AbstractTree
    template: str | None
    tasks: tuple[Task, ...]
    dropped: tuple[Dropped, ...]
    created: tuple[Created, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    missing: tuple[KeyPath, ...] = ()
    unexpected: tuple[KeyPath, ...] = ()
    shape_mismatch: tuple[KeyPath, ...] = ()
    dtype_mismatch: tuple[KeyPath, ...] = ()
    extras: tuple[str, ...] = ()
    as_step: bool = False
    max_ram: int | None = None
    model_facts: Mapping[str, Any] = field(default_factory=dict)
    chain: tuple[AppliedRules, ...] = ()
    config: PlannedConfig = UNCHANGED
    specs: Mapping[KeyPath, tuple[tuple[str, ...] | None, ...]] = field(default_factory=dict)

    @property
    def json_items(self) -> Mapping[str, Any]:
        """The content of the JSON items that are carried over, as the new checkpoint has it."""
        return {name: self.config.contents.get(name, self.source.extras[name]) for name in self.extras}

    @property
    def applied(self) -> tuple[AppliedRules, ...]:
        """The rule files that the plan carries out, in order."""
        return self.chain or (AppliedRules(self.rules, self.source.structure_hash),)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the items that store its target; empty where it is one pytree.

        There are items where the rule file has `layout: items`, and where the source is a step of several items and no
        template sets another layout.
        """
        layout = self.rules.target.layout
        several = layout == "items" or (not layout and not self.template and len(self.source.items) > 1)
        names = tuple(dict.fromkeys(path[0] for path in self.target.leaves if path))
        return names if several and self.target.container(()) == "dict" and len(names) > 1 else ()

    @property
    def has_mesh(self) -> bool:
        """Whether its target is for a mesh."""
        return any(leaf.sharding not in (None, PORTABLE) for leaf in self.target.leaves.values())

    @property
    def calls_model(self) -> bool:
        """Whether values of created leaves are those of the model, so that its code has to run."""
        return any(creation.init is not None and creation.init.kind == "template" for creation in self.created)

    @property
    def has_callable_model(self) -> bool:
        """Whether the code of its template may be called without a need: false if only a plan file names it, and for a
        recorded tree, which has no code.
        """
        if self.template is None or is_recorded_tree(self.template):
            return False
        return self.rules.planned is None or self.rules.target.template is None

    @property
    def applicable(self) -> bool:
        """Whether the plan can run: no diagnostic is an error."""
        return not any(d.is_error for d in self.diagnostics)

    @property
    def bytes_read(self) -> int:
        """Host bytes of array data to read."""
        asserted = sum(drop.leaf.nbytes for drop in self.dropped if drop.asserts)
        return asserted + sum(task.in_bytes for task in self.tasks if task.mode != "relink")

    @property
    def bytes_written(self) -> int:
        """Host bytes of array data to write."""
        return sum(task.out_bytes for task in self.tasks if task.mode != "relink") + sum(
            c.leaf.nbytes for c in self.created
        )

    @property
    def peak_host_bytes(self) -> int:
        """Host bytes of the largest unit of work: a task's sources and targets, at most `max_ram`."""
        streamed = (task.in_bytes + task.out_bytes for task in self.tasks if task.mode == "stream")
        most = max((*streamed, *(created.leaf.nbytes for created in self.created)), default=0)
        return most if self.max_ram is None else min(most, self.max_ram)

    @cached_property
    def digest(self) -> str:
        """`sha256:` over all that decides the output: both structures, the rules, all tasks, drops and creations."""
        canonical = json.dumps(self._decisions(), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

    def _decisions(self) -> Mapping[str, Any]:
        return {
            "source": self.source.structure_hash,
            "target": self.target.structure_hash,
            "rules": self.rules.digest,
            "shardings": [str(leaf.sharding) for leaf in self.target.leaves.values() if leaf.sharding],
            "tasks": [
                [
                    [format_path(p) for p in task.sources],
                    [format_path(p) for p in task.targets],
                    task.outputs,
                    [[step.op.name, *map(repr, step.bound or step.ops), step.groups] for step in task.steps],
                    task.mode,
                ]
                for task in self.tasks
            ],
            "dropped": [format_path(d.source) for d in self.dropped],
            "created": [
                [
                    format_path(c.target),
                    asdict(c.init) if c.init else None,
                    *([format_path(c.named)] if c.named else []),
                ]
                for c in self.created
            ],
            **({"equal": equal} if (equal := _equal_leaves(self.dropped)) else {}),
            **({"chain": [one.rules.digest for one in self.chain]} if self.chain else {}),
            **({"storage": self.rules.target.storage} if self.rules.target.storage else {}),
            **({"chunks": chunks} if (chunks := _chosen_chunks(self.target)) else {}),
            **({"config": [config_fields(rule) for rule in self.rules.config]} if self.rules.config else {}),
        }


def _equal_leaves(dropped: Iterable[Dropped]) -> list[list[str]]:
    """Returns the leaves that are dropped as equal to others, with those and the ops between them, as text."""
    return [
        [format_path(one.source), format_path(one.equal), *map(repr, one.ops)]
        for one in dropped
        if one.equal is not None
    ]


def _chosen_chunks(target: AbstractTree) -> dict[str, str]:
    """Returns the chunks that were chosen for leaves, as text."""
    return {format_path(path): str(leaf.chunks) for path, leaf in target.leaves.items() if leaf.chunks is not None}
