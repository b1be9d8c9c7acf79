"""The rows that are kept in `fixtures/families`, so that `make test` needs none of the other libraries.

A folder has the recorded tree of the model on the other side, the digests of its leaves after the migration, inputs
with the outputs of the original library, and the name of the checkpoint in `sources/`, as that library wrote it: rows
of one model share it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from migrate.rules.files import text_of
from tests.families.rows import ROWS, Row
from tests.families.ways import TREE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "fixtures/families"
RULES = ROOT / "rules/families"
SOURCES = FOLDER / "sources"
CONFIG = "config.json"
"""The configuration of the model, as the original library wrote it, in the folder of each row."""


@dataclass(frozen=True, slots=True)
class Golden:
    """One kept row.

    Attributes:
      row: the row.
      source: the checkpoint of the original library; `sources/` itself where a test makes the checkpoint.
      tree: the recorded tree of the other side.
      digests: dtype, shape and SHA-256 of each leaf of the other side.
      config: the configuration of the model; None where a test makes the checkpoint.
    """

    row: Row
    source: Path
    tree: Path
    digests: Mapping[str, list[Any]]
    config: Path | None


def read() -> list[Golden]:
    """Returns the rows that are kept."""
    return [_read(row) for row in ROWS if (FOLDER / row.name).is_dir()]


def _read(row: Row) -> Golden:
    folder = FOLDER / row.name
    values = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    config = folder / CONFIG
    return Golden(
        row, SOURCES / values["source"], folder / TREE, values["digests"], config if config.exists() else None
    )


def outputs(row: Row) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the inputs of a kept row (`in_*`) and the original library's `out`."""
    with np.load(FOLDER / row.name / "golden.npz") as arrays:
        return dict(arrays)


def write(
    row: Row,
    source: Path | None,
    tree: Path,
    digests: Mapping[str, list[Any]],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    versions: Mapping[str, str],
) -> None:
    """Keeps a row: its checkpoint unless a test makes it, the recorded tree, digests, and inputs with outputs."""
    folder = FOLDER / row.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    name = ""
    if source is not None:
        SOURCES.mkdir(exist_ok=True)
        name = f"{row.family}-{hashlib.sha256(source.read_bytes()).hexdigest()[:8]}.safetensors"
        shutil.copyfile(source, SOURCES / name)
    shutil.copyfile(tree, folder / TREE)
    narrow = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}
    np.savez_compressed(folder / "golden.npz", **narrow)
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(digest)}" for name, digest in digests.items())
    values = {"rules": row.rules, "source": name, "versions": dict(versions)}
    head = "{\n" + "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in values.items())
    (folder / "golden.json").write_text(f'{head}  "digests": {{\n{lines}\n  }}\n}}\n', encoding="utf-8")


def prune() -> None:
    """Removes the checkpoints that no row names any more."""
    named = {golden.source for golden in read()}
    for file in SOURCES.glob("*.safetensors"):
        if file not in named:
            file.unlink()


def rule_lines(name: str) -> int:
    """Returns the number of lines of a bundled rule file, without comments and empty lines."""
    text = text_of(name)
    assert text is not None
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())
