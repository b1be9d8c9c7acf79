"""The conversions that a user writes without migrate: transformers' own load and Orbax's save, and the way back.

python -m tests.benchmarks.converting.by_hand there|back SRC DST [MODEL]
"""

import sys
import warnings
from pathlib import Path


def there(source, target):
    """Loads the model in bfloat16, moves its params to the places of tunix' `Qwen3`, and saves them."""
    import jax.numpy as jnp
    import orbax.checkpoint as ocp
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    config, state = model.config, model.state_dict()
    width, head = config.hidden_size, config.head_dim

    def tensor(name):
        return jnp.from_dlpack(state[f"{name}.weight"].detach())

    def param(name):
        return {"value": tensor(name)}

    def turned(name, *shape):
        matrix = tensor(name).T
        return {"value": matrix.reshape(*shape) if shape else matrix}

    def layer(prefix):
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        return {
            "input_layernorm": {"w": param(f"{prefix}.input_layernorm")},
            "post_attention_layernorm": {"w": param(f"{prefix}.post_attention_layernorm")},
            "attn": {
                **{f"{part}_proj": {"w": turned(f"{attention}.{part}_proj", width, -1, head)} for part in "qkv"},
                "o_proj": {"w": turned(f"{attention}.o_proj", -1, head, width)},
                **{f"{part}_norm": {"w": param(f"{attention}.{part}_norm")} for part in "qk"},
            },
            "mlp": {f"{part}_proj": {"kernel": turned(f"{mlp}.{part}_proj")} for part in ("gate", "up", "down")},
        }

    tree = {
        "embedder": {"input_embedding": param("model.embed_tokens")},
        "layers": {str(i): layer(f"model.layers.{i}") for i in range(config.num_hidden_layers)},
        "final_norm": {"w": param("model.norm")},
        "lm_head": {"w": turned("lm_head")},
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(target, tree)


def back(source, target, model):
    """Restores tunix' tree, moves its params to the places of transformers' model, and saves that."""
    import orbax.checkpoint as ocp
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model)
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(source)

    def param(place):
        return torch.from_dlpack(place["value"])

    def turned(place, rows):
        return torch.from_dlpack(place["value"].reshape(rows, -1).T).contiguous()

    def layer(prefix, place):
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        norms = ("input_layernorm", "post_attention_layernorm")
        return {
            **{f"{prefix}.{norm}": param(place[norm]["w"]) for norm in norms},
            **{f"{attention}.{part}_norm": param(place["attn"][f"{part}_norm"]["w"]) for part in "qk"},
            **{f"{attention}.{part}_proj": turned(place["attn"][f"{part}_proj"]["w"], width) for part in "qkv"},
            f"{attention}.o_proj": turned(place["attn"]["o_proj"]["w"], queries),
            **{f"{mlp}.{part}_proj": turned(place["mlp"][f"{part}_proj"]["kernel"], width) for part in ("gate", "up")},
            f"{mlp}.down_proj": turned(place["mlp"]["down_proj"]["kernel"], config.intermediate_size),
        }

    width, queries = config.hidden_size, config.num_attention_heads * config.head_dim
    state = {
        "model.embed_tokens": param(tree["embedder"]["input_embedding"]),
        "model.norm": param(tree["final_norm"]["w"]),
        "lm_head": turned(tree["lm_head"]["w"], width),
    }
    for number, place in tree["layers"].items():
        state |= layer(f"model.layers.{number}", place)
    with torch.device("meta"):
        written = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    written.load_state_dict({f"{name}.weight": tensor for name, tensor in state.items()}, assign=True)
    written.save_pretrained(target, max_shard_size="2GB")
    for file in Path(model).glob("tokenizer*"):
        (Path(target) / file.name).write_bytes(file.read_bytes())


WAYS = {"there": there, "back": back}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    WAYS[sys.argv[1]](*sys.argv[2:])
