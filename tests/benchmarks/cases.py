"""The cases: what is run on which checkpoint, with which rules."""

from tests.benchmarks import growth, memory
from tests.benchmarks.case import LEAF_BYTES, Case

MANY = 50_000 * LEAF_BYTES / 1e9
"""The gigabytes of 50,000 leaves of the checkpoint `many`."""

LOADED = (
    ("relinked", "2x4", "sharded", 0.5),
    ("relinked", "8x1", "sharded", 0.5),
    ("streamed", "2x4", "sharded", 0.5),
    ("streamed", "8x1", "sharded", 0.5),
    ("small", "2x4", "stacks", 0.067),
)
"""Models that are loaded onto eight devices, with the mesh, and the kind and gigabytes of their checkpoint."""
TITLES = {
    "relinked": "stacked blocks",
    "streamed": "stacked blocks, some transposed or cast",
    "small": "4,096 leaves stacked to 64",
}


def _one(part, key, title, rules, kind, gigabytes, *options):
    """A case of `migrate apply` with one size."""
    return Case(key, title, "migrate", rules, options, kind, (gigabytes,), part)


CASES = (
    Case("a", "(a) Orbax: restore, edit the dict, save", "orbax", "rename"),
    Case("b", "(b) Orbax: `apply_transformations`, save", "orbax", "transform"),
    Case("c", "(c) `cp -r`", "cp", ""),
    Case("d", "(d) migrate: rename", "migrate", "rename"),
    Case("drop", "(d) migrate: rename, drop the optimizer", "migrate", "drop"),
    Case("e", "(e) migrate: stack the layers", "migrate", "stack"),
    Case("af", "(a) Orbax: transpose and cast every matrix", "orbax", "transpose"),
    Case("f", "(f) migrate: transpose and cast every matrix", "migrate", "transpose"),
    Case("gd", "(g) migrate: rename, `--link never`", "migrate", "rename", ("--link", "never")),
    Case("gf", "(g) migrate: transpose and cast, `--link never`", "migrate", "transpose", ("--link", "never")),
    _one("single", "dry", "dry-run on 10,000 leaves", "rename", "small", 0.001, "--dry-run"),
    Case("check", "check of 50 versions with 2,000 leaves each", "check", "", (), "versions", (0.001,), "single"),
    _one("single", "digest", "rename of 100 leaves, `--verify digest`", "rename", "equal", 2),
    _one("single", "decode", "rename of 100 leaves, `--verify decode`", "rename", "equal", 2, "--verify", "decode"),
    _one("single", "full", "rename of 100 leaves, `--verify full`", "rename", "equal", 2, "--verify", "full"),
    _one("single", "leaf", "one leaf transposed, `--max-ram 512MiB`", "turn", "one", 3, "--max-ram", "512MiB"),
    _one("single", "many", "rename of 50,000 leaves", "rename", "many", MANY),
    _one("single", "many-cast", "cast of 50,000 leaves", "cast", "many", MANY),
    _one("single", "many-msgpack", "cast of 10,000 leaves of msgpack", "cast", "many-msgpack", MANY / 5),
    Case("read", "OCDBT into NumPy: migrate", "read", "migrate", (), "states", (1,), "reading"),
    Case("read-orbax", "OCDBT into NumPy: Orbax", "read", "orbax", (), "states", (1,), "reading"),
    Case("read-msgpack", "msgpack into NumPy: migrate", "read", "migrate", (), "msgpack", (1,), "reading"),
    Case("read-flax", "msgpack into NumPy: `msgpack_restore`", "read", "flax", (), "msgpack", (1,), "reading"),
    *(
        Case(
            f"load-{what}-{model}-{mesh}",
            f"{TITLES[model]}, {mesh}: {what}",
            "load",
            what,
            (model, mesh),
            kind,
            (size,),
            "loading",
        )
        for model, mesh, kind, size in LOADED
        for what in ("migrate", "orbax")
    ),
    *growth.CASES,
    *memory.CASES,
)
BY_KEY = {case.key: case for case in CASES}
READS = {"read": "read-orbax", "read-msgpack": "read-flax"}
"""Ways of reading, each with the one that it is held against."""
SIZED = tuple(case for case in CASES if case.part == "orbax")
