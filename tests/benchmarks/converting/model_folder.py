"""Writes a folder of Hugging Face as a download leaves it: a Qwen 3 with random params in bfloat16.

    python -m tests.benchmarks.converting.model_folder FOLDER GIGABYTES

At 4.06 GB it has the names and sizes of Qwen3-1.7B, whose files have a head of its own. Smaller models have fewer
layers and tokens, and layers of the same size.
"""

import json
import math
import sys
from pathlib import Path

FULL = 4.06
"""The gigabytes of Qwen3-1.7B."""

TINY = 0.001
"""The gigabytes below which also the widths are smaller: a sixteenth."""

SHARD_BYTES = 2_000_000_000
"""The most bytes of arrays in one file."""

_DEVIATION = 0.02


def config_of(gigabytes):
    """The configuration of the model of a size, as `config.json` has it."""
    share, unit = gigabytes / FULL, 8 if gigabytes <= TINY else 128
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "dtype": "bfloat16",
        "head_dim": unit,
        "hidden_act": "silu",
        "hidden_size": 16 * unit,
        "intermediate_size": 48 * unit,
        "max_position_embeddings": 40960,
        "model_type": "qwen3",
        "num_attention_heads": 16,
        "num_hidden_layers": max(1, round(28 * share)),
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": max(1, round(151936 * share / 64)) * 64,
    }


def shapes(config):
    """The shape of every param by its name, in the order of the names."""
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = (config[f"num_{name}_heads"] * head for name in ("attention", "key_value"))
    layer = {
        "input_layernorm": (width,),
        "mlp.down_proj": (width, inner),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "post_attention_layernorm": (width,),
        "self_attn.k_norm": (head,),
        "self_attn.k_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "self_attn.q_norm": (head,),
        "self_attn.q_proj": (queries, width),
        "self_attn.v_proj": (keys, width),
    }
    layers = {
        f"model.layers.{i}.{name}": shape for i in range(config["num_hidden_layers"]) for name, shape in layer.items()
    }
    table = (config["vocab_size"], width)
    named = {"lm_head": table, "model.embed_tokens": table, **layers, "model.norm": (width,)}
    return {f"{name}.weight": shape for name, shape in named.items()}


def write_folder(folder, gigabytes):
    """Writes the files."""
    config = config_of(gigabytes)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 151645}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    shards = list(_shards(shapes(config)))
    titles = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for number, (title, shard) in enumerate(zip(titles, shards, strict=True)):
        _write_file(folder / title, shard, number)
    index = {name: title for title, shard in zip(titles, shards, strict=True) for name in shard}
    total = sum(map(_nbytes, shapes(config).values()))
    content = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=2))


def _nbytes(shape):
    return 2 * math.prod(shape)


def _shards(named):
    shard, size = {}, 0
    for name, shape in named.items():
        if shard and size + _nbytes(shape) > SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[name] = shape
        size += _nbytes(shape)
    yield shard


def _write_file(file, shard, seed):
    import ml_dtypes
    import numpy as np

    random = np.random.default_rng(seed)
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard.items():
        end = position + _nbytes(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for shape in shard.values():
            rows = max(1, (1 << 24) // (_nbytes(shape[1:]) or 2))
            for start in range(0, shape[0], rows):
                part = random.standard_normal((min(rows, shape[0] - start), *shape[1:]), dtype=np.float32)
                out.write((part * _DEVIATION).astype(ml_dtypes.bfloat16).tobytes())


if __name__ == "__main__":
    write_folder(Path(sys.argv[1]), float(sys.argv[2]))
