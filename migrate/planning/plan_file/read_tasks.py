"""Reads the tasks, drops and creations of a plan file, and infers again what each op makes of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from migrate.codes import InvalidPlanFile
from migrate.errors import Diagnostic, Span
from migrate.ops.base import TEMPLATE, Op, OpError
from migrate.ops.keep import Keep
from migrate.planning.coverage import can_create
from migrate.planning.diff import same_dtype, same_shape
from migrate.planning.model import Created, Dropped, Step, Task
from migrate.planning.plan_file.leaf_text import LocatedLeaf
from migrate.planning.plan_file.op_lines import LineReader, default_groups
from migrate.planning.plan_file.write import usual_outputs
from migrate.rules.field_types import FieldValues
from migrate.rules.model import CalledFunction
from migrate.rules.source import ListNode, Node, ScalarNode
from migrate.source_names import source_path
from migrate.tree import AbstractArray, AbstractLeaf, KeyPath, format_path, parse_path

Avals = tuple[AbstractArray | None, ...]
T = TypeVar("T")
Groups = tuple[tuple[int, ...], ...]


class _Unfit(Exception):
    """An entry that contradicts itself; a finding gives the reason."""


@dataclass
class EntryReader:
    """Reads entries one by one; what is wrong with them is added to `findings`.

    Attributes:
      sources, targets: the leaves of all entries so far.
      calls: the functions of `call` ops and the names of their arrays, with their places.
      names: the named sources.
    """

    findings: list[Diagnostic] = field(default_factory=list)
    sources: dict[KeyPath, AbstractLeaf] = field(default_factory=dict)
    targets: dict[KeyPath, AbstractLeaf] = field(default_factory=dict)
    calls: dict[CalledFunction, Span] = field(default_factory=dict)
    names: Collection[str] = ()
    _lines: LineReader = field(default_factory=LineReader)

    def tasks(self, entries: Sequence[FieldValues]) -> tuple[Task, ...]:
        """Returns the tasks."""
        return tuple(self._read(self._task, entries))

    def dropped(self, entries: Sequence[FieldValues]) -> tuple[Dropped, ...]:
        """Returns the leaves that are left behind."""
        return tuple(self._read(self._drop, entries))

    def created(self, entries: Sequence[FieldValues]) -> tuple[Created, ...]:
        """Returns the leaves without a source."""
        return tuple(self._read(self._creation, entries))

    def _read(self, read: Callable[[FieldValues], T], entries: Sequence[FieldValues]) -> Iterator[T]:
        for entry in entries:
            try:
                yield read(entry)
            except _Unfit:
                continue

    def _task(self, entry: FieldValues) -> Task:
        sources = self._leaves(entry, "from", self.sources)
        targets = self._leaves(entry, "to", self.targets)
        in_avals = tuple(one.leaf.aval for one in sources)
        steps, arrays = self._steps(entry, in_avals)
        outputs = self._outputs(entry, len(arrays), len(targets))
        for one, index in zip(targets, outputs, strict=True):
            ours = AbstractLeaf("array", arrays[index]) if steps else sources[index].leaf
            self._require_fit(ours, one)
        follows = entry.get("follows")
        return Task(
            sources=tuple(one.path for one in sources),
            targets=tuple(one.path for one in targets),
            outputs=outputs,
            steps=steps,
            in_avals=in_avals,
            out_avals=tuple(arrays[index] for index in outputs),
            proved=entry.get("proof", "none"),
            rule=rule_span(entry),
            follows=source_path(parse_path(follows), self.names) if follows is not None else None,
            state=entry.get("state"),
            remark=entry.get("remark", ""),
        )

    def _drop(self, entry: FieldValues) -> Dropped:
        one = self._single(entry, "from", self.sources)
        zero, span, equal = entry.get("assert") == "zero", rule_span(entry), entry.get("equal")
        if equal is None:
            return Dropped(one.path, one.leaf, zero, span)
        return self._equal(entry, one, source_path(parse_path(equal), self.names), span)

    def _equal(self, entry: FieldValues, one: LocatedLeaf, path: KeyPath, span: Span | None) -> Dropped:
        """Returns the drop of a leaf that equals another one of the source, in shape and dtype at least."""
        nodes = entry.node.get("ops")
        items = nodes.items if isinstance(nodes, ListNode) else ()
        found = [self._lines.op(node, self.findings) for node in items if isinstance(node, ScalarNode)]
        ops = tuple(rule_op.op for rule_op in found if rule_op is not None)
        other = self.sources.get(path)
        avals: tuple[AbstractArray, ...] = (one.leaf.aval,) if one.leaf.aval else ()
        try:
            for op in ops:
                avals = op.infer(*avals)
        except OpError as error:
            self._refuse(str(error), entry.node)
        if other is None or len(ops) < len(found) or avals != (other.aval,):
            self._refuse(f"`{format_path(path)}` is not a leaf of the source of the same shape", entry.node)
        return Dropped(one.path, one.leaf, rule=span, equal=path, ops=ops)

    def _creation(self, entry: FieldValues) -> Created:
        one = self._single(entry, "to", self.targets)
        node = entry.node.get("init")
        init = self._lines.init(node, self.findings) if isinstance(node, ScalarNode) else None
        if node is not None and init is None:
            raise _Unfit
        creation = Created(one.path, one.leaf, init, rule_span(entry), entry.get("remark", ""))
        subject = f"`{format_path(one.path)}` is {one.leaf}"
        if one.leaf.has_data != (init is not None):
            self._refuse(f"{subject}: leaves with data need an `init`, and others have none", one.node)
        if init is not None and not can_create(creation, init):
            self._refuse(f"{subject}, which `{entry.get('init')}` cannot create", one.node)
        return creation

    def _single(self, entry: FieldValues, name: str, known: dict[KeyPath, AbstractLeaf]) -> LocatedLeaf:
        found = self._leaves(entry, name, known)
        if len(found) > 1:
            self._refuse(f"an entry has one leaf, not {len(found)}", found[1].node)
        return found[0]

    def _leaves(self, entry: FieldValues, name: str, known: dict[KeyPath, AbstractLeaf]) -> tuple[LocatedLeaf, ...]:
        found: tuple[LocatedLeaf, ...] = entry.get(name)
        if name == "from":
            found = tuple(replace(one, path=source_path(one.path, self.names)) for one in found)
        for one in found:
            if one.path in known:
                self._refuse(f"`{format_path(one.path)}` is in two entries", one.node)
            known[one.path] = one.leaf
        return found

    def _steps(self, entry: FieldValues, arrays: Avals) -> tuple[tuple[Step, ...], Avals]:
        nodes = _items(entry.node.get("ops"))
        given: Sequence[Groups] = entry.get("groups", ((),) * len(nodes))
        if len(given) != len(nodes):
            self._refuse(f"`groups` has {len(given)} entries for {len(nodes)} ops", entry.node)
        steps = []
        for node, groups in zip(nodes, given, strict=True):
            step = self._step(node, groups, len(arrays))
            arrays = self._inferred(step, arrays, node)
            steps.append(step)
        return tuple(steps), arrays

    def _step(self, node: Node, groups: Groups, count: int) -> Step:
        ops = [self._op(one) for one in (_items(node) or (node,))]
        op, over = next((one for one in ops if not isinstance(one[0], Keep)), ops[0])
        if any((type(other), name) != (type(op), over) for other, name in ops if not isinstance(other, Keep)):
            self._refuse("a list of ops has one op with the fields of each group, or `keep`", node)
        groups = groups or default_groups(op, count)
        bound = tuple(other for other, _ in ops) if isinstance(node, ListNode) else ()
        calls = Step(op, groups, over, bound).calls
        sizes_fit = all(len(group) == 1 or (group and one.takes_several) for one, group in calls)
        if not sizes_fit or {index for group in groups for index in group} != {*range(count)}:
            self._refuse(f"`groups` of `{op.name}` do not fit {count} arrays", node)
        if bound and len(bound) != len(groups):
            self._refuse(f"`{op.name}` has {len(bound)} ops for {len(groups)} groups", node)
        return Step(op, groups, over, bound)

    def _op(self, node: Node) -> tuple[Op, str | None]:
        found = self._lines.op(node, self.findings) if isinstance(node, ScalarNode) else None
        if found is None:
            raise _Unfit
        op = found.op
        if any(getattr(op, param.name) == TEMPLATE for param in op.params if param.type in ("dtype", "shape")):
            self._refuse(f"`{op.name}` has the field `template`; a plan has the shape or dtype itself", node)
        if op.code is not None:
            self.calls.setdefault((op.code, op.names), node.span)
        return op, found.over

    def _inferred(self, step: Step, arrays: Avals, node: Node) -> Avals:
        results: list[AbstractArray] = []
        for op, group in step.calls:
            inputs = [arrays[index] for index in group]
            known = [aval for aval in inputs if aval is not None]
            if len(known) < len(inputs):
                self._refuse(f"`{op.name}` needs arrays; a leaf without shape goes through no op", node)
            results += self._results(op, known, node)
        return tuple(results)

    def _results(self, op: Op, inputs: Sequence[AbstractArray], node: Node) -> Sequence[AbstractArray]:
        try:
            return op.infer(*inputs)
        except OpError as error:
            shapes = " and ".join(dict.fromkeys(map(str, inputs)))
            raise self._refused(f"`{op.name}` does not fit {shapes}: {error}", node) from None

    def _outputs(self, entry: FieldValues, arrays: int, targets: int) -> tuple[int, ...]:
        found: tuple[int, ...] = entry.get("outputs") or usual_outputs(arrays, targets)
        if len(found) != targets or {*found} != {*range(arrays)}:
            self._refuse(f"{arrays} arrays do not fit {targets} targets", entry.node)
        return found

    def _require_fit(self, ours: AbstractLeaf, target: LocatedLeaf) -> None:
        """Refuses a target leaf that is not what its task makes."""
        wanted = target.leaf
        alike = same_shape(ours, wanted) and same_dtype(ours, wanted)
        if not ours.is_readable or ours.has_data != wanted.has_data or not alike:
            self._refuse(f"`{format_path(target.path)}` is {wanted}, but its task makes {ours}", target.node)

    def _refuse(self, message: str, node: Node) -> None:
        raise self._refused(message, node)

    def _refused(self, message: str, node: Node) -> _Unfit:
        self.findings.append(InvalidPlanFile.at(message, span=node.span))
        return _Unfit()


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else ()


def rule_span(entry: FieldValues) -> Span | None:
    """Returns the place of an entry's rule."""
    text = entry.get("rule")
    return None if text is None else parse_place(text)


def parse_place(text: str) -> Span:
    """Returns the place that a text `file:line:column` names."""
    file, line, column = text.rsplit(":", 2)
    return Span(file, int(line), int(column), int(line), int(column) + 1)
