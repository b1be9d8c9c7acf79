"""The table of outputs: before DST is written, its suffix selects a row; afterwards, its content does.

A dry run asks the table too, so the module of an output is imported on first use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.codes import InvalidUsage
from migrate.errors import UsageError, nearest

if TYPE_CHECKING:
    from migrate.engine.outputs.base import Output
    from migrate.planning.model import Plan


@dataclass(frozen=True, slots=True)
class OutputKind:
    """One row of the table.

    Attributes:
      name: the name in reports and messages.
      suffix: the end of DST's name, in lower case; empty for a directory.
      storage: the word of `layout` that selects it for a directory; None without one.
      module: the module below `migrate.engine.outputs` whose `OUTPUT` is the output.
    """

    name: str
    suffix: str
    module: str
    storage: str | None = None

    def load(self) -> Output:
        """Returns the output; its module is imported on first use."""
        output: Output = import_module(f"{__package__}.{self.module}").OUTPUT
        return output


OUTPUTS = (
    OutputKind("huggingface", "", "huggingface", storage="huggingface"),
    OutputKind("orbax", "", "orbax"),
    OutputKind("safetensors", ".safetensors", "safetensors"),
    OutputKind("msgpack", ".msgpack", "msgpack"),
)
"""Every kind of DST. The first row that recognizes an existing checkpoint wins: Orbax takes every other directory,
and a msgpack file has no signature.
"""

_NOT_WRITTEN = (".npz", ".npy", ".pt", ".pth", ".h5", ".hdf5", ".pkl", ".pickle", ".gguf", ".onnx")
"""Suffixes of other formats: a directory of such a name would be a mistake."""


_MISSPELLED = 0.8
"""The similarity above which a suffix counts as a misspelled one."""


def kind_of(destination: str | os.PathLike[str], plan: Plan | None = None) -> OutputKind:
    """Returns the row for a DST of this name, and of this plan if it is a directory.

    Raises:
      UsageError: the suffix belongs to a format that is not written, or is a misspelled one (`InvalidUsage`).
    """
    suffix = Path(destination).suffix.lower()
    rows = {row.suffix: row for row in OUTPUTS if row.storage is None}
    storage = plan.rules.target.storage if plan else None
    rows[""] = next((row for row in OUTPUTS if storage and row.storage == storage), rows[""])
    if suffix in rows:
        return rows[suffix]
    meant = nearest(suffix, filter(None, rows), cutoff=_MISSPELLED)
    if meant and not os.path.isdir(destination):
        advice = f"did you mean `{meant}`? End DST without a suffix for an Orbax checkpoint"
        raise UsageError(InvalidUsage.at(f"{destination}: `{suffix}` is not the suffix of a format", help=advice))
    if suffix not in _NOT_WRITTEN:
        return rows[""]
    written = " or ".join(f"`{one}`" for one in rows if one)
    advice = f"end DST with {written} for a single file, or without a suffix for an Orbax checkpoint"
    raise UsageError(InvalidUsage.at(f"{destination}: `{suffix}` files are not written", help=advice))


def is_single_file(destination: str | os.PathLike[str]) -> bool:
    """Returns whether a DST of this name becomes one file.

    Raises:
      UsageError: the suffix belongs to a format that is not written (`InvalidUsage`).
    """
    return bool(kind_of(destination).suffix)


def fitted(plan: Plan, destination: str | os.PathLike[str], *, mesh: bool) -> Plan:
    """Returns the plan as the output for a DST of this name carries it out.

    Args:
      plan: the plan.
      destination: DST.
      mesh: whether the plan was made for a mesh.

    Raises:
      UsageError: the plan has a mesh, which the output does not record, or its format is not written (`InvalidUsage`).
    """
    output = output_of(destination, plan)
    if mesh and not output.is_orbax:
        what = "is a single file" if is_single_file(destination) else "becomes a folder of Hugging Face"
        message = f"`{destination}` {what}, which records no mesh"
        raise UsageError(InvalidUsage.at(message, help="remove `--mesh`, or write an Orbax checkpoint"))
    return output.fit(plan)


def output_of(destination: str | os.PathLike[str], plan: Plan | None = None) -> Output:
    """Returns the output for a DST of this name, and of this plan if it is a directory.

    Raises:
      UsageError: the suffix belongs to a format that is not written (`InvalidUsage`).
    """
    return kind_of(destination, plan).load()


def output_at(written: Path) -> Output:
    """Returns the output of an existing checkpoint."""
    return next(output for output in (row.load() for row in OUTPUTS) if output.recognizes(written))
