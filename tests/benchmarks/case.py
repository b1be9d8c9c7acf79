"""The description of a case, and the processes that run it."""

import sys
from dataclasses import dataclass

GIB = 1 << 30
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB}
BUDGET = 2 * GIB
"""The default of `--max-ram`."""

LEAF_BYTES = 8 * 8 * 4
"""The bytes of a leaf of the checkpoints `many` and `many-msgpack`."""
LAYER_LEAF_BYTES = 16 * 16 * 4
"""The bytes of a leaf of the checkpoint `layers`."""

PARTS = {
    "orbax": 5,
    "single": 5,
    "reading": 5,
    "loading": 5,
    "growth-bytes": 3,
    "growth-leaves": 1,
    "memory": 1,
}
"""The parts of the benchmark, each of which can be run alone, with their rounds."""


@dataclass(frozen=True)
class Case:
    """One way to do one thing.

    Attributes:
      key: a short name, for `--cases` and in the raw figures.
      title: the name in the tables.
      way: the first words of the command: `orbax`, `cp`, `migrate`, `tune`, `check`, `read` or `load`.
      what: the way of `orbax_ways`, of `reading` or of `loading`, or the rule file.
      options: more words for the command.
      kind: the kind of the checkpoint.
      sizes: the gigabytes of the checkpoint; empty where `--sizes` gives them.
      part: the part of the benchmark.
    """

    key: str
    title: str
    way: str
    what: str
    options: tuple[str, ...] = ()
    kind: str = "transformer"
    sizes: tuple[float, ...] = ()
    part: str = "orbax"

    @property
    def budget(self):
        """The bytes of `--max-ram`."""
        if "--max-ram" not in self.options:
            return BUDGET
        text = self.options[self.options.index("--max-ram") + 1]
        return int(text[:-3]) * UNITS[text[-3:]]

    @property
    def is_marked(self):
        """Whether its process writes down marks."""
        return self.way not in ("orbax", "cp")

    def command(self, work, source, target, marks):
        """The words of the command that runs it."""
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
        return [sys.executable, "-m", "tests.benchmarks.marked", marks, *self.arguments(work, source, target)]

    def arguments(self, work, source, target):
        """The arguments of `migrate`."""
        if self.way == "check":
            return ["check", source]
        first = (
            ["tune", source, target] if self.way == "tune" else ["apply", work / f"{self.what}.yaml", source, target]
        )
        answer = [] if "--dry-run" in self.options else ["--json"]  # dry runs are read as text
        return [*first, *answer, "--quiet", *self.options]
