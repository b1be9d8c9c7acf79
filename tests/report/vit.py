"""A plan made by hand: a Vision Transformer whose twelve blocks are stacked into one."""

from pathlib import Path

from migrate.codes import UnfilledTarget
from migrate.errors import Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.ops.stack import Stack
from migrate.planning.model import Created, Dropped, Plan, Step, Task
from migrate.rules.model import Init, RuleSet
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Storage, parse_path


def leaf(*shape, dtype="float32"):
    return AbstractLeaf("array", AbstractArray(shape, dtype), storage=Storage("zarr2", shape, "zstd:1"))


def line(number):
    return Span("rules.yaml", number, 5, number, 20)


BLOCK = {
    "LayerNorm_0/scale": (768,),
    "LayerNorm_0/bias": (768,),
    "LayerNorm_1/scale": (768,),
    "LayerNorm_1/bias": (768,),
    "MlpBlock_0/Dense_0/kernel": (768, 3072),
    "MlpBlock_0/Dense_0/bias": (3072,),
    "MlpBlock_0/Dense_1/kernel": (3072, 768),
    "MlpBlock_0/Dense_1/bias": (768,),
}
RENAMED = {"Transformer/posembed_input/pos_embedding": "pos_embed", "Transformer/encoder_norm/scale": "norm/scale"}


def source_tree():
    leaves = {
        "params/cls": leaf(1, 1, 768),
        "params/embedding/kernel": leaf(16, 16, 3, 768),
        "params/embedding/bias": leaf(768),
        "params/head/kernel": leaf(768, 1000),
        "params/head/bias": leaf(1000),
        "params/Transformer/posembed_input/pos_embedding": leaf(1, 197, 768),
        "params/Transformer/encoder_norm/scale": leaf(768),
    }
    for i in range(12):
        leaves |= {f"params/Transformer/encoderblock_{i}/{name}": leaf(*shape) for name, shape in BLOCK.items()}
    return AbstractTree.build((parse_path(path), found) for path, found in leaves.items())


def checkpoint(tree=None):
    return AbstractCheckpoint(
        path=Path("vit_b16"),
        format="orbax ocdbt",
        items={"": tree or source_tree()},
        era="orbax-checkpoint 0.5 or later",
        metadata={"epoch": 90},
    )


def keep(path, aval):
    key = parse_path(path)
    return Task((key,), (key,), (0,), (), (aval,), (aval,), mode="relink", proved="name")


def rename(old, new, aval, number):
    return Task((parse_path(old),), (parse_path(new),), (0,), (), (aval,), (aval,), "relink", "shape", line(number))


def stack(name, shape, number):
    sources = tuple(parse_path(f"params/Transformer/encoderblock_{i}/{name}") for i in range(12))
    before, after = AbstractArray(shape, "float32"), AbstractArray((12, *shape), "float32")
    step = Step(Stack(axis=0), (tuple(range(12)),), "i")
    target = parse_path(f"params/blocks/{name.replace('MlpBlock_0/', 'mlp/')}")
    return Task(sources, (target,), (0,), (step,), (before,) * 12, (after,), "stream", "none", line(number))


def tasks():
    source = source_tree().leaves
    kept = [
        keep(p, source[parse_path(p)].aval) for p in ("params/cls", "params/embedding/bias", "params/embedding/kernel")
    ]
    moved = [
        rename(f"params/{old}", f"params/{new}", source[parse_path(f"params/{old}")].aval, 12)
        for old, new in RENAMED.items()
    ]
    return (*kept, *moved, *(stack(name, shape, 14) for name, shape in BLOCK.items()))


def plan(*, covered=True):
    source = source_tree()
    created = [
        Created(parse_path(f"params/head/{name}"), leaf(*shape), Init("zeros"), line(20))
        for name, shape in {"kernel": (768, 10), "bias": (10,)}.items()
    ]
    targets = [(p, AbstractLeaf("array", a)) for t in tasks() for p, a in zip(t.targets, t.out_avals, strict=True)]
    targets += [(c.target, c.leaf) for c in created]
    lost = parse_path("params/head/temperature")
    missing = UnfilledTarget.at("`params/head/temperature` is never written", paths=["params/head/temperature"])
    return Plan(
        source=checkpoint(source),
        rules=RuleSet("rules.yaml", "sha256:00", ()),
        target=AbstractTree.build(targets if covered else [*targets, (lost, leaf())]),
        template="vit:make",
        tasks=tasks(),
        dropped=tuple(
            Dropped(parse_path(f"params/head/{name}"), source.leaves[parse_path(f"params/head/{name}")], rule=line(19))
            for name in ("bias", "kernel")
        ),
        created=tuple(created),
        diagnostics=() if covered else (missing,),
        missing=() if covered else (lost,),
    )
