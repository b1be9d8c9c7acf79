"""One very large leaf and very many leaves: memory stays in the budget, and the values are right."""

import json
import os
import shutil

from tests.torture.arena import Skipped
from tests.torture.framework import Attack, Trial

LEAF_BYTES = 20 * 10**9
LEAVES = 100_000
BUDGET = 256 << 20
OVERHEAD = 700 << 20
"""Memory of the libraries beyond the budget."""


def trials(rng, scale):
    """Yields a sparse leaf of 20 GB and 100,000 leaves, both times the scale."""
    nbytes = max(10**8, round(LEAF_BYTES * scale))
    for name, rules in (("flipped", [{"flip": {"axis": 0}}]), ("cut", [{"slice": {"axis": 0, "start": 5, "stop": 9}}])):
        shown = f"a sparse leaf of {nbytes / 1e9:g} GB, {name}"
        yield Trial(shown, lambda arena, ops=rules: large_leaf(arena, nbytes, ops), timeout=900)
    leaves = max(500, round(LEAVES * scale))
    for target in ("new.safetensors", "new"):
        shown = f"{leaves:,} leaves to {target}"
        yield Trial(shown, lambda arena, dst=target: many_leaves(arena, leaves, dst), timeout=900)


def large_leaf(arena, nbytes, ops):
    """A safetensors file that is one hole, but for its last row."""
    rows = nbytes // (4 << 20)
    arena.src = arena.folder / "src.safetensors"
    header = {"w": {"dtype": "F32", "shape": [rows, 1 << 20], "data_offsets": [0, rows * (4 << 20)]}}
    text = json.dumps(header).encode()
    with arena.src.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + rows * (4 << 20))
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\x80\x3f")
    arena.changed()
    rules = arena.rules({"rules": [{"from": "w", "to": "v", "ops": ops}]})
    run = arena.call(_measured, ["apply", rules, arena.src, arena.dst, "-q", "--max-ram", BUDGET], timeout=880)
    if problem := run.problem(0):
        return problem
    if run.value > BUDGET + OVERHEAD:
        return f"peak memory {run.value / 2**20:,.0f} MiB with a budget of {BUDGET >> 20} MiB"
    read = arena.call(_corner, arena.dst)
    wanted = ([rows, 1 << 20], 1.0, 0.0) if "flip" in ops[0] else ([4, 1 << 20], 0.0, 0.0)
    return None if read.value == wanted else f"{read.value or read.output[-300:]} instead of {wanted}"


def _measured(arguments):
    """Runs the command; returns the peak memory of the process in bytes."""
    import resource

    from click.testing import CliRunner

    from migrate.cli.main import migrate as command

    result = CliRunner().invoke(command, list(map(str, arguments)))
    if result.exit_code:
        raise RuntimeError(f"{result.exception!r} {result.output[-300:]}")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _corner(path):
    import tensorstore as ts

    store = {"driver": "ocdbt", "base": f"file://{path}/", "path": "v/"}
    array = ts.open({"driver": "zarr", "kvstore": store}, open=True).result()
    first = array[0].read().result()
    return list(array.shape), float(first[-1]), float(first[0])


def many_leaves(arena, leaves, target):
    """A safetensors file with many small tensors."""
    if shutil.disk_usage(arena.folder).free < 10 << 30:
        raise Skipped("less than 10 GiB of disk are free")
    arena.src = arena.folder / "src.safetensors"
    header, content = {}, bytearray()
    for number in range(leaves):
        value = number.to_bytes(4, "little") * 2
        header[f"old/{number % 97}/{number}"] = {
            "dtype": "I32",
            "shape": [2],
            "data_offsets": [len(content), len(content) + 8],
        }
        content += value
    text = json.dumps(header).encode()
    arena.src.write_bytes(len(text).to_bytes(8, "little") + text + content)
    arena.changed()
    arena.dst, arena.expected = arena.out / target, {target}
    rules = arena.rules({"follow": "off", "rules": ["old/{a}/{b} -> new/{b}/{a}"]})
    run = arena.call(_measured, ["apply", rules, arena.src, arena.dst, "-q"], timeout=880)
    if problem := run.problem(0):
        return problem
    read = arena.call(_numbers, arena.dst, leaves, timeout=300)
    return read.problem(0) or (f"{read.value} leaves have other values" if read.value else None)


def _numbers(path, leaves):
    """Returns the number of leaves, at most the first 5,000, that do not hold their number twice."""
    from safetensors.numpy import load_file

    from tests.torture.plain import stored_arrays

    found = load_file(path) if path.is_file() else stored_arrays(path)
    values = {int(value[0]): value.tolist() for value in found.values()}
    return sum(values.get(number) != [number, number] for number in range(leaves))


ATTACK = Attack("size", "a leaf of 20 GB, 100,000 leaves", trials, weight=14)
