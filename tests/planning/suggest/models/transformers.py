"""A vision transformer, language models in every layout, an encoder with a decoder, and mixtures of experts."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from tests.planning.suggest.models.case import case, floats, tokens

D, F, H, V, T, N = 16, 32, 2, 40, 12, 3


# --- ViT


class MlpBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(D)(nn.gelu(nn.Dense(F)(x)))  # the outer layer is Dense_0


class Encoder1DBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(H)(y, y)
        return x + MlpBlock()(nn.LayerNorm()(x))


class LinenViT(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(D, (4, 4), (4, 4), name="embedding")(x)
        x = x.reshape(x.shape[0], -1, D)
        cls = self.param("cls", nn.initializers.normal(), (1, 1, D))
        x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], 1)
        x = x + self.param("pos_embedding", nn.initializers.normal(), (1, 5, D))
        for i in range(N):
            x = Encoder1DBlock(name=f"encoderblock_{i}")(x)
        return nn.Dense(10, name="head")(nn.LayerNorm(name="encoder_norm")(x)[:, 0])


class Layer(nnx.Module):
    """A block whose layers are named after their purpose."""

    def __init__(self, rngs):
        self.ln_attn = nnx.LayerNorm(D, rngs=rngs)
        self.attn = nnx.MultiHeadAttention(H, D, decode=False, rngs=rngs)
        self.ln_mlp = nnx.LayerNorm(D, rngs=rngs)
        self.fc1 = nnx.Linear(D, F, rngs=rngs)
        self.fc2 = nnx.Linear(F, D, rngs=rngs)

    def __call__(self, x):
        x = x + self.attn(self.ln_attn(x))
        return x + self.fc2(nnx.gelu(self.fc1(self.ln_mlp(x))))


class ViT(nnx.Module):
    def __init__(self, rngs):
        self.patch_embed = nnx.Conv(3, D, (4, 4), (4, 4), rngs=rngs)
        self.cls_token = nnx.Param(jnp.zeros((1, 1, D)))
        self.pos_embed = nnx.Param(jnp.zeros((1, 5, D)))
        self.layers = nnx.List(Layer(rngs) for _ in range(N))
        self.norm = nnx.LayerNorm(D, rngs=rngs)
        self.classifier = nnx.Linear(D, 10, rngs=rngs)

    def __call__(self, x):
        x = self.patch_embed(x).reshape(x.shape[0], -1, D)
        x = jnp.concatenate([jnp.tile(self.cls_token[...], (x.shape[0], 1, 1)), x], 1) + self.pos_embed[...]
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.norm(x)[:, 0])


def make_vit(rngs: nnx.Rngs) -> ViT:
    return ViT(rngs)


# --- language models


class SquareMlp(nn.Module):
    """Both matrices are square, and the outer one is Dense_0: shapes are no evidence, and numbers mislead."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(D)(nn.gelu(nn.Dense(D)(x)))


class GPTBlock(nn.Module):
    square: bool = False

    @nn.compact
    def __call__(self, x, _=None):
        mask = nn.make_causal_mask(x[..., 0])
        y = nn.LayerNorm(name="ln_1")(x)
        x = x + nn.SelfAttention(H, name="attn")(y, mask=mask)
        mlp = SquareMlp if self.square else MlpBlock
        return x + mlp(name="mlp")(nn.LayerNorm(name="ln_2")(x)), None


class LinenGPT(nn.Module):
    scan: int | None = None
    square: bool = False

    @nn.compact
    def __call__(self, ids):
        x = nn.Embed(V, D, name="wte")(ids) + nn.Embed(T, D, name="wpe")(jnp.arange(ids.shape[1]))
        if self.scan is not None:
            stack = nn.scan(
                nn.remat(GPTBlock), variable_axes={"params": self.scan}, split_rngs={"params": True}, length=N
            )
            x, _ = stack(self.square)(x, None)
        else:
            for i in range(N):
                x, _ = GPTBlock(self.square, name=f"h_{i}")(x)
        return nn.Dense(V, use_bias=False, name="lm_head")(nn.LayerNorm(name="ln_f")(x))


