"""CPU seconds of `suggest` for models of many leaves, without files; another checkout is measured with PYTHONPATH.

python -m tests.benchmarks.suggesting [LEAVES]
"""

import hashlib
import sys
import time
from pathlib import Path

from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.suggest.pipeline import suggest
from migrate.template import Template
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree

HEADS = {"query": (64, 4, 16), "key": (64, 4, 16), "value": (64, 4, 16), "out": (4, 16, 64)}


def block(norm, up, down):
    """The shapes of a transformer's block by key path."""
    shapes = {(norm, "scale"): (64,), (norm, "bias"): (64,)}
    for name, shape in HEADS.items():
        shapes |= {("attn", name, "kernel"): shape, ("attn", name, "bias"): (64,) if name == "out" else shape[1:]}
    shapes |= {(up, "kernel"): (64, 256), (up, "bias"): (256,)}
    return shapes | {(down, "kernel"): (256, 64), (down, "bias"): (64,)}


def blocks(leaves):
    """Equal blocks of fourteen leaves, whose layers have other names in the target."""
    old, new = block("LayerNorm_0", "Dense_0", "Dense_1"), block("norm", "up", "down")
    numbers = range(leaves // len(old))
    return (
        {("params", f"Block_{i}", *path): shape for i in numbers for path, shape in old.items()},
        {("blocks", str(i), *path): shape for i in numbers for path, shape in new.items()},
    )


def kernels(leaves):
    """Stages of ten layers without a bias."""
    places = [(i, j, (64, 64 + j)) for i in range(leaves // 10) for j in range(10)]
    return (
        {("params", f"stage_{i}", f"Dense_{j}", "kernel"): shape for i, j, shape in places},
        {("stages", str(i), "layers", str(j), "kernel"): shape for i, j, shape in places},
    )


def equal(leaves):
    """One list of equal layers."""
    shapes = {"kernel": (64, 64), "bias": (64,)}
    return (
        {("params", f"layer_{i}", name): shape for i in range(leaves // 2) for name, shape in shapes.items()},
        {("layers", str(i), name): shape for i in range(leaves // 2) for name, shape in shapes.items()},
    )


def tree(shapes):
    """An abstract tree of float32 arrays."""
    return AbstractTree.build(
        (path, AbstractLeaf("array", AbstractArray(shape, "float32"))) for path, shape in shapes.items()
    )


def main(leaves):
    """Prints seconds, rules, and a digest of the text, by which two versions are compared."""
    for kind in (blocks, kernels, equal):
        old, new = map(tree, kind(leaves))
        begin = time.process_time()
        made = suggest(AbstractCheckpoint(Path("old"), "orbax", {"": old}), Template("model:make", new))
        seconds, digest = time.process_time() - begin, hashlib.sha256(made.text.encode()).hexdigest()[:12]
        print(f"{kind.__name__:8} {len(old.leaves):7,} leaves {seconds:6.2f} s  {made.rules} rules  {digest}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
