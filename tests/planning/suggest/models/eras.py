"""NNX models that Flax 0.8, 0.10 and 0.11 saved, and their counterparts in today's Flax."""

from __future__ import annotations

import lzma
import tarfile
from dataclasses import dataclass
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parents[4] / "fixtures/nnx_eras"
ERAS = ("0.8", "0.10", "0.11")


@dataclass(frozen=True)
class EraCase:
    """A model that an older Flax version saved.

    Attributes:
      name: the name in tests.
      model: the kind of model, by which the table groups cases.
      era: the version of Flax that wrote it.
      folder: its folder in the version's archive.
      template: the counterpart in today's Flax.
      truth: rules that are known to be right.
    """

    name: str
    model: str
    era: str
    folder: str
    template: str
    truth: str


_STREAMS = '- create: {to: "**/rngs/**", init: {rng: {seed: 0}}}\n'
_GPT = """
- "tok/** -> token_embed/**"
- "pos/** -> position_embed/**"
- "ln_f/** -> final_norm/**"
- "lm_head/** -> head/**"
"""
_BLOCK = {
    "norm{j}/**": "ln_{j}/**",
    "attention/**": "attention/mha/**",
    "mlp/dense1/**": "ffn/up/**",
    "mlp/dense2/**": "ffn/down/**",
}
_LIST = "".join(f'- "layers/{{i}}/{a} -> blocks/{{i}}/{b}"\n' for a, b in _BLOCK.items())
_STACKED = "".join(
    f'- {{from: "layers/{{i}}/{a}", to: "blocks/{b}", ops: [{{stack: {{axis: 0, over: i}}}}]}}\n'
    for a, b in _BLOCK.items()
)
_FUSED = (
    "".join(f'- "layers/{{i}}/{a} -> blocks/{{i}}/{b}"\n' for a, b in _BLOCK.items() if "attention" not in a)
    + """
- from: ["layers/{i}/attention/query/kernel", "layers/{i}/attention/key/kernel", "layers/{i}/attention/value/kernel"]
  to: "blocks/{i}/attention/qkv/kernel"
  ops: [{rearrange: "d h k -> d (h k)"}, {concat: {axis: 1}}]
- from: ["layers/{i}/attention/query/bias", "layers/{i}/attention/key/bias", "layers/{i}/attention/value/bias"]
  to: "blocks/{i}/attention/qkv/bias"
  ops: [{reshape: [-1]}, {concat: {axis: 0}}]
- from: "layers/{i}/attention/out/kernel"
  to: "blocks/{i}/attention/out/kernel"
  ops: [{rearrange: "h k d -> (h k) d"}]
- "layers/{i}/attention/out/bias -> blocks/{i}/attention/out/bias"
"""
)
_SIDE = """
- "{s}/blocks/{i}/norm1/** -> {t}/layers/{i}/self_norm/**"
- "{s}/blocks/{i}/norm2/** -> {t}/layers/{i}/mlp_norm/**"
- "{s}/blocks/{i}/attention/** -> {t}/layers/{i}/self_attn/**"
- "{s}/blocks/{i}/mlp/dense1/** -> {t}/layers/{i}/mlp/up/**"
- "{s}/blocks/{i}/mlp/dense2/** -> {t}/layers/{i}/mlp/down/**"
- "{s}/ln/** -> {t}/final_norm/**"
"""
_RECURRENT = """
- "emb/** -> embedding/**"
- "rnns/{i}/cell/** -> layers/{i}/cell/**"
- "dense/** -> head/**"
"""
_DROPPED = '- drop: {from: "**/rngs/**", optional: true}\n'