class Mlp(nnx.Module):
    def __init__(self, width, rngs):
        self.up = nnx.Linear(D, width, rngs=rngs)
        self.down = nnx.Linear(width, D, rngs=rngs)

    def __call__(self, x):
        return self.down(nnx.gelu(self.up(x)))


class Attention(nnx.Module):
    """q, k and v separate (as in Flax) or fused, in the order of heads or of q, k, v."""

    def __init__(self, fused, rngs):
        self.fused = fused
        if fused:
            self.qkv = nnx.Linear(D, 3 * D, rngs=rngs)
            self.out = nnx.Linear(D, D, rngs=rngs)
        else:
            self.mha = nnx.MultiHeadAttention(H, D, decode=False, rngs=rngs)

    def __call__(self, x):
        mask = nnx.make_causal_mask(x[..., 0])
        if not self.fused:
            return self.mha(x, mask=mask)
        if self.fused == "by heads":
            q, k, v = jnp.moveaxis(self.qkv(x).reshape(*x.shape[:-1], H, 3, D // H), -2, 0)
        else:
            q, k, v = jnp.moveaxis(self.qkv(x).reshape(*x.shape[:-1], 3, H, D // H), -3, 0)
        return self.out(nnx.dot_product_attention(q, k, v, mask=mask).reshape(x.shape))


class Block(nnx.Module):
    def __init__(self, rngs, fused=None, width=F):
        self.ln_1 = nnx.LayerNorm(D, rngs=rngs)
        self.ln_2 = nnx.LayerNorm(D, rngs=rngs)
        self.attention = Attention(fused, rngs)
        self.ffn = Mlp(width, rngs)
        self.dropout = nnx.Dropout(0.1, deterministic=True, rngs=rngs)

    def __call__(self, x):
        x = x + self.dropout(self.attention(self.ln_1(x)))
        return x + self.dropout(self.ffn(self.ln_2(x)))


class GPT(nnx.Module):
    def __init__(self, rngs, stacked=None, fused=None, width=F):
        self.token_embed = nnx.Embed(V, D, rngs=rngs)
        self.position_embed = nnx.Embed(T, D, rngs=rngs)
        self.stacked = stacked
        if stacked is not None:
            make = lambda r: Block(r, fused, width)  # noqa: E731
            self.blocks = nnx.split_rngs(splits=N)(nnx.vmap(make, in_axes=0, out_axes=stacked))(rngs)
        else:
            self.blocks = nnx.List(Block(rngs, fused, width) for _ in range(N))
        self.final_norm = nnx.LayerNorm(D, rngs=rngs)
        self.head = nnx.Linear(D, V, use_bias=False, rngs=rngs)

    def __call__(self, ids):
        x = self.token_embed(ids) + self.position_embed(jnp.arange(ids.shape[1]))
        if self.stacked is not None:
            step = nnx.scan(lambda block, x: block(x), in_axes=(self.stacked, nnx.Carry), out_axes=nnx.Carry)
            x = step(self.blocks, x)
        else:
            for block in self.blocks:
                x = block(x)
        return self.head(self.final_norm(x))


def make_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs)


def make_square_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs, width=D)


def make_stacked_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs, stacked=0)


def make_fused_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs, fused="in order")


def make_by_heads_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs, fused="by heads")


def make_stacked_fused_gpt(rngs: nnx.Rngs) -> GPT:
    return GPT(rngs, stacked=0, fused="in order")


_ENDS = """
        - "params/wte/** -> token_embed/**"
        - "params/wpe/** -> position_embed/**"
        - "params/ln_f/** -> final_norm/**"
        - "params/lm_head/** -> head/**"
        - create: {to: "**/rngs/**", init: {rng: {seed: 0}}}
"""
_LIST = """
        - "params/h_{i}/ln_{k}/** -> blocks/{i}/ln_{k}/**"
        - "params/h_{i}/mlp/Dense_1/** -> blocks/{i}/ffn/up/**"
        - "params/h_{i}/mlp/Dense_0/** -> blocks/{i}/ffn/down/**"
"""
_APART = '        - "params/h_{i}/attn/** -> blocks/{i}/attention/mha/**"\n'


