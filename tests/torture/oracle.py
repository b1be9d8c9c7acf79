"""Random trees, rules, formats and budgets against what NumPy makes of them."""

import random

import numpy as np

from tests.torture import plain
from tests.torture.framework import Attack, Trial
from tests.torture.numpy_rules import BFLOAT16, example
from tests.torture.scenarios import small_budget

EXAMPLES = 2400
SOURCES = ("ocdbt", "ocdbt", "zarr", "safetensors", "npz", "msgpack")
TARGETS = ("new", "new", "new.safetensors", "new.msgpack")
OPTIONS = ((), (), ("--link", "never"), ("--compact",), ("--compression", "zstd:3"), ("--verify", "none"))
TILES = 40
"""A budget is at least this part of the largest array, so that no array takes thousands of tiles."""
BUDGETS = (None, 1 << 10, 4 << 10, 16 << 10, 64 << 10)


def trials(rng, scale):
    """Yields random examples."""
    for _ in range(max(20, round(EXAMPLES * scale))):
        seed = rng.randrange(1 << 40)
        source, target, options = rng.choice(SOURCES), rng.choice(TARGETS), rng.choice(OPTIONS)
        if "--compression" in options and "." in target:
            options = ()
        yield _trial(seed, source, target, options, rng.choice(BUDGETS), rng.choice((1, 2)))


def _trial(seed, source, target, options, budget, jobs):
    shown = f"example {seed}, {source} → {target}, budget {budget}, jobs {jobs} {' '.join(options)}"
    return Trial(shown, lambda arena: attack(arena, seed, source, target, (*options, "--jobs", jobs), budget))


def attack(arena, seed, source, target, options, budget):
    """Writes the example's source, migrates it and compares every array."""
    rng = random.Random(seed)
    made = example(rng, largest=rng.choice((100, 1000, 30_000)))
    if source == "npz":
        made = _without_bfloat16(made, seed)
    arena.src = arena.folder / {"ocdbt": "src", "zarr": "src"}.get(source, f"src.{source}")
    written = arena.call(write, source, made.source, arena.src, seed)
    if problem := written.problem(0):
        return f"the source cannot be written: {problem}"
    arena.changed()
    arena.dst, arena.expected = arena.out / target, {target}
    rules = arena.rules({"follow": "off", "rules": made.rules})
    most = max(value.nbytes for value in (*made.source.values(), *made.target.values()))
    before = (lambda: small_budget(max(budget, most // TILES))) if budget else None
    run = arena.migrate("apply", rules, arena.src, arena.dst, "-q", *options, before=before)
    if problem := run.problem(0):
        return f"{rules.read_text()}: {problem}"
    found = arena.call(plain.every_value, arena.dst)
    if problem := found.problem(0):
        return f"DST is unreadable: {problem}"
    wanted = {name: plain.number(value) for name, value in made.target.items()}
    names = sorted(n for n in wanted.keys() | found.value[0].keys() if wanted.get(n) != found.value[0].get(n))
    if names:
        return f"{names[0]}: {found.value[0].get(names[0])} instead of {wanted.get(names[0])}; {rules.read_text()}"
    return None


def _without_bfloat16(made, seed):
    """Returns an example without the dtype that NumPy's files do not name."""
    number = 0
    while any(value.dtype == BFLOAT16 for value in made.source.values()):
        number += 1
        made = example(random.Random(f"{seed}:{number}"), largest=100)
    return made


def write(kind, tree, path, seed):
    """Writes a tree with the library of its format."""
    if kind in ("ocdbt", "zarr"):
        _write_arrays(kind, tree, path, random.Random(seed))
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        separator = random.Random(seed).choice("./")
        save_file({name.replace("/", separator): np.asarray(value, order="C") for name, value in tree.items()}, path)
    elif kind == "npz":
        random.Random(seed).choice((np.savez, np.savez_compressed))(path, **tree)
    else:
        path.write_bytes(_msgpack(tree))


def _write_arrays(kind, tree, path, rng):
    """Writes each array with a random chunk shape."""
    import tensorstore as ts

    for name, value in tree.items():
        key = name.replace("/", ".")
        store = {"driver": "ocdbt", "base": f"file://{path}/", "path": f"{key}/"}
        if kind == "zarr":
            store = {"driver": "file", "path": f"{path}/{key}/"}
        chunks = [rng.choice((max(1, size), rng.randint(1, max(1, size)))) for size in value.shape]
        while np.prod(value.shape, dtype=float) / np.prod(chunks, dtype=float) > 200:
            chunks = [min(max(1, size), chunk * 2) for size, chunk in zip(value.shape, chunks, strict=True)]
        spec = {"driver": "zarr", "kvstore": store, "metadata": {"chunks": chunks, "compressor": rng.choice(CODECS)}}
        array = ts.open(spec, create=True, dtype=value.dtype.name, shape=value.shape).result()
        array.write(value).result()


CODECS = (None, {"id": "zstd", "level": 1})


def flat_msgpack(tree):
    """Returns a mapping of arrays and strings as Flax encodes it."""
    import msgpack

    coded = {name: value if isinstance(value, str) else _coded(value) for name, value in tree.items()}
    return msgpack.packb(coded, use_bin_type=True, strict_types=True)


def _coded(value):
    import msgpack

    return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes()), use_bin_type=True))


def _msgpack(tree):
    """Returns a tree as Flax encodes it."""
    import msgpack

    nested = {}
    for name, value in tree.items():
        *above, last = name.split("/")
        node = nested
        for level in above:
            node = node.setdefault(level, {})
        node[last] = _coded(value)
    return msgpack.packb(nested, use_bin_type=True, strict_types=True)


ATTACK = Attack("oracle", "random rules against NumPy", trials, weight=12)
