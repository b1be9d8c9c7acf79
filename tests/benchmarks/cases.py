"""The cases: what is run on which checkpoint, with which rules."""

import sys
from dataclasses import dataclass

RENAME = """migrate: 1
rules:
  - "params/block_{i}/** -> params/blocks/{i}/**"
"""
STACK = """migrate: 1
rules:
  - {from: "params/block_{i}/**", to: "params/blocks/**", ops: [{stack: {axis: 0, over: i}}]}
"""
DROP = """migrate: 1
rules:
  - "params/block_{i}/** -> params/blocks/{i}/**"
  - drop: "opt_state/**"
"""
TRANSPOSE = """migrate: 1
rules:
  - from: "params/block_{i}/{part}/{name}/kernel"
    to: "params/blocks/{i}/{part}/{name}/kernel"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "params/embed/embedding"
    to: "params/embed/embedding"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "opt_state/0/{slot:mu|nu}/block_{i}/{part}/{name}/kernel"
    to: "opt_state/0/{slot}/blocks/{i}/{part}/{name}/kernel"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "opt_state/0/{slot:mu|nu}/embed/embedding"
    to: "opt_state/0/{slot}/embed/embedding"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - "params/block_{i}/{part}/{name}/bias -> params/blocks/{i}/{part}/{name}/bias"
  - "params/block_{i}/{norm}/scale -> params/blocks/{i}/{norm}/scale"
"""
TURN = """migrate: 1
rules:
  - {from: "params/block_0/kernel", to: "params/block_0/kernel", ops: [transpose]}
"""
CAST = """migrate: 1
rules:
  - {from: "params/block_{i}/kernel", to: "params/blocks/{i}/kernel", ops: [{cast: {to: bfloat16, lossy: true}}]}
"""
LOAD = """migrate: 1
rules:
  - {{from: embed, to: embed{cast}}}
  - from: ["block_{{i}}/q", "block_{{i}}/k", "block_{{i}}/v"]
    to: qkv
    ops: [{{concat: {{axis: 1}}}}, {{stack: {{axis: 0, over: i}}}}]
  - {{from: "block_{{i}}/up", to: up, ops: [{{stack: {{axis: 0, over: i}}}}]}}
  - {{from: "block_{{i}}/down", to: down, ops: [{turn}{{stack: {{axis: 0, over: i}}}}]}}
"""
LOADS = {
    "relinked": LOAD.format(cast="", turn=""),
    "streamed": LOAD.format(cast=", ops: [{cast: {to: bfloat16, lossy: true}}]", turn="transpose, "),
    "small": "migrate: 1\nrules: [{from: 'block_{i}/{name}', to: '{name}', ops: [{stack: {axis: 0, over: i}}]}]\n",
}
RULES = {**LOADS, "rename": RENAME, "stack": STACK, "drop": DROP, "transpose": TRANSPOSE, "turn": TURN, "cast": CAST}

LEAF_BYTES = 8 * 8 * 4
"""The bytes of a leaf of the checkpoints that have many."""
MANY = 50_000 * LEAF_BYTES / 1e9
"""The gigabytes of 50,000 such leaves."""

GIB = 1 << 30
BUDGET = 2 * GIB
"""The default of `--max-ram`."""


@dataclass(frozen=True)
class Case:
    """One way to do one thing.

    Attributes:
      key: a short name, for `--cases` and in the raw figures.
      title: what the table calls it.
      way: the first words of the command: `orbax`, `cp`, `migrate`, `check`, `read` or `load`.
      what: the way of `orbax_ways`, of `reading` or of `loading`, or the rule file.
      options: more words for the command.
      kind: the kind of the checkpoint; `transformer` takes part in the comparison over sizes.
      gigabytes: the checkpoint's size where it is always the same.
    """

    key: str
    title: str
    way: str
    what: str
    options: tuple[str, ...] = ()
    kind: str = "transformer"
    gigabytes: float = 0

    def command(self, work, source, target, marks):
        """The words that run it."""
        if self.way == "orbax":
            return [sys.executable, "-m", "tests.benchmarks.orbax_ways", self.what, source, target]
        if self.way == "cp":
            return ["cp", "-r", source, target]
        if self.way == "read":
            return [sys.executable, "-m", "tests.benchmarks.reading", self.what, source, marks]
        if self.way == "load":
            rules = work / f"{self.options[0]}.yaml"
            words = [self.what, self.options[0], rules, source, self.options[1], marks]
            return [sys.executable, "-m", "tests.benchmarks.loading", *words]
        rules = work / f"{self.what}.yaml"
        module = [sys.executable, "-m", "tests.benchmarks.marked", marks]
        if self.way == "check":
            return [*module, "check", source]
        answer = [] if "--dry-run" in self.options else ["--json"]  # people read dry-runs
        return [*module, "apply", rules, source, target, *answer, "--quiet", *self.options]


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
    Case("dry", "dry-run on 10,000 leaves", "migrate", "rename", ("--dry-run",), "small", 0.001),
    Case("check", "check of 50 versions with 2,000 leaves each", "check", "", (), "versions", 0.001),
    Case("digest", "rename of 100 leaves, `--verify digest`", "migrate", "rename", (), "equal", 2),
    Case("decode", "rename of 100 leaves, `--verify decode`", "migrate", "rename", ("--verify", "decode"), "equal", 2),
    Case("full", "rename of 100 leaves, `--verify full`", "migrate", "rename", ("--verify", "full"), "equal", 2),
    Case("leaf", "one leaf transposed, `--max-ram 512MiB`", "migrate", "turn", ("--max-ram", "512MiB"), "one", 3),
    Case("many", "rename of 50,000 leaves", "migrate", "rename", (), "many", MANY),
    Case("many-cast", "cast of 50,000 leaves", "migrate", "cast", (), "many", MANY),
    Case("many-msgpack", "cast of 10,000 leaves of msgpack", "migrate", "cast", (), "many-msgpack", MANY / 5),
    Case("read", "OCDBT into NumPy: migrate", "read", "migrate", (), "states", 1),
    Case("read-orbax", "OCDBT into NumPy: Orbax", "read", "orbax", (), "states", 1),
    Case("read-msgpack", "msgpack into NumPy: migrate", "read", "migrate", (), "msgpack", 1),
    Case("read-flax", "msgpack into NumPy: `msgpack_restore`", "read", "flax", (), "msgpack", 1),
    *(
        Case(f"load-{what}-{model}-{mesh}", f"{TITLES[model]}, {mesh}: {what}", "load", what, (model, mesh), kind, size)
        for model, mesh, kind, size in LOADED
        for what in ("migrate", "orbax")
    ),
)
READS = {"read": "read-orbax", "read-msgpack": "read-flax"}
"""Ways of reading, each with the one that it is held against."""
SIZED = tuple(case for case in CASES if case.kind == "transformer")