def _fused(kernel: str, bias: str, stack: str = "", block: str = "blocks/{i}", source: str = "h_{i}") -> str:
    def parts(name: str) -> str:
        return ", ".join(f'"params/{source}/attn/{part}/{name}"' for part in ("query", "key", "value"))

    return f"""
        - {{from: [{parts("kernel")}], to: "{block}/attention/qkv/kernel", ops: [{kernel}{stack}]}}
        - {{from: [{parts("bias")}], to: "{block}/attention/qkv/bias", ops: [{bias}{stack}]}}
"""


_OUT = """
        - from: "params/h_{i}/attn/out/kernel"
          to: "blocks/{i}/attention/out/kernel"
          ops: [{rearrange: "h k d -> (h k) d"}]
        - "params/h_{i}/attn/out/bias -> blocks/{i}/attention/out/bias"
"""
_IN_ORDER = ('{rearrange: "d h k -> d (h k)"}, {concat: {axis: 1}}', "{reshape: [-1]}, {concat: {axis: 0}}")
_BY_HEADS = (
    '{rearrange: "d h k -> d h 1 k"}, {concat: {axis: 2}}, {rearrange: "d h p k -> d (h p k)"}',
    '{rearrange: "h k -> h 1 k"}, {concat: {axis: 1}}, {rearrange: "h p k -> (h p k)"}',
)


def _from_scan(axis: int, to: str) -> str:
    block, ops = ("blocks/{i}", f"ops: [{{unstack: {{axis: {axis}, over: i}}}}]") if to == "list" else ("blocks", "")
    rows = {"ln_{k}/**": "ln_{k}/**", "attn/**": "attention/mha/**", "mlp/Dense_1/**": "ffn/up/**"}
    rows["mlp/Dense_0/**"] = "ffn/down/**"
    scan = "params/ScanCheckpointGPTBlock_0"
    return "\n".join(f'        - {{from: "{scan}/{a}", to: "{block}/{b}", {ops}}}' for a, b in rows.items())


_TO_STACKED = "\n".join(
    f'        - {{from: "params/h_{{i}}/{a}", to: "blocks/{b}", ops: [{{stack: {{axis: 0, over: i}}}}]}}'
    for a, b in {
        "ln_{k}/**": "ln_{k}/**",
        "attn/**": "attention/mha/**",
        "mlp/Dense_1/**": "ffn/up/**",
        "mlp/Dense_0/**": "ffn/down/**",
    }.items()
)
_TO_STACKED_FUSED = "\n".join(
    f'        - {{from: "params/h_{{i}}/{a}", to: "blocks/{b}", ops: [{extra}{{stack: {{axis: 0, over: i}}}}]}}'
    for a, b, extra in (
        ("ln_{k}/**", "ln_{k}/**", ""),
        ("mlp/Dense_1/**", "ffn/up/**", ""),
        ("mlp/Dense_0/**", "ffn/down/**", ""),
        ("attn/out/bias", "attention/out/bias", ""),
        ("attn/out/kernel", "attention/out/kernel", '{rearrange: "h k d -> (h k) d"}, '),
    )
)


# --- llama

KV = 1


