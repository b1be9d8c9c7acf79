"""Plans of 200,000 leaves and 10 TB from metadata alone: no array exists.

The tree is that of a mixture of experts with the state of adam, as Orbax saves it. `file` is a `.safetensors` file
whose header declares the same arrays and whose data are a hole of 10 TB.

python -m tests.benchmarks.scale.simulated NAME        # rename, stack, transpose, tune or file
"""

import json
import os
import re
import sys
import tempfile
import time
from math import prod
from pathlib import Path

LAYERS, EXPERTS = 96, 230
WIDTH, HIDDEN = 2048, 6144
COUNTS = (16, 64, 256, 1024)
"""Numbers of shares."""

EXPERT = "params/block_{i}/experts/expert_{e}/{name}/kernel"
RULES = {
    "rename": 'rules: ["params/block_{i}/** -> params/blocks/{i}/**"]',
    "stack": f"""rules:
  - {{from: "{EXPERT}", to: "params/block_{{i}}/experts/{{name}}", ops: [{{stack: {{axis: 0, over: e}}}}]}}""",
    "transpose": f'rules: [{{from: "{EXPERT}", to: "{EXPERT}", ops: [transpose]}}]',
    "tune": "rules: []",
}


def shapes(layers=LAYERS, experts=EXPERTS):
    """The shapes of the params by key path."""
    found = {("params", "embed"): (256_000, WIDTH), ("params", "head", "kernel"): (WIDTH, 256_000)}
    for i in range(layers):
        at = ("params", f"block_{i}")
        found |= {(*at, "attention", name, "kernel"): (WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
        found |= {(*at, f"norm_{n}", "scale"): (WIDTH,) for n in (0, 1)}
        for e in range(experts):
            place = (*at, "experts", f"expert_{e}")
            found |= {(*place, name, "kernel"): (WIDTH, HIDDEN) for name in ("gate", "up")}
            found[*place, "down", "kernel"] = (HIDDEN, WIDTH)
    return found


def all_shapes(layers=LAYERS, experts=EXPERTS):
    """Those of the params and of both moments."""
    params = shapes(layers, experts)
    moments = {("opt_state", "0", slot, *path[1:]): shape for slot in ("mu", "nu") for path, shape in params.items()}
    return params | moments | {("opt_state", "0", "count"): (), ("step",): ()}


def abstract(layers=LAYERS, experts=EXPERTS):
    """The checkpoint without values, each array in chunks of a quarter of its rows."""
    from migrate.formats.reader import AbstractCheckpoint
    from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Storage

    encoding = (
        '{"compressor": {"id": "zstd", "level": 1}, "dimension_separator": ".", "dtype": "<f4", "fill_value": null, '
        '"filters": null, "order": "C", "zarr_format": 2}'
    )

    def leaf(shape):
        chunks = (shape[0] // 4, *shape[1:]) if shape else ()
        storage = Storage("zarr2", chunks, "zstd:1", encoding=encoding, database=True)
        return AbstractLeaf("array", AbstractArray(shape, "float32"), storage=storage)

    leaves = [(path, leaf(shape)) for path, shape in all_shapes(layers, experts).items()]
    tree = AbstractTree.build(leaves, {("opt_state",): "list"})
    return AbstractCheckpoint(Path("old"), "orbax ocdbt", {"": tree}, locates_chunks=True)


def sparse_file(path, layers=LAYERS, experts=EXPERTS):
    """Writes a `.safetensors` file whose data are a hole."""
    header, end = {}, 0
    for name, shape in all_shapes(layers, experts).items():
        start, end = end, end + 4 * prod(shape)
        header[".".join(name)] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)


class Watch:
    """Seconds of named steps."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, step):
        start = time.monotonic()
        done = step()
        self.seconds[name] = time.monotonic() - start
        return done


def simulate(name, layers=LAYERS, experts=EXPERTS):
    """Makes the plan, the report and the shares; returns what they cost."""
    import migrate
    from migrate.engine.outputs.orbax import OUTPUT
    from migrate.engine.sharing.dealing import deal
    from migrate.planning.planner import make_plan
    from migrate.report.of_plan import plan_report
    from migrate.report.text import draw
    from migrate.rules.loader import parse_rules

    rules = parse_rules(f"migrate: 1\n{RULES.get(name, RULES['transpose'])}\n", "rules.yaml")
    before, watch = peak(), Watch()
    if name == "file":
        with tempfile.TemporaryDirectory() as folder:
            sparse_file(Path(folder) / "old.safetensors", layers, experts)
            opened = watch("open", lambda: migrate.open_checkpoint(Path(folder) / "old.safetensors"))
            with opened as checkpoint:
                plan = watch("plan", lambda: migrate.plan(checkpoint, rules))
    else:
        source = watch("open", lambda: abstract(layers, experts))
        plan = watch("plan", lambda: make_plan(source, rules, None))
        if name == "tune":
            from migrate.api.tuning import choose_chunks

            plan = watch("chunks", lambda: choose_chunks(plan, ()))
    if not plan.applicable:
        raise SystemExit("\n".join(diagnostic.message for diagnostic in plan.diagnostics))
    watch("digest", lambda: plan.digest)
    text = watch("report", lambda: draw(plan_report(plan, "new")))
    shared = OUTPUT.shared_items(plan)
    dealt = watch("shares", lambda: {count: deal(plan, shared, count) for count in COUNTS})
    return {
        "leaves": len(plan.source.tree.leaves),
        "bytes": plan.source.tree.nbytes,
        "tasks": len(plan.tasks),
        "streamed": plan.bytes_read,
        "lines": len(text.splitlines()),
        "seconds": watch.seconds,
        "memory": peak() - before,
        "shares": {count: balance(shares) for count, shares in dealt.items()} if plan.bytes_read else {},
    }


def balance(shares):
    """The least, the mean and the most bytes of a share."""
    sizes = [share.nbytes for share in shares]
    return {"least": min(sizes), "mean": sum(sizes) / len(sizes), "most": max(sizes)}


def peak():
    """Peak resident bytes so far."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


NAMES = (*RULES, "file")

if __name__ == "__main__":
    print(json.dumps(simulate(sys.argv[1])))
