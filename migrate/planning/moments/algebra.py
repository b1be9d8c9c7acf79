"""What a rule's ops mean for moments: exact, or the reason why not.

Elementwise optimizers treat every element of a tensor by itself, so an op that only moves elements gives the same
whether it runs before or after a step. Everything else is refused here: ops that make new numbers, state that is not
shaped like its param, and optimizers that look at a tensor as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from migrate.errors import Span
from migrate.planning.model import Task
from migrate.planning.moments.names import PER_TENSOR
from migrate.rules.model import Move, RuleOp
from migrate.tree import AbstractArray, format_path

MUON = "scale_by_muon"

Refusal = tuple[str, Span]
"""A reason, and the place of the op that it is about."""


def refusal(
    rule: Move, state: str | None, transforms: Collection[str], shapes: Sequence[tuple[AbstractArray, AbstractArray]]
) -> Refusal | None:
    """Why a rule has no exact meaning for the moments of some params, or None.

    Args:
      rule: what is done to the params.
      state: optax's name of the state that has the moments.
      transforms: the names of all transforms that are known to belong to the optimizer.
      shapes: moments with their params.
    """
    ops = [op for op in rule.ops if not op.op.only_casts]
    return _new_numbers(ops) or _whole_tensors(rule, ops, state, transforms) or _other_shapes(ops, shapes)


def _new_numbers(ops: Sequence[RuleOp]) -> Refusal | None:
    loose = [op for op in ops if not op.op.structural]
    return (f"`{loose[0].op.name}` has no exact answer for moments", loose[0].span) if loose else None


def _whole_tensors(rule: Move, ops: Sequence[RuleOp], state: str | None, transforms: Collection[str]) -> Refusal | None:
    if state == MUON and ops:
        return f"{PER_TENSOR[MUON]}, and `{ops[0].op.name}` makes it another one", ops[0].span
    recut = [op for op in ops if op.op.recuts]
    reasons = [PER_TENSOR[name] for name in sorted(transforms) if name in PER_TENSOR]
    if not recut or not reasons or rule.moments == "follow":
        return None
    return f"{reasons[0]}: after `{recut[0].op.name}` they would train differently", recut[0].span


def _other_shapes(ops: Sequence[RuleOp], shapes: Sequence[tuple[AbstractArray, AbstractArray]]) -> Refusal | None:
    odd = [moment for moment, param in shapes if moment.shape != param.shape and not _one_per_tensor(ops, moment)]
    return (
        (f"they are not of their params' shapes ({odd[0]}) and cannot go through ops", ops[0].span)
        if odd and ops
        else None
    )


def _one_per_tensor(ops: Sequence[RuleOp], moment: AbstractArray) -> bool:
    """Whether it is one number for the whole tensor, whatever the order of its elements."""
    return not moment.shape and all(op.op.only_permutes for op in ops)


def is_tied(task: Task) -> bool:
    """Whether one array becomes several params."""
    return len(set(task.outputs)) < len(task.outputs)


def tied(task: Task) -> str:
    """Why moments do not follow it: two params that were one share its gradients from then on, and who knows how."""
    params = " and ".join(f"`{format_path(target)}`" for target in task.targets[:3])
    return (
        f"{params} were one param, whose moments are of the sum of their gradients (`moments: follow` gives each of "
        "them the whole)"
    )


def may_look_at_tensors(rule: Move, state: str | None, transforms: Collection[str] | None) -> bool:
    """Whether the optimizer might treat tensors as wholes and this rule cuts them anew, while nothing tells.

    Lamb's state is that of adam, and lars's that of momentum.
    """
    recut = any(op.op.recuts for op in rule.ops)
    return recut and transforms is None and rule.moments is None and state in ("scale_by_adam", "trace")


def for_moments(rule: Move, *, templated: bool, one_per_tensor: bool) -> Move:
    """The rule as it holds for moments.

    They have a dtype of their own, which the template says or else they keep. One number for a whole tensor goes
    through no op.
    """
    if one_per_tensor:
        return replace(rule, ops=())
    ops = [(rule_op, rule_op.op.for_moments(templated=templated)) for rule_op in rule.ops]
    return replace(rule, ops=tuple(replace(rule_op, op=op) for rule_op, op in ops if op))


def without_idle_casts(task: Task) -> Task:
    """The task without casts to the dtype that its arrays have."""
    types = {aval.dtype for aval in (*task.in_avals, *task.out_avals) if aval}
    if len(types) > 1:
        return task
    return replace(task, steps=tuple(step for step in task.steps if not step.op.only_casts))
