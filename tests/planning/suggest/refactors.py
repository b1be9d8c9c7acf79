"""Scores suggestions for refactors of public models: names and shapes of both sides, and the true source of each leaf.

    python -m tests.planning.suggest.refactors [NN …]

prints one line for each refactor. No array is computed: a leaf is right if its task has the true sources, in the true
order, and places the part that the truth names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from migrate.engine.streaming.evaluate import evaluate
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.suggest.pipeline import Suggestion, suggest
from migrate.planning.suggest.values import Doubt
from migrate.tree import AbstractTree, KeyPath, parse_path
from tests.planning.suggest.trees import Template, tree

FOLDER = Path(__file__).resolve().parents[4] / "shared/cases/refactors"
KINDS = {"param": "Param", "batch_stats": "BatchStat", "variable": "Variable", "cache": "Cache"}


@dataclass
class Score:
    """The target leaves by result; `silent` are wrong without a mark, new leaves that got a source included."""

    leaves: int = 0
    right: int = 0
    flagged: int = 0
    alternative: int = 0
    unplaced: int = 0
    wrong: int = 0
    silent: tuple[str, ...] = ()

    def add(self, other: Score) -> None:
        """Adds the counts of another refactor."""
        for name in ("leaves", "right", "flagged", "alternative", "unplaced", "wrong", "silent"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _Values:
    """Random arrays in place of a checkpoint's reader."""

    def __init__(self, source: AbstractTree) -> None:
        rng = np.random.default_rng(0)
        self.arrays = {
            p: rng.normal(size=leaf.aval.shape).astype("f4") for p, leaf in source.leaves.items() if leaf.aval
        }

    def read(self, path: KeyPath) -> Any:
        """Returns the array of a leaf."""
        return self.arrays[path]


def refactors() -> list[Path]:
    """Returns the files of all refactors that are present."""
    return sorted(FOLDER.glob("[0-9]*.json"))


def score(file: Path) -> tuple[Score, Suggestion]:
    """Scores the suggestion for one refactor; every leaf is taken as float32."""
    spec = json.loads(file.read_text(encoding="utf-8"))
    source = tree({path: tuple(shape) for path, shape, *_ in spec["old"]})
    target = tree({path: tuple(shape) for path, shape, *_ in spec["new"]})
    kinds = {parse_path(path): KINDS[kind[0]] for path, _, _, *kind in spec["new"] if kind and kind[0] in KINDS}
    checkpoint = AbstractCheckpoint(Path("old"), "msgpack", {"": source})
    suggestion = suggest(checkpoint, Template(target, variables=kinds))
    return _compare(suggestion, spec["truth"], _Values(source)), suggestion


def _compare(suggestion: Suggestion, truth: Mapping[str, Any], values: _Values) -> Score:
    origin = {path: task for task in suggestion.plan.tasks for path in task.targets}
    found = Score()
    for name, true in truth.items():
        path, task = parse_path(name), origin.get(parse_path(name))
        doubts = suggestion.doubts_of(task) if task else ()
        if true is None:
            found.silent += (name,) if task and not doubts else ()
            continue
        found.leaves += 1
        if task is None:
            found.unplaced += 1
        elif np.array_equal(evaluate(task, values, suggestion.plan.target)[path], _wanted(true, values)):  # type: ignore[arg-type]
            found.right += 1
            found.flagged += bool(doubts)
        elif not doubts:
            found.silent += (name,)
        elif _is_alternative(suggestion, path, true[0], doubts):
            found.alternative += 1
        else:
            found.wrong += 1
    return found


def _is_alternative(suggestion: Suggestion, path: KeyPath, sources: list[str], doubts: tuple[Doubt, ...]) -> bool:
    others = [o for s in sources for doubt in suggestion.doubts.get(parse_path(s), ()) for o in doubt.others]
    return path in others or any(way.ops for doubt in doubts for way in doubt.alternatives)


def _wanted(true: list[Any], values: _Values) -> Any:
    arrays = [values.arrays[parse_path(source)] for source in true[0]]
    for op in _ops(true[1:]):
        ((name, given),) = op.items()
        match name:
            case "stack" | "concat":
                arrays = [getattr(np, {"concat": "concatenate"}.get(name, name))(arrays, given["axis"])]
            case "index":
                arrays = [np.take(array, given["at"], axis=given["axis"]) for array in arrays]
            case "slice":
                kept = range(given["start"], given["stop"])
                arrays = [np.take(array, kept, axis=given["axis"]) for array in arrays]
            case "transpose" | "reshape" | "squeeze" | "expand_dims":
                axes = given["axis"] if isinstance(given, dict) else given
                arrays = [getattr(np, name)(array, axes) for array in arrays]
    (array,) = arrays
    return array


def _ops(texts: list[Any]) -> Iterator[dict[str, Any]]:
    for text in texts[0] if len(texts) == 1 and isinstance(texts[0], list) else texts:
        yield yaml.safe_load(f"{{{text}}}") if isinstance(text, str) else text


def main(names: list[str]) -> int:
    """Prints the scores."""
    total = Score()
    for file in refactors():
        if not names or file.stem in names:
            found, _ = score(file)
            print(file.stem, found)
            total.add(found)
    print("total", total)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
