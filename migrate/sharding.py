"""Shardings as text: the command line's mesh, and Orbax's JSON of a `NamedSharding`.

Orbax rebuilds a named sharding without recorded devices from the available devices, and one axis of its mesh may be -1,
"as many as there are". Such a checkpoint can be restored on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from migrate.codes import InvalidSharding
from migrate.errors import Diagnostic, UsageError
from migrate.tree import Sharding

Mesh = tuple[tuple[str, int], ...]

PORTABLE = Sharding((("devices", -1),), ())
"""Replicated over all available devices."""


def parse_mesh(text: str) -> Mesh:
    """Returns the axes of a mesh, such as `data=2,model=4`; one size may be -1, "as many as there are".

    Raises:
      UsageError: the text is not of this form (`InvalidSharding`).
    """
    pairs = [part.partition("=") for part in text.split(",")]
    problems = [problem for name, _, size in pairs if (problem := _axis_problem(name.strip(), size.strip(), text))]
    axes = () if problems else tuple((name.strip(), int(size)) for name, _, size in pairs)
    problems += _mesh_problems(axes, text)
    if problems:
        raise UsageError(*problems)
    return axes


def _axis_problem(name: str, size: str, text: str) -> Diagnostic | None:
    help_text = "write it as `--mesh data=2,model=4`; one size may be -1"
    if not name.isidentifier():
        return InvalidSharding.at(
            f"the mesh `{text}` has no axis name before `={size}`" if size else f"`{text}` is not a mesh",
            help=help_text,
        )
    if size != "-1" and (not (size.isascii() and size.isdigit()) or int(size) < 1):
        return InvalidSharding.at(
            f"the size of mesh axis `{name}` is `{size}`, not a positive integer or -1", help=help_text
        )
    return None


def _mesh_problems(axes: Mesh, text: str) -> list[Diagnostic]:
    names = [name for name, _ in axes]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [InvalidSharding.at(f"the mesh `{text}` has the axis `{name}` twice") for name in twice]
    if sum(size == -1 for _, size in axes) > 1:
        problems.append(InvalidSharding.at(f"the mesh `{text}` has more than one axis of size -1"))
    return problems


def spec_from_partition(entries: Iterable[Any]) -> tuple[tuple[str, ...] | None, ...]:
    """Returns the spec of a `Sharding` from entries that are None, an axis, or several; no trailing None."""
    spec = [_axes(entry) for entry in entries]
    while spec and spec[-1] is None:
        spec.pop()
    return tuple(spec)


def _axes(entry: object) -> tuple[str, ...] | None:
    if isinstance(entry, str):
        return (entry,)
    # Any other entry is JAX's `UNCONSTRAINED`, which requires nothing.
    return tuple(str(axis) for axis in entry) or None if isinstance(entry, list | tuple) else None


def to_orbax_json(sharding: Sharding | None) -> str:
    """Returns the entry of `_sharding` for a named sharding without devices; None is written as `PORTABLE`.

    Raises:
      ValueError: the sharding has no mesh; Orbax could not rebuild it.
    """
    sharding = sharding or PORTABLE
    if not sharding.mesh:
        raise ValueError(f"the sharding {sharding} has no mesh")
    return json.dumps(
        {
            "sharding_type": "NamedSharding",
            "shape": [size for _, size in sharding.mesh],
            "axis_names": [name for name, _ in sharding.mesh],
            "partition_spec": [_entry(axes) for axes in sharding.spec],
        }
    )


def _entry(axes: tuple[str, ...] | None) -> str | list[str] | None:
    if axes is None:
        return None
    return axes[0] if len(axes) == 1 else list(axes)


def from_orbax_json(text: object) -> Sharding | None:
    """Returns the named sharding of an entry of `_sharding`; None for other kinds and for invalid entries.

    A saved sharding is only a hint about devices that may no longer exist, so an invalid one is not an error.
    """
    return _parsed(text) if isinstance(text, str) and text else None


@lru_cache(maxsize=1024)  # many arrays of a checkpoint have equal shardings
def _parsed(text: str) -> Sharding | None:
    try:
        fields = json.loads(text)
        if fields.get("sharding_type") != "NamedSharding":
            return None
        mesh = tuple((str(name), int(size)) for name, size in zip(fields["axis_names"], fields["shape"], strict=True))
        return Sharding(mesh, spec_from_partition(fields["partition_spec"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None
