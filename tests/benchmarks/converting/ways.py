"""The ways to convert a model, in both directions: the commands of migrate, and a user's own script."""

import sys
from dataclasses import dataclass

from tests.benchmarks.case import BUDGET, UNITS

SMALL = "512MiB"
"""The smaller budget: less than the embedding of the full model, and its head."""

SHARD = "2GB"

THERE = "there"
BACK = "back"


@dataclass(frozen=True)
class Way:
    """One way to convert a model.

    Attributes:
      key: a short name, for `--ways` and in the raw figures.
      title: the name in the tables.
      direction: `there` or `back`.
      options: more words for the command of migrate; None for the user's script.
    """

    key: str
    title: str
    direction: str
    options: tuple[str, ...] | None = ()

    @property
    def is_migrate(self):
        """Whether it is a command of migrate."""
        return self.options is not None

    @property
    def budget(self):
        """The bytes of `--max-ram`."""
        return int(SMALL[:-3]) * UNITS[SMALL[-3:]] if "--max-ram" in self.options else BUDGET

    def command(self, work, source, target):
        """The words of the command.

        Args:
          work: the folder with the rule file, the recorded tree, and the marks that the command writes.
          source: the folder of Hugging Face, or the checkpoint of tunix' model.
          target: what is written.
        """
        if not self.is_migrate:
            model = [work / "model"] if self.direction == BACK else []
            return [sys.executable, "-m", "tests.benchmarks.converting.by_hand", self.direction, source, target, *model]
        rules = work / "rules.yaml" if "--allow-code" in self.options else "hf/qwen3"
        words = ["--reverse", source, target] if self.direction == BACK else [source, target]
        files = {
            THERE: [] if "--allow-code" in self.options else ["--template", work / "model.tree.json"],
            BACK: ["--layout", "huggingface", "--files-from", work / "model", "--max-shard-size", SHARD],
        }
        marked = [sys.executable, "-m", "tests.benchmarks.marked", work / "marks.json"]
        return [*marked, "apply", rules, *words, *files[self.direction], *self.options, "--json", "--quiet"]


WAYS = (
    Way("there", "migrate, recorded tree as template", THERE),
    Way("there-small", f"migrate, recorded tree, `--max-ram {SMALL}`", THERE, ("--max-ram", SMALL)),
    Way("there-model", "migrate, model as template (imports tunix)", THERE, ("--allow-code",)),
    Way("there-hand", "transformers' `from_pretrained`, transposes in JAX, Orbax's save", THERE, None),
    Way("back", "migrate `--reverse --layout huggingface`", BACK),
    Way("back-small", f"the same, `--max-ram {SMALL}`", BACK, ("--max-ram", SMALL)),
    Way("back-hand", "Orbax's restore, transposes in JAX, transformers' `save_pretrained`", BACK, None),
)
BY_KEY = {way.key: way for way in WAYS}
