"""Which output a DST is: its suffix decides before it is written, its content afterwards.

A dry run asks this too, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.codes import InvalidUsage
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.engine.outputs.base import Output
    from migrate.planning.model import Plan

SUFFIXES = (".safetensors", ".msgpack")
"""What DST ends with where it becomes a single file."""

_OTHERS = (".npz", ".npy", ".pt", ".pth", ".h5", ".hdf5", ".pkl", ".pickle", ".gguf", ".onnx")


def is_single_file(destination: str | os.PathLike[str]) -> bool:
    """Whether a DST of this name becomes one file.

    Raises:
      UsageError: its suffix is that of a format that is not written (M412).
    """
    suffix = Path(destination).suffix.lower()
    if suffix in _OTHERS:
        written = " or ".join(f"`{one}`" for one in SUFFIXES)
        advice = f"end DST with {written} for a single file, or with nothing for a checkpoint of Orbax"
        raise UsageError(InvalidUsage.at(f"{destination}: `{suffix}` files are not written", help=advice))
    return suffix in SUFFIXES


def fitted(plan: Plan, destination: str | os.PathLike[str], *, mesh: bool) -> Plan:
    """The plan as what a DST of this name becomes can carry it out.

    Args:
      plan: what is to be done.
      destination: DST.
      mesh: whether the plan was made for a mesh.

    Raises:
      UsageError: a single file was asked for a mesh, or its format is not written (M412).
    """
    if not is_single_file(destination):
        return plan
    if mesh:
        message = f"{destination} is a single file, which records no mesh"
        raise UsageError(InvalidUsage.at(message, help="leave `--mesh` out, or write a directory"))
    return output_of(destination).fit(plan)


def output_of(destination: str | os.PathLike[str]) -> Output:
    """What a DST of this name becomes.

    Raises:
      UsageError: its suffix is that of a format that is not written (M412).
    """
    if is_single_file(destination):
        return _file(safetensors=Path(destination).suffix.lower() == ".safetensors")
    return _orbax()


def output_at(written: Path) -> Output:
    """What an existing checkpoint is."""
    from migrate.formats.files import is_file
    from migrate.formats.safetensors.item import looks_like_safetensors

    return _file(safetensors=looks_like_safetensors(written)) if is_file(written) else _orbax()


def _file(*, safetensors: bool) -> Output:
    from migrate.engine.outputs.file import FileOutput
    from migrate.engine.outputs.msgpack import MsgpackFile
    from migrate.engine.outputs.safetensors import SafetensorsFile

    return FileOutput(SafetensorsFile() if safetensors else MsgpackFile())


def _orbax() -> Output:
    from migrate.engine.outputs.orbax import OrbaxOutput

    return OrbaxOutput()
