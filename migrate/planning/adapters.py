"""The scale of an adapter, from the config that peft writes beside it.

The leaves of an adapter do not tell its factor, nor whether its base is stored transposed: `adapter_config.json` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from migrate.codes import OtherAdapterScale, UnknownAdapterScale
from migrate.errors import Diagnostic
from migrate.formats.reader import AbstractCheckpoint
from migrate.ops.arithmetic import value_of
from migrate.ops.lora import Lora
from migrate.rules.input_names import names_taken
from migrate.rules.model import Move, RuleOp, RuleSet

_TURNS = ("transpose", "rearrange")
_CLOSE = 1e-6


def with_adapter_scales(rules: RuleSet, source: AbstractCheckpoint) -> tuple[RuleSet, tuple[Diagnostic, ...]]:
    """Returns the rules with the scale of every `lora` op that leaves it to the config, and findings about the others.

    Args:
      rules: the rules.
      source: the sources.
    """
    findings: list[Diagnostic] = []
    made = tuple(_of_rule(rule, source, findings) if isinstance(rule, Move) else rule for rule in rules.rules)
    return (rules if made == rules.rules else replace(rules, rules=made)), tuple(findings)


def _of_rule(rule: Move, source: AbstractCheckpoint, findings: list[Diagnostic]) -> Move:
    if not any(isinstance(one.op, Lora) for one in rule.ops):
        return rule
    ops: list[RuleOp] = []
    for at, one in enumerate(rule.ops):
        if isinstance(one.op, Lora):
            use = _Use.of(rule, at, one.op, source)
            findings += use.findings()
            one = replace(one, op=replace(one.op, scale=use.scale))
        ops.append(one)
    return replace(rule, ops=tuple(ops))


@dataclass(frozen=True, slots=True)
class _Use:
    """A `lora` op of a rule, with the config of its adapter.

    Attributes:
      turned: whether an op before it transposes the base.
      name: the source of the adapter; empty for the main one.
    """

    rule_op: RuleOp
    op: Lora
    config: Mapping[str, Any]
    turned: bool
    name: str

    @classmethod
    def of(cls, rule: Move, at: int, op: Lora, source: AbstractCheckpoint) -> _Use:
        base, adapter = names_taken(op, rule)[:2]
        pattern = rule.sources[rule.bound.index(adapter)] if adapter in rule.bound else None
        name = (pattern.source if pattern else None) or ""
        before = rule.ops[:at]
        turned = any(one.op.name in _TURNS and base in (one.of, *one.op.names) for one in before)
        return cls(rule.ops[at], op, source.sources.get(name, source).adapter, turned, name)

    @property
    def known(self) -> str | None:
        """The scale of all layers as arithmetic; None where the config does not tell it."""
        alpha, rank = self.config.get("lora_alpha"), self.config.get("r")
        if not _is_number(alpha) or not _is_number(rank) or not rank or self.differs:
            return None
        return f"{alpha}/sqrt({rank})" if self.config.get("use_rslora") else f"{alpha}/{rank}"

    @property
    def differs(self) -> bool:
        """Whether layers differ in rank or factor."""
        return bool(self.config.get("alpha_pattern") or self.config.get("rank_pattern"))

    @property
    def scale(self) -> float | int | str:
        """The scale of the op; 1 beside a finding that there is none."""
        return self.op.scale if self.op.scale is not None else self.known or 1

    def findings(self) -> Iterator[Diagnostic]:
        """Yields why the config gives no scale, contradicts that of the op, or asks for another base."""
        whose = f"`adapter_config.json` of the source `{self.name}`" if self.name else "`adapter_config.json` of SRC"
        if self.op.scale is None and self.known is None:
            advice = "give the scale: `{lora: {scale: 16/8}}`, which is lora_alpha / r"
            if not self.config:
                message = f"the scale of the adapter is not known: there is no {whose}"
                advice = f"store that file beside the adapter, or {advice}"
            elif self.differs:
                message = f"{whose} has another rank or factor for some layers (`rank_pattern`, `alpha_pattern`)"
                advice = "write a rule with its own `scale` for each, and an `except:` in this one"
            else:
                message = f"{whose} has no numbers `lora_alpha` and `r`"
            yield UnknownAdapterScale.at(message, span=self.rule_op.span, help=advice)
        elif self.op.scale is not None and self.known is not None and not _alike(self.op.scale, self.known):
            yield OtherAdapterScale.at(
                f"the scale is {self.op.scale}, and by {whose} it is {self.known}",
                span=self.rule_op.span,
                help="leave `scale` out, and it is taken from there; keep it if the adapter is meant to be weighted",
            )
        if self.config.get("fan_in_fan_out") and not self.turned:
            yield UnknownAdapterScale.at(
                f"{whose} has `fan_in_fan_out`: the base is stored transposed",
                span=self.rule_op.span,
                help="transpose it before and after: `ops: [{transpose: {of: base}}, {lora: {}}, {transpose: {}}]`",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(one: float | str, other: str) -> bool:
    mine, theirs = value_of(one), value_of(other)
    return abs(mine - theirs) <= _CLOSE * max(abs(mine), abs(theirs))
