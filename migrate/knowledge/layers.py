"""The layers of Linen and of NNX, side by side: the one table that suggestions, bundled rule files and the
documentation are read from. Every row is tested: both layers are initialised, migrated and compared by what they
compute.
"""

from __future__ import annotations

from migrate.knowledge.model import CreatedLeaves, DroppedLeaf, InitData, Layer, LeafMapping, OpData
from migrate.tree import KeyPath, parse_path

RNG: InitData = {"rng": {"seed": 0}}
STREAM = CreatedLeaves((("rngs", "key"), ("rngs", "count")), RNG)
"""The random stream that a layer of NNX holds; Linen's layers hold none."""

_MAYBE_STREAM = CreatedLeaves(STREAM.targets, RNG, optional=True)
_JOIN: tuple[OpData, ...] = ({"concat": {"axis": -1}},)


def _same(
    name: str, least: int, most: int | None = None, *, collection: str = "params", optional: bool = False
) -> LeafMapping:
    """An array that has one name in both layers."""
    path = parse_path(name)
    return LeafMapping((path,), path, (least, most or least), collection, optional=optional)


def _kernel(least: int = 2, most: int | None = None) -> LeafMapping:
    path = ("kernel",)
    return LeafMapping((path,), path, (least, most))


def _bias(least: int = 1, most: int | None = 1) -> LeafMapping:
    path = ("bias",)
    return LeafMapping((path,), path, (least, most), optional=True)


def _renamed(source: str, target: str, ndim: int, *, optional: bool = False) -> LeafMapping:
    return LeafMapping((parse_path(source),), parse_path(target), (ndim, ndim), optional=optional)


def _joined(sources: tuple[str, ...], target: str, ndim: int) -> LeafMapping:
    """Arrays of several gates side by side in one."""
    return LeafMapping(tuple(map(parse_path, sources)), parse_path(target), (ndim, ndim), ops=_JOIN)


_SCALE, _SHIFT = _same("scale", 1, optional=True), _same("bias", 1, optional=True)
_INNER: KeyPath = ("layer_instance",)
_INNER_KERNEL = "layer_instance/kernel"

_AFFINE = (
    Layer(("Dense",), "Linear", (_kernel(2, 2), _bias())),
    Layer(
        ("DenseGeneral",),
        "LinearGeneral",
        (_kernel(1), _bias(1, None)),
        note="Both keep the input axes in ascending order, whatever `axis` says; give `in_features` in that order.",
    ),
    Layer(
        ("Einsum",),
        "Einsum",
        (_kernel(1), _bias(1, None)),
        note="Linen has a bias unless told otherwise, NNX only with `bias_shape`.",
    ),
    Layer(("Conv",), "Conv", (_kernel(3), _bias())),
    Layer(("ConvTranspose",), "ConvTranspose", (_kernel(3), _bias()), note="Give both the same `transpose_kernel`."),
    Layer(("Embed",), "Embed", (_same("embedding", 2),), note="`attend` uses the same array; there is no second one."),
)

_NORMS = (
    Layer(("LayerNorm",), "LayerNorm", (_SCALE, _SHIFT)),
    Layer(("RMSNorm",), "RMSNorm", (_SCALE,)),
    Layer(("GroupNorm",), "GroupNorm", (_SCALE, _SHIFT)),
    Layer(("InstanceNorm",), "InstanceNorm", (_SCALE, _SHIFT)),
    Layer(
        ("BatchNorm",),
        "BatchNorm",
        (_SCALE, _SHIFT, _same("mean", 1, collection="batch_stats"), _same("var", 1, collection="batch_stats")),
        note="Two collections become one module. `use_running_average` must be given in Linen; in NNX it is False, and "
        "`model.eval()` sets it.",
    ),
    Layer(
        ("WeightNorm",),
        "WeightNorm",
        (LeafMapping(((f"{_INNER_KERNEL}/scale",),), ("scales", "('kernel',)"), (1, 1)),),
        ((_INNER, _INNER),),
        note="Linen's key holds `/`, NNX's is a tuple, and its value is no Variable. In a compact module the "
        "wrapped layer lies beside `WeightNorm_k` under its own name, and that name stands in the key.",
    ),
    Layer(
        ("SpectralNorm",),
        "SpectralNorm",
        tuple(
            LeafMapping(
                ((f"{_INNER_KERNEL}/{name}",),), ("batch_stats", f"('kernel', '{name}')"), (ndim, ndim), "batch_stats"
            )
            for name, ndim in (("u", 2), ("sigma", 0))
        ),
        ((_INNER, _INNER),),
        note="As for WeightNorm: a key with `/` becomes a tuple.",
    ),
    Layer(("PReLU",), "PReLU", (_same("negative_slope", 0),)),
)

