"""Recurrent networks: LSTM cells to fused and to plain cells, and GRU cells."""

from __future__ import annotations

import flax.linen as nn
from flax import nnx

from tests.planning.suggest.models.case import case, tokens

V, D, HIDDEN = 20, 12, 16


class LinenRNN(nn.Module):
    """An embedding, two recurrent layers of one cell each, and a projection."""

    cell: str
    width: int = HIDDEN

    def setup(self):
        self.embed = nn.Embed(V, D)
        self.rnns = [nn.RNN(getattr(nn, self.cell)(self.width)) for _ in range(2)]
        self.proj = nn.Dense(V)

    def __call__(self, ids):
        x = self.embed(ids)
        for rnn in self.rnns:
            x = rnn(x)
        return self.proj(x)


class RNN(nnx.Module):
    def __init__(self, cell, rngs, width=HIDDEN):
        self.embedding = nnx.Embed(V, D, rngs=rngs)
        self.layers = nnx.List(nnx.RNN(cell(before, width, rngs=rngs), rngs=rngs) for before in (D, width))
        self.head = nnx.Linear(width, V, rngs=rngs)

    def __call__(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def make_optimized_lstm(rngs: nnx.Rngs) -> RNN:
    return RNN(nnx.OptimizedLSTMCell, rngs)


def make_square_lstm(rngs: nnx.Rngs) -> RNN:
    return RNN(nnx.OptimizedLSTMCell, rngs, width=D)


def make_lstm(rngs: nnx.Rngs) -> RNN:
    return RNN(nnx.LSTMCell, rngs)


def make_gru(rngs: nnx.Rngs) -> RNN:
    return RNN(nnx.GRUCell, rngs)


_ENDS = """
        - "params/embed/** -> embedding/**"
        - "params/proj/** -> head/**"
        - create: {to: "**/rngs/**", init: {rng: {seed: 0}}}
"""


def _joined(kind: str, gates: tuple[str, ...], name: str) -> str:
    parts = ", ".join(f'"params/rnns_{{i}}/cell/{kind}{gate}/{name}"' for gate in gates)
    return (
        f'        - {{from: [{parts}], to: "layers/{{i}}/cell/dense_{kind}/{name}", ops: [{{concat: {{axis: -1}}}}]}}\n'
    )


_IFGO, _RZN = ("i", "f", "g", "o"), ("r", "z", "n")
_FUSED = _joined("i", _IFGO, "kernel") + _joined("h", _IFGO, "kernel") + _joined("h", _IFGO, "bias")

CASES = (
    case("lstm_fused", "LSTM", LinenRNN("OptimizedLSTMCell"), tokens(2, 5, below=V), "recurrent:make_optimized_lstm",
         _FUSED + _ENDS),
    case("lstm_square", "LSTM, input as wide as the state", LinenRNN("LSTMCell", D), tokens(2, 5, below=V),
         "recurrent:make_square_lstm", _FUSED + _ENDS),
    case("lstm_plain", "LSTM, gates apart", LinenRNN("LSTMCell"), tokens(2, 5, below=V), "recurrent:make_lstm",
         """
        - "params/rnns_{i}/cell/{g:ii|ig|io|hi|hf|hg|ho}/** -> layers/{i}/cell/{g}/**"
        - "params/rnns_{i}/cell/if/** -> layers/{i}/cell/if_/**"
        """ + _ENDS),
    case("gru", "GRU", LinenRNN("GRUCell"), tokens(2, 5, below=V), "recurrent:make_gru",
         _joined("i", _RZN, "kernel") + _joined("i", _RZN, "bias") + _joined("h", _RZN, "kernel")
         + '        - drop: {from: "params/rnns_{i}/cell/hn/bias", assert: zero}\n' + _ENDS,
         zero=(("hn", "bias"),)),
)  # fmt: skip
