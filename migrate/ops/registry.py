"""Every op by name, in the order of messages and the schema: moves, joins and cuts, then ops that make new values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.ops.add import Add
from migrate.ops.call import Call
from migrate.ops.cast import Cast
from migrate.ops.concat import Concat, Split
from migrate.ops.crop import Crop
from migrate.ops.dequantize import Dequantize
from migrate.ops.flip import Flip
from migrate.ops.keep import Keep
from migrate.ops.lora import Lora
from migrate.ops.mxfp4 import Mxfp4
from migrate.ops.pad import Pad
from migrate.ops.rearrange import Rearrange
from migrate.ops.reshape import Reshape
from migrate.ops.roll import Roll
from migrate.ops.scale import Scale
from migrate.ops.slice import Slice
from migrate.ops.squeeze import ExpandDims, Squeeze
from migrate.ops.stack import Stack, Unstack
from migrate.ops.sum import Product, Sum
from migrate.ops.tile import Tile
from migrate.ops.transpose import Transpose
from migrate.ops.unreplicate import Unreplicate
from migrate.ops.wrap_key_data import KeyData, WrapKeyData

if TYPE_CHECKING:
    from migrate.ops.base import Op

OPS: dict[str, type[Op]] = {
    op.name: op
    for op in (
        Reshape,
        Transpose,
        Rearrange,
        Concat,
        Split,
        Stack,
        Unstack,
        Squeeze,
        ExpandDims,
        Unreplicate,
        Flip,
        Roll,
        Slice,
        Crop,
        Pad,
        Tile,
        Scale,
        Add,
        Cast,
        Dequantize,
        Mxfp4,
        Lora,
        Sum,
        Product,
        Call,
        WrapKeyData,
        KeyData,
    )
}

PLANNED_OPS: dict[str, type[Op]] = {**OPS, Keep.name: Keep}
"""The ops of a plan: an op of a rule file may apply to some arrays of a task and keep the others."""