_ATTENTION = (
    Layer(
        ("MultiHeadDotProductAttention", "SelfAttention", "MultiHeadAttention"),
        "MultiHeadAttention",
        (
            *(_same(f"{name}/kernel", 3) for name in ("query", "key", "value", "out")),
            *(_same(f"{name}/bias", 2, optional=True) for name in ("query", "key", "value")),
            _same("out/bias", 1, optional=True),
            *(_same(f"{name}/scale", 1, optional=True) for name in ("query_ln", "key_ln")),
            *(_same(name, 4, collection="cache", optional=True) for name in ("cached_key", "cached_value")),
            _same("cache_index", 0, collection="cache", optional=True),
        ),
        fresh=(_MAYBE_STREAM,),
        note="`decode` must be given in NNX. Its cache exists after `init_cache`, its random stream with dropout.",
    ),
)

_GATES = ("i", "f", "g", "o")
_LSTM_FRESH_NOTE = "OptimizedLSTMCell of Linen has the variables of LSTMCell: the gates are joined only while it runs."

_RECURRENT = (
    Layer(
        ("LSTMCell", "OptimizedLSTMCell"),
        "LSTMCell",
        (
            *(_renamed(f"i{gate}/kernel", f"i{gate}{'_' * (gate == 'f')}/kernel", 2) for gate in _GATES),
            *(
                _renamed(f"h{gate}/{name}", f"h{gate}/{name}", ndim)
                for gate in _GATES
                for name, ndim in (("kernel", 2), ("bias", 1))
            ),
        ),
        note=f"`if` is a word of Python. {_LSTM_FRESH_NOTE}",
    ),
    Layer(
        ("OptimizedLSTMCell", "LSTMCell"),
        "OptimizedLSTMCell",
        (
            _joined(tuple(f"i{gate}/kernel" for gate in _GATES), "dense_i/kernel", 2),
            _joined(tuple(f"h{gate}/kernel" for gate in _GATES), "dense_h/kernel", 2),
            _joined(tuple(f"h{gate}/bias" for gate in _GATES), "dense_h/bias", 1),
        ),
        note=f"The gates stand in the order i, f, g, o. {_LSTM_FRESH_NOTE}",
    ),
    Layer(
        ("GRUCell",),
        "GRUCell",
        (
            _joined(("ir/kernel", "iz/kernel", "in/kernel"), "dense_i/kernel", 2),
            _joined(("ir/bias", "iz/bias", "in/bias"), "dense_i/bias", 1),
            _joined(("hr/kernel", "hz/kernel", "hn/kernel"), "dense_h/kernel", 2),
        ),
        losses=(DroppedLeaf(("hn", "bias"), assert_zero=True),),
        note="The gates stand in the order r, z, n. NNX has no bias inside the candidate's reset gate, so that "
        "a trained cell converts only if Linen's is zero.",
    ),
    Layer(
        ("SimpleCell",),
        "SimpleCell",
        (
            _renamed("i/kernel", "dense_i/kernel", 2),
            _renamed("i/bias", "dense_i/bias", 1, optional=True),
            _renamed("h/kernel", "dense_h/kernel", 2),
        ),
    ),
    Layer(
        ("RNN",),
        "RNN",
        children=((("cell",), ("cell",)),),
        fresh=(STREAM,),
        note="Inside a compact module Linen puts the cell beside the RNN: `LSTMCell_0` at the parent.",
    ),
    Layer(
        ("Bidirectional",),
        "Bidirectional",
        children=((("forward_rnn",), ("forward_rnn",)), (("backward_rnn",), ("backward_rnn",))),
        fresh=(STREAM,),
    ),
)

_FREE = (
    Layer(
        ("Dropout",), "Dropout", fresh=(_MAYBE_STREAM,), note="Linen keeps nothing; NNX a random stream if it has one."
    ),
    Layer(
        ("Dense",),
        "LoRA",
        children=(((), ("base_module",)),),
        fresh=(CreatedLeaves((("lora_a",),), "template"), CreatedLeaves((("lora_b",),), "zeros")),
        note="Adapters around a layer that becomes `base_module`; with a `lora_b` of zeros the output is the layer's.",
    ),
    Layer(
        ("Dense",),
        "LoRALinear",
        (_kernel(2, 2), _bias()),
        fresh=(CreatedLeaves((("lora", "lora_a"),), "template"), CreatedLeaves((("lora", "lora_b"),), "zeros")),
        note="A Linear with adapters beside its kernel.",
    ),
)

LAYERS: tuple[Layer, ...] = (*_AFFINE, *_NORMS, *_ATTENTION, *_RECURRENT, *_FREE)
"""Every row; where a Linen class stands in several, the first is the plainest."""

WITHOUT_TWIN = ("ConvLocal", "ConvLSTMCell", "MGUCell", "Fp8DotGeneralOp")
"""Layers of Linen that NNX has no class for: their variables go to a module of the user's own."""


def rows_of(linen: str) -> tuple[Layer, ...]:
    """The rows of a Linen class, the plainest first."""
    return tuple(row for row in LAYERS if linen in row.linen)
