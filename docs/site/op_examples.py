"""One example of every op, for its entry in the reference: the arrays before and after it are computed by the op."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from migrate.ops.base import NotInvertible, Op
from migrate.rules.loader import parse_rules
from migrate.rules.model import Move
from migrate.tree import AbstractArray


@dataclass(frozen=True)
class OpExample:
    """A rule with one op, and the arrays that the op is applied to.

    Attributes:
      rule: an item of `rules:`.
      inputs: the arrays that the rule matches, in the order of the op.
    """

    rule: str
    inputs: tuple[AbstractArray, ...]

    @cached_property
    def op(self) -> Op:
        """The op that the rule loader reads."""
        (rule,) = parse_rules(f"migrate: 1\nrules:\n  - {self.rule}\n", "example").rules
        assert isinstance(rule, Move)
        op = rule.ops[0].op
        return op.called_with(tuple(one.name for one in op.inputs)) if op.combines else op

    @cached_property
    def results(self) -> tuple[AbstractArray, ...]:
        """The arrays that the op makes of `inputs`."""
        return self.op.infer(*self.inputs)

    @property
    def inverse(self) -> Op | NotInvertible:
        """The op that leads back, or the reason why there is none."""
        return self.op.inverse(*self.inputs)


def _array(*shape: int, dtype: str = "float32") -> AbstractArray:
    return AbstractArray(shape, dtype)


_EXAMPLES = (
    OpExample("{from: q/kernel, to: q/kernel, ops: [{reshape: [512, 8, 64]}]}", (_array(512, 512),)),
    OpExample("{from: fc/weight, to: fc/kernel, ops: [{transpose: [1, 0]}]}", (_array(3072, 768),)),
    OpExample(
        '{from: q/weight, to: q/kernel, ops: [{rearrange: {pattern: "(h d) m -> m h d", sizes: {h: 12}}}]}',
        (_array(768, 768),),
    ),
    OpExample("{from: [q/kernel, k/kernel, v/kernel], to: qkv/kernel, ops: [{concat: 1}]}", 3 * (_array(512, 512),)),
    OpExample(
        "{from: qkv/kernel, to: [q/kernel, k/kernel, v/kernel], ops: [{split: {axis: 1, sizes: [512, 128, 128]}}]}",
        (_array(512, 768),),
    ),
    OpExample(
        '{from: "layers/{i}/kernel", to: layers/kernel, ops: [{stack: {axis: 0, over: i}}]}',
        4 * (_array(512, 2048),),
    ),
    OpExample(
        '{from: layers/kernel, to: "layers/{i}/kernel", ops: [{unstack: {axis: 0, over: i}}]}',
        (_array(4, 512, 2048),),
    ),
    OpExample("{from: scale, to: scale, ops: [{squeeze: 0}]}", (_array(1, 512),)),
    OpExample("{from: scale, to: scale, ops: [{expand_dims: 0}]}", (_array(512),)),
    OpExample('{from: "params/**", to: "params/**", ops: [unreplicate]}', (_array(8, 512, 512),)),
    OpExample("{from: conv/kernel, to: conv/kernel, ops: [{flip: 0}]}", (_array(3, 3, 64, 128),)),
    OpExample("{from: embed, to: embed, ops: [{roll: {shift: 1, axis: 0}}]}", (_array(50257, 768),)),
    OpExample("{from: embed, to: embed, ops: [{slice: {axis: 0, stop: 50257}}]}", (_array(50304, 768),)),
    OpExample("{from: embed, to: embed, ops: [{crop: [[0, 50257], [0, 768]]}]}", (_array(50304, 768),)),
    OpExample("{from: embed, to: embed, ops: [{pad: [[0, 47], [0, 0]]}]}", (_array(50257, 768),)),
    OpExample("{from: router/bias, to: router/bias, ops: [{tile: [2]}]}", (_array(8),)),
    OpExample('{from: q/kernel, to: q/kernel, ops: [{scale: "1/sqrt(64)"}]}', (_array(512, 512),)),
    OpExample("{from: norm/weight, to: norm/scale, ops: [{add: 1}]}", (_array(512),)),
    OpExample("{from: kernel, to: kernel, ops: [{cast: {to: bfloat16, lossy: true}}]}", (_array(512, 512),)),
    OpExample(
        "{from: {value: fc/weight, scale: fc/weight_scale_inv}, to: fc/kernel, ops: [{dequantize: bfloat16}]}",
        (_array(512, 256, dtype="float8_e4m3fn"), _array(4, 2)),
    ),
    OpExample(
        "{from: {blocks: mlp/w_blocks, scales: mlp/w_scales}, to: mlp/kernel, ops: [mxfp4]}",
        (_array(32, 8, 16, dtype="uint8"), _array(32, 8, dtype="uint8")),
    ),
    OpExample(
        "{from: {base: q/weight, a: q/lora_A, b: q/lora_B}, to: q/weight, ops: [{lora: 2}]}",
        (_array(512, 512), _array(8, 512), _array(512, 8)),
    ),
    OpExample("{from: {w: q/kernel, delta: q/delta}, to: q/kernel, ops: [sum]}", 2 * (_array(512, 512),)),
    OpExample("{from: {w: q/kernel, mask: q/mask}, to: q/kernel, ops: [product]}", 2 * (_array(512, 512),)),
    OpExample(
        '{from: q/kernel, to: q/kernel, ops: [{call: {function: "my_ops:swap", shape: [512, 512], dtype: float32}}]}',
        (_array(512, 512),),
    ),
    OpExample("{from: dropout/key, to: dropout/key, ops: [wrap_key_data]}", (_array(2, dtype="uint32"),)),
    OpExample("{from: dropout/key, to: dropout/key, ops: [key_data]}", (_array(dtype="key<fry>"),)),
)

EXAMPLES = {example.op.name: example for example in _EXAMPLES}
"""By the name of the op."""
