"""The table of corresponding Linen and NNX layers, the source of suggestions and of the documentation.

Every row is tested: both layers are initialized, one is migrated to the other, and their outputs are compared.
"""

from __future__ import annotations

from migrate.knowledge.model import CreatedLeaves, DroppedLeaf, InitData, Layer, LeafMapping, OpData
from migrate.tree import KeyPath, parse_path

RNG: InitData = {"rng": {"seed": 0}}
STREAM = CreatedLeaves((("rngs", "key"), ("rngs", "count")), RNG)
"""The RNG stream of an NNX layer; Linen layers store none."""

_MAYBE_STREAM = CreatedLeaves(STREAM.targets, RNG, optional=True)
_JOIN: tuple[OpData, ...] = ({"concat": {"axis": -1}},)


def _same(
    name: str, least: int, most: int | None = None, *, collection: str = "params", optional: bool = False
) -> LeafMapping:
    """Returns an array with the same name in both layers."""
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
    """Returns an array that concatenates the arrays of several gates."""
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
        note="Both store the input axes in ascending order for any `axis`; pass `in_features` in that order.",
    ),
    Layer(
        ("Einsum",),
        "Einsum",
        (_kernel(1), _bias(1, None)),
        note="Linen has a bias by default, NNX only with `bias_shape`.",
    ),
    Layer(("Conv",), "Conv", (_kernel(3), _bias())),
    Layer(("ConvTranspose",), "ConvTranspose", (_kernel(3), _bias()), note="Use the same `transpose_kernel` in both."),
    Layer(("Embed",), "Embed", (_same("embedding", 2),), note="`attend` uses the same array."),
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
        note="Two collections become one module. Linen requires `use_running_average`; in NNX it is False by default, "
        "and `model.eval()` sets it.",
    ),
    Layer(
        ("WeightNorm",),
        "WeightNorm",
        (LeafMapping(((f"{_INNER_KERNEL}/scale",),), ("scales", "('kernel',)"), (1, 1)),),
        ((_INNER, _INNER),),
        note="Linen's key contains `/`; NNX's key is a tuple, and its value is not a Variable. In a compact module, "
        "the wrapped layer is a sibling of `WeightNorm_k` under its own name, which is part of the key.",
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
        note="As for WeightNorm, a key with `/` becomes a tuple.",
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
        note="NNX requires `decode`. Its cache exists after `init_cache`, its RNG stream only with dropout.",
    ),
)

_GATES = ("i", "f", "g", "o")
_LSTM_NOTE = "Linen's OptimizedLSTMCell has the variables of LSTMCell: it joins the gates only at run time."

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
        note=f"`if` is a Python keyword. {_LSTM_NOTE}",
    ),
    Layer(
        ("OptimizedLSTMCell", "LSTMCell"),
        "OptimizedLSTMCell",
        (
            _joined(tuple(f"i{gate}/kernel" for gate in _GATES), "dense_i/kernel", 2),
            _joined(tuple(f"h{gate}/kernel" for gate in _GATES), "dense_h/kernel", 2),
            _joined(tuple(f"h{gate}/bias" for gate in _GATES), "dense_h/bias", 1),
        ),
        note=f"The gates are joined in the order i, f, g, o. {_LSTM_NOTE}",
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
        note="The gates are joined in the order r, z, n. NNX has no bias inside the candidate's reset gate, so a "
        "trained cell can be converted only if Linen's bias is zero.",
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
        note="In a compact module, Linen stores the cell beside the RNN: `LSTMCell_0` of the parent.",
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
        ("Dropout",),
        "Dropout",
        fresh=(_MAYBE_STREAM,),
        note="Linen stores nothing; NNX stores an RNG stream if the layer has one.",
    ),
    Layer(
        ("Dense",),
        "LoRA",
        children=(((), ("base_module",)),),
        fresh=(CreatedLeaves((("lora_a",),), "template"), CreatedLeaves((("lora_b",),), "zeros")),
        note="Adapters around a layer, which becomes `base_module`; the output is unchanged while `lora_b` is zero.",
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
"""All rows; if a Linen class has several, the first is the most direct counterpart."""

WITHOUT_TWIN = ("ConvLocal", "ConvLSTMCell", "MGUCell", "Fp8DotGeneralOp")
"""Linen layers without an NNX class; their variables are moved to a module that the user writes."""


def rows_of(linen: str) -> tuple[Layer, ...]:
    """Returns the rows of a Linen class, the most direct counterpart first."""
    return tuple(row for row in LAYERS if linen in row.linen)