class LlamaBlock(nn.Module):
    """Grouped queries, a gated MLP, and no biases; every layer has a chosen name."""

    @nn.compact
    def __call__(self, x):
        dense = lambda *shape, name: nn.DenseGeneral(shape, use_bias=False, name=name)  # noqa: E731
        y = nn.RMSNorm(name="input_layernorm")(x)
        q, k, v = (dense(n, D // H, name=f"{p}_proj")(y) for p, n in (("q", H), ("k", KV), ("v", KV)))
        k, v = (jnp.repeat(a, H // KV, axis=-2) for a in (k, v))
        y = nn.dot_product_attention(q, k, v, mask=nn.make_causal_mask(x[..., 0]))
        x = x + nn.DenseGeneral(D, axis=(-2, -1), use_bias=False, name="o_proj")(y)
        y = nn.RMSNorm(name="post_attention_layernorm")(x)
        gate, up = dense(F, name="gate_proj")(y), dense(F, name="up_proj")(y)
        return x + dense(D, name="down_proj")(nn.silu(gate) * up)


class LinenLlama(nn.Module):
    @nn.compact
    def __call__(self, ids):
        embed = nn.Embed(V, D, name="embed_tokens")
        x = embed(ids)
        for i in range(N):
            x = LlamaBlock(name=f"layers_{i}")(x)
        return embed.attend(nn.RMSNorm(name="norm")(x))


class LlamaLayer(nnx.Module):
    def __init__(self, rngs):
        linear = lambda a, b: nnx.Linear(a, b, use_bias=False, rngs=rngs)  # noqa: E731
        self.attn_norm, self.mlp_norm = nnx.RMSNorm(D, rngs=rngs), nnx.RMSNorm(D, rngs=rngs)
        self.q, self.k, self.v, self.o = linear(D, D), linear(D, D // 2), linear(D, D // 2), linear(D, D)
        self.gate, self.up, self.down = linear(D, F), linear(D, F), linear(F, D)

    def __call__(self, x):
        y = self.attn_norm(x)
        q, k, v = (f(y).reshape(*x.shape[:-1], -1, D // H) for f in (self.q, self.k, self.v))
        k, v = (jnp.repeat(a, H // KV, axis=-2) for a in (k, v))
        y = nnx.dot_product_attention(q, k, v, mask=nnx.make_causal_mask(x[..., 0]))
        x = x + self.o(y.reshape(x.shape))
        y = self.mlp_norm(x)
        return x + self.down(nnx.silu(self.gate(y)) * self.up(y))


class Llama(nnx.Module):
    def __init__(self, rngs):
        self.embedder = nnx.Embed(V, D, rngs=rngs)
        self.layers = nnx.List(LlamaLayer(rngs) for _ in range(N))
        self.final_norm = nnx.RMSNorm(D, rngs=rngs)

    def __call__(self, ids):
        x = self.embedder(ids)
        for layer in self.layers:
            x = layer(x)
        return self.embedder.attend(self.final_norm(x))


def make_llama(rngs: nnx.Rngs) -> Llama:
    return Llama(rngs)


# --- encoder and decoder


class T5Block(nn.Module):
    decoder: bool = False

    @nn.compact
    def __call__(self, x, memory=None):
        mask = nn.make_causal_mask(x[..., 0]) if self.decoder else None
        y = nn.LayerNorm(name="pre_self")(x)
        x = x + nn.MultiHeadDotProductAttention(H, name="self_attention")(y, y, mask=mask)
        if self.decoder:
            y = nn.LayerNorm(name="pre_cross")(x)
            x = x + nn.MultiHeadDotProductAttention(H, name="cross_attention")(y, memory)
        return x + MlpBlock(name="mlp")(nn.LayerNorm(name="pre_mlp")(x))


class Side(nn.Module):
    decoder: bool = False

    @nn.compact
    def __call__(self, x, memory=None):
        for i in range(2):
            x = T5Block(self.decoder, name=f"layer_{i}")(x, memory)
        return nn.LayerNorm(name="norm")(x)


class LinenT5(nn.Module):
    @nn.compact
    def __call__(self, ids, targets):
        embed = nn.Embed(V, D, name="shared_embedding")
        memory = Side(name="encoder")(embed(ids))
        x = Side(decoder=True, name="decoder")(embed(targets), memory)
        return nn.Dense(V, name="logits")(x)


class T5Layer(nnx.Module):
    def __init__(self, decoder, rngs):
        self.decoder = decoder
        norm = lambda: nnx.LayerNorm(D, rngs=rngs)  # noqa: E731
        attention = lambda: nnx.MultiHeadAttention(H, D, decode=False, rngs=rngs)  # noqa: E731
        self.self_norm, self.self_attn = norm(), attention()
        self.cross_norm, self.cross_attn = (norm(), attention()) if decoder else (None, None)
        self.mlp_norm, self.mlp = norm(), Mlp(F, rngs)

    def __call__(self, x, memory=None):
        mask = nnx.make_causal_mask(x[..., 0]) if self.decoder else None
        y = self.self_norm(x)
        x = x + self.self_attn(y, y, mask=mask)
        if self.decoder:
            x = x + self.cross_attn(self.cross_norm(x), memory)
        return x + self.mlp(self.mlp_norm(x))


class Stack(nnx.Module):
    def __init__(self, decoder, rngs):
        self.layers = nnx.List(T5Layer(decoder, rngs) for _ in range(2))
        self.final_norm = nnx.LayerNorm(D, rngs=rngs)

    def __call__(self, x, memory=None):
        for layer in self.layers:
            x = layer(x, memory)
        return self.final_norm(x)


class T5(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(V, D, rngs=rngs)
        self.encoder, self.decoder = Stack(False, rngs), Stack(True, rngs)
        self.lm_head = nnx.Linear(D, V, rngs=rngs)

    def __call__(self, ids, targets):
        memory = self.encoder(self.embed(ids))
        return self.lm_head(self.decoder(self.embed(targets), memory))


def make_t5(rngs: nnx.Rngs) -> T5:
    return T5(rngs)


# --- mixture of experts

EXPERTS = 4


class Expert(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(D, name="wo")(nn.gelu(nn.Dense(F, name="wi")(x)))


class LinenMoE(nn.Module):
    """Two layers with four experts each and a router; experts apart, or stacked by `nn.vmap`."""

    stacked: bool = False

    @nn.compact
    def __call__(self, x):
        for layer in range(2):
            weights = nn.softmax(nn.Dense(EXPERTS, use_bias=False, name=f"router_{layer}")(x))
            if self.stacked:
                lifted = nn.vmap(
                    Expert, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, out_axes=-1,
                    axis_size=EXPERTS,
                )  # fmt: skip
                y = lifted(name=f"experts_{layer}")(x)
            else:
                y = jnp.stack([Expert(name=f"expert_{layer}_{e}")(x) for e in range(EXPERTS)], -1)
            x = x + (y * weights[..., None, :]).sum(-1)
        return x


class ExpertMlp(nnx.Module):
    def __init__(self, rngs):
        self.wi = nnx.Linear(D, F, rngs=rngs)
        self.wo = nnx.Linear(F, D, rngs=rngs)

    def __call__(self, x):
        return self.wo(nnx.gelu(self.wi(x)))


class MoELayer(nnx.Module):
    def __init__(self, rngs):
        self.gate = nnx.Linear(D, EXPERTS, use_bias=False, rngs=rngs)
        self.experts = nnx.List(ExpertMlp(rngs) for _ in range(EXPERTS))

    def __call__(self, x):
        y = jnp.stack([expert(x) for expert in self.experts], -1)
        return x + (y * nnx.softmax(self.gate(x))[..., None, :]).sum(-1)


class MoE(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List(MoELayer(rngs) for _ in range(2))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def make_moe(rngs: nnx.Rngs) -> MoE:
    return MoE(rngs)


def _ids(rng):
    return tokens(2, T, below=V)(rng)


def _two(rng):
    return (*_ids(rng), *_ids(rng))


CASES = (
    case(
        "vit", "ViT", LinenViT(), floats(2, 8, 8, 3), "transformers:make_vit",
        """
        - "params/embedding/** -> patch_embed/**"
        - "params/cls -> cls_token"
        - "params/pos_embedding -> pos_embed"
        - "params/encoderblock_{i}/LayerNorm_0/** -> layers/{i}/ln_attn/**"
        - "params/encoderblock_{i}/LayerNorm_1/** -> layers/{i}/ln_mlp/**"
        - "params/encoderblock_{i}/MultiHeadDotProductAttention_0/** -> layers/{i}/attn/**"
        - "params/encoderblock_{i}/MlpBlock_0/Dense_1/** -> layers/{i}/fc1/**"
        - "params/encoderblock_{i}/MlpBlock_0/Dense_0/** -> layers/{i}/fc2/**"
        - "params/encoder_norm/** -> norm/**"
        - "params/head/** -> classifier/**"
        """,
    ),
    case("gpt_list", "GPT, list", LinenGPT(), _ids, "transformers:make_gpt", _LIST + _APART + _ENDS),
    case("gpt_square", "GPT, square MLP", LinenGPT(square=True), _ids, "transformers:make_square_gpt",
         _LIST + _APART + _ENDS),
    case("gpt_scan_to_list", "GPT, scan to list", LinenGPT(scan=0), _ids, "transformers:make_gpt",
         _from_scan(0, "list") + _ENDS),
    case("gpt_scan_axis_1", "GPT, scan over axis 1 to list", LinenGPT(scan=1), _ids, "transformers:make_gpt",
         _from_scan(1, "list") + _ENDS),
    case("gpt_scan_to_stacked", "GPT, scan to stacked", LinenGPT(scan=0), _ids, "transformers:make_stacked_gpt",
         _from_scan(0, "stacked") + _ENDS),
    case("gpt_list_to_stacked", "GPT, list to stacked", LinenGPT(), _ids, "transformers:make_stacked_gpt",
         _TO_STACKED + _ENDS),
    case("gpt_fused", "GPT, fused qkv", LinenGPT(), _ids, "transformers:make_fused_gpt",
         _LIST + _fused(*_IN_ORDER) + _OUT + _ENDS),
    case("gpt_fused_by_heads", "GPT, fused qkv by heads", LinenGPT(), _ids, "transformers:make_by_heads_gpt",
         _LIST + _fused(*_BY_HEADS) + _OUT + _ENDS),
    case("gpt_stacked_fused", "GPT, list to stacked and fused", LinenGPT(), _ids, "transformers:make_stacked_fused_gpt",
         _fused(*_IN_ORDER, stack=", {stack: {axis: 0, over: i}}", block="blocks") + _TO_STACKED_FUSED + _ENDS),
    case(
        "llama", "GPT with grouped queries", LinenLlama(), _ids, "transformers:make_llama",
        """
        - "params/embed_tokens/** -> embedder/**"
        - "params/layers_{i}/input_layernorm/** -> layers/{i}/attn_norm/**"
        - "params/layers_{i}/post_attention_layernorm/** -> layers/{i}/mlp_norm/**"
        - from: "params/layers_{i}/{p:q|k|v}_proj/kernel"
          to: "layers/{i}/{p}/kernel"
          ops: [{rearrange: "d h k -> d (h k)"}]
        - {from: "params/layers_{i}/o_proj/kernel", to: "layers/{i}/o/kernel", ops: [{rearrange: "h k d -> (h k) d"}]}
        - "params/layers_{i}/{p:gate|up|down}_proj/** -> layers/{i}/{p}/**"
        - "params/norm/** -> final_norm/**"
        """,
    ),
    case(
        "encoder_decoder", "encoder and decoder", LinenT5(), _two, "transformers:make_t5",
        """
        - "params/shared_embedding/** -> embed/**"
        - "params/{s:encoder|decoder}/layer_{i}/pre_{p:self|cross|mlp}/** -> {s}/layers/{i}/{p}_norm/**"
        - "params/{s:encoder|decoder}/layer_{i}/{p:self|cross}_attention/** -> {s}/layers/{i}/{p}_attn/**"
        - "params/{s:encoder|decoder}/layer_{i}/mlp/Dense_1/** -> {s}/layers/{i}/mlp/up/**"
        - "params/{s:encoder|decoder}/layer_{i}/mlp/Dense_0/** -> {s}/layers/{i}/mlp/down/**"
        - "params/{s:encoder|decoder}/norm/** -> {s}/final_norm/**"
        - "params/logits/** -> lm_head/**"
        """,
    ),
    case(
        "moe_list", "mixture of experts", LinenMoE(), floats(2, 3, D), "transformers:make_moe",
        """
        - "params/router_{i}/** -> layers/{i}/gate/**"
        - "params/expert_{i}_{e}/** -> layers/{i}/experts/{e}/**"
        """,
    ),
    case(
        "moe_stacked", "mixture of experts, stacked to list", LinenMoE(stacked=True), floats(2, 3, D),
        "transformers:make_moe",
        """
        - "params/router_{i}/** -> layers/{i}/gate/**"
        - {from: "params/experts_{i}/**", to: "layers/{i}/experts/{e}/**", ops: [{unstack: {axis: 0, over: e}}]}
        """,
    ),
)  # fmt: skip
