"""What a rule's ops mean for moments: an exact equivalent, or the reason why there is none.

Elementwise optimizers treat every element of a tensor by itself, so an op that only moves elements gives the same
result before and after an optimizer step. An op that adds elements and keeps all others (`Op.adds`) has an equivalent
too: fresh elements have the moments of a fresh optimizer, and a rule may give copies the moments of their original.
`add` changes no gradient, and so no moment. `scale` divides the gradients by its factor, so that updates have another
effect than before; a rule may scale the moments likewise. This module refuses everything else: ops that compute new
numbers, state that does not have its param's shape, and optimizers that treat a tensor as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from migrate.errors import Span
from migrate.ops.base import Op
from migrate.planning.model import Task
from migrate.planning.moments.names import NONZERO, PER_TENSOR
from migrate.rules.model import Move, RuleOp
from migrate.tree import AbstractArray, format_path

MUON = "scale_by_muon"

COPIES = "a copy could start with the moments of its original (`moments: follow`) or with fresh ones (`moments: reset`)"

SCALED = "`moments: follow` scales the moments as the gradients"

Refusal = tuple[str, Span]
"""A reason, and the place of the op that causes it."""


def refusal(
    rule: Move,
    state: str | None,
    transforms: Collection[str],
    shapes: Sequence[tuple[AbstractArray, AbstractArray]],
    *,
    power: int | None = None,
    copy: bool = False,
) -> Refusal | None:
    """Returns why a rule has no exact meaning for the moments of some params, or None.

    Args:
      rule: the rule of the params.
      state: optax's name of the state that holds the moments.
      transforms: the names of all known transforms of the optimizer.
      shapes: moments with their params.
      power: the power of the gradients that the moments are means of; None where it is unknown.
      copy: whether they are copies of the params (an EMA), to which an op adds what it adds to the params.
    """
    ops = [op for op in rule.ops if not op.op.only_casts and (copy or op.op.gradient_factor != 1)]
    added = None if copy else _added(rule, ops, state)
    computed = None if copy else _scaled(rule, ops, power)
    return (
        _new_numbers(ops)
        or computed
        or added
        or _whole_tensors(rule, ops, state, transforms)
        or _other_shapes(ops, shapes)
    )


def _new_numbers(ops: Sequence[RuleOp]) -> Refusal | None:
    loose = [op for op in ops if not op.op.structural and op.op.adds is None and op.op.gradient_factor is None]
    return (f"`{loose[0].op.name}` has no exact equivalent for moments", loose[0].span) if loose else None


def _scaled(rule: Move, ops: Sequence[RuleOp], power: int | None) -> Refusal | None:
    """Refuses to scale moments without `moments: follow`, and those of which the power of the gradients is unknown."""
    scaled = next((op for op in ops if op.op.gradient_factor is not None), None)
    if scaled is None or (power is not None and rule.moments == "follow"):
        return None
    factor = f"{scaled.op.gradient_factor:.6g}"
    reason = f"`{scaled.op.name}` multiplies the gradients by {factor}, so that updates have another effect than before"
    return (f"{reason} ({SCALED})" if power is not None else reason), scaled.span


def _added(rule: Move, ops: Sequence[RuleOp], state: str | None) -> Refusal | None:
    """Refuses fresh elements whose initial moments are not known to be zero, and copies without `moments: follow`."""
    fresh = next((op for op in ops if op.op.adds == "fresh"), None)
    if fresh and (state is None or state in NONZERO):
        reason = NONZERO.get(state or "", "the initial moments of this transform are unknown")
        return f"`{fresh.op.name}` adds elements whose moments do not start at zero: {reason}", fresh.span
    copies = next((op for op in ops if op.op.adds == "copies"), None)
    if copies and rule.moments != "follow":
        return COPIES, copies.span
    return None


def _whole_tensors(rule: Move, ops: Sequence[RuleOp], state: str | None, transforms: Collection[str]) -> Refusal | None:
    if state == MUON and ops:
        return f"{PER_TENSOR[MUON]}, which `{ops[0].op.name}` changes", ops[0].span
    recut = [op for op in ops if op.op.recuts or op.op.adds]
    reasons = [PER_TENSOR[name] for name in sorted(transforms) if name in PER_TENSOR]
    if not recut or not reasons or rule.moments == "follow":
        return None
    return f"{reasons[0]}: after `{recut[0].op.name}` they would train differently", recut[0].span


def _other_shapes(ops: Sequence[RuleOp], shapes: Sequence[tuple[AbstractArray, AbstractArray]]) -> Refusal | None:
    odd = [pair for pair in shapes if pair[0].shape != pair[1].shape and not _one_per_tensor(ops, pair[0])]
    if not odd or not ops:
        return None
    moment, param = odd[0]
    return f"a moment {moment} of a param {param} has another shape, so that ops cannot apply to it", ops[0].span


def _one_per_tensor(ops: Sequence[RuleOp], moment: AbstractArray) -> bool:
    """Whether the moment is one number for the whole tensor, and the ops only reorder the tensor's elements."""
    return not moment.shape and all(op.op.only_permutes for op in ops)


def is_tied(task: Task) -> bool:
    """Whether one array becomes several params."""
    return len(set(task.outputs)) < len(task.outputs)


def tied(task: Task) -> str:
    """Returns why moments cannot follow a tied param: its moments belong to the sum of the new params' gradients."""
    if len(task.targets) == 1:
        return (
            f"`{format_path(task.targets[0])}` is a copy, and the moments belong to the sum of the gradients of both "
            "params (`moments: follow` gives each of them a copy)"
        )
    params = " and ".join(f"`{format_path(target)}`" for target in task.targets[:3])
    return (
        f"{params} were one param, whose moments belong to the sum of their gradients (`moments: follow` gives each of "
        "them a copy)"
    )


def may_treat_tensors_whole(rule: Move, state: str | None, transforms: Collection[str] | None) -> bool:
    """Whether the rule recuts tensors while the optimizer is unknown and might treat tensors as wholes.

    The state of lamb looks like that of adam, and that of lars like that of momentum.
    """
    recut = any(op.op.recuts or op.op.adds for op in rule.ops)
    return recut and transforms is None and rule.moments is None and state in ("scale_by_adam", "trace")


def for_moments(
    rule: Move, *, templated: bool, one_per_tensor: bool, power: int | None = None, copy: bool = False
) -> Move:
    """Returns the rule as it applies to moments.

    Moments have a dtype of their own: the template's, or else they keep theirs. One number for a whole tensor goes
    through no op. Elements that an op adds to a copy of the params have the values that it adds to the params, and
    numbers that it computes are computed alike; other moments are scaled as a power of the gradients.
    """
    if one_per_tensor:
        return replace(rule, ops=())

    def meant(op: Op) -> Op | None:
        if copy and (op.adds or op.gradient_factor is not None):
            return op
        if op.gradient_factor is not None:
            return op.for_gradient(power or 0)
        return op.for_moments(templated=templated)

    ops = [(rule_op, meant(rule_op.op)) for rule_op in rule.ops]
    return replace(rule, ops=tuple(replace(rule_op, op=op) for rule_op, op in ops if op))


def without_idle_casts(task: Task) -> Task:
    """Returns the task without casts to the dtype that its arrays already have."""
    types = {aval.dtype for aval in (*task.in_avals, *task.out_avals) if aval}
    if len(types) > 1 or not any(step.op.only_casts for step in task.steps):
        return task
    return replace(task, steps=tuple(step for step in task.steps if step.bound or not step.op.only_casts))