_MODELS = (
    ("cnn", "CNN with BatchNorm", "convolutional:make_cnn", """
- "convs/{i}/** -> features/{i}/conv/**"
- "batch_norms/{i}/** -> features/{i}/bn/**"
- "fc1/** -> hidden/**"
- "fc2/** -> classifier/**"
"""),
    ("resnet", "ResNet", "convolutional:make_resnet", """
- "conv_init/** -> stem/**"
- "bn_init/** -> stem_norm/**"
- "blocks/{k}/conv_a/** -> stages/{k//2}/{k%2}/conv1/**"
- "blocks/{k}/conv_b/** -> stages/{k//2}/{k%2}/conv2/**"
- "blocks/{k}/norm_a/** -> stages/{k//2}/{k%2}/bn1/**"
- "blocks/{k}/norm_b/** -> stages/{k//2}/{k%2}/bn2/**"
- "blocks/{k}/conv_proj/** -> stages/{k//2}/{k%2}/short/layers/0/**"
- "blocks/{k}/norm_proj/** -> stages/{k//2}/{k%2}/short/layers/1/**"
- "fc/** -> head/**"
"""),
    ("vit", "ViT", "transformers:make_vit", """
- "conv/** -> patch_embed/**"
- "cls -> cls_token"
- "pos_emb -> pos_embed"
- "encoder/{i}/norm1/** -> layers/{i}/ln_attn/**"
- "encoder/{i}/norm2/** -> layers/{i}/ln_mlp/**"
- "encoder/{i}/attention/** -> layers/{i}/attn/**"
- "encoder/{i}/mlp/dense{k}/** -> layers/{i}/fc{k}/**"
- "ln/** -> norm/**"
- "head/** -> classifier/**"
"""),
    ("gpt", "GPT, list", "transformers:make_gpt", _GPT + _LIST + _STREAMS),
    ("gpt", "GPT, list to stacked", "transformers:make_stacked_gpt", _GPT + _STACKED + _STREAMS),
    ("gpt", "GPT, fused qkv", "transformers:make_fused_gpt", _GPT + _FUSED + _STREAMS),
    ("encoder_decoder", "encoder and decoder", "transformers:make_t5", """
- "embedding/** -> embed/**"
- "out/** -> lm_head/**"
- "dec/blocks/{i}/norm_cross/** -> decoder/layers/{i}/cross_norm/**"
- "dec/blocks/{i}/attention_cross/** -> decoder/layers/{i}/cross_attn/**"
""" + _SIDE.replace("{s}", "enc").replace("{t}", "encoder") + _SIDE.replace("{s}", "dec").replace("{t}", "decoder")),
    ("moe", "mixture of experts", "transformers:make_moe", """
- "moe/{i}/router/** -> layers/{i}/gate/**"
- "moe/{i}/experts/{e}/inner/** -> layers/{i}/experts/{e}/wi/**"
- "moe/{i}/experts/{e}/outer/** -> layers/{i}/experts/{e}/wo/**"
"""),
    ("unet", "U-Net", "convolutional:make_unet", """
- "down/{i}/conv_{k}/** -> encoder/{i}/conv{k+1}/**"
- "down/{i}/gn_{k}/** -> encoder/{i}/norm{k+1}/**"
- "middle/conv_{k}/** -> bottleneck/conv{k+1}/**"
- "middle/gn_{k}/** -> bottleneck/norm{k+1}/**"
- "transposed/{i}/** -> upsample/{i}/**"
- "up/{i}/conv_{k}/** -> decoder/{i}/conv{k+1}/**"
- "up/{i}/gn_{k}/** -> decoder/{i}/norm{k+1}/**"
- "last/** -> head/**"
"""),
    ("lstm", "LSTM", "recurrent:make_optimized_lstm", _RECURRENT + _DROPPED + _STREAMS),
    ("gru", "GRU", "recurrent:make_gru", _RECURRENT + _DROPPED + _STREAMS),
)  # fmt: skip

CASES = tuple(
    EraCase(
        f"nnx_{era}_{folder}_{template.partition(':make_')[2]}",
        kind,
        era,
        folder,
        f"tests.planning.suggest.models.{template}",
        truth,
    )
    for era in ERAS
    for folder, kind, template, truth in _MODELS
    if era != "0.8" or folder not in ("lstm", "gru")  # Flax had no recurrent layers of NNX then
)


def unpack(era: str, folder: Path) -> Path:
    """Unpacks everything that a version of Flax wrote; returns the folder."""
    place = folder / era
    if not place.exists():
        archive = ARCHIVES / f"flax_{era.replace('.', '_')}.tar.xz"
        with lzma.open(archive) as compressed, tarfile.open(fileobj=compressed) as tar:
            tar.extractall(place, filter="data")
    return place
