"""One item of a step, opened as a checkpoint of its own, and the names that a further item may have."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.codes import AmbiguousItem, InvalidItemName, NotExpandable
from migrate.errors import CheckpointError, Diagnostic, UsageError, listed
from migrate.formats.detect import open_reader
from migrate.formats.files import is_dir, is_file
from migrate.formats.item_kinds import PYTREE
from migrate.formats.orbax.step import holds_item
from migrate.formats.reader import CheckpointReader
from migrate.formats.steps import find_steps, is_root, step_number
from migrate.places.names import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrate.formats.canonical import Unbox

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RESERVED = ("array_metadatas", "checkpoint", "d", "default", "descriptor", "metadata", "metrics")
"""Names that Orbax gives entries of a step or an item."""


def require_step(path: str | os.PathLike[str]) -> Path:
    """Returns the directory of a step whose pytrees are items.

    Raises:
      CheckpointError: it does not exist, or is a root, a single pytree or a single file (`NotExpandable`).
      UsageError: it is a URL (`UnsupportedPlace`).
    """
    step = local_path(path)
    if is_dir(step) and (step.is_symlink() or step.name in ("", "..")):
        step = Path(os.path.realpath(step))
    if is_file(step):
        message, advice = f"`{step}` is a single file, which has no items", "`migrate apply` writes a new checkpoint"
    elif is_dir(step) and is_root(step):
        latest = find_steps(step).choose(None).path
        message, advice = f"`{step}` is a root of steps", f"name one of its steps; the latest is `{latest}`"
    elif is_dir(step) and holds_item(step):
        message = f"`{step}` is one pytree, stored in the directory itself: Orbax finds no further item in it"
        advice = "name the step that it is an item of; if it is the step, `migrate apply` writes a new checkpoint"
    else:
        return step
    raise CheckpointError(NotExpandable.at(message, help=advice))


def open_step_item(
    path: str | os.PathLike[str],
    item: str | None = None,
    unbox: Unbox = "auto",
    *,
    follow_links: bool = False,
    separator: str | None = None,
) -> CheckpointReader:
    """Opens one pytree of a step as `CheckpointReader.only_item`.

    Args:
      path: the step.
      item: the item (default: the only pytree of the step, apart from other layouts of it).
      unbox: as in `open_reader`.
      follow_links: as in `open_reader`.
      separator: as in `open_reader`.

    Raises:
      CheckpointError: it cannot be read; or the step is none (`NotExpandable`), or has several pytrees
        (`AmbiguousItem`).
    """
    step = require_step(path)
    reader = open_reader(step, None, item, unbox, follow_links=follow_links, separator=separator)
    found = reader.abstract()
    trees = [name for name in found.items if found.kinds.get(name, PYTREE) == PYTREE]
    if reader.folder != step or len(trees) != 1:
        reader.close()
        raise CheckpointError(_not_one(step, trees, list(found.items)))
    if len(found.items) > 1:
        reader.close()
        reader = open_reader(step, None, trees[0], unbox, follow_links=follow_links, separator=separator)
    return reader.only_item()


def _not_one(step: Path, trees: list[str], items: list[str]) -> Diagnostic:
    if trees and any(trees):
        return AmbiguousItem.at(f"`{step}` has {len(trees)} pytrees: {listed(trees, 10)}", help="choose one: `--item`")
    if items and any(items):
        return NotExpandable.at(f"{listed(items, 5)} of `{step}` is not a pytree", help="choose another `--item`")
    message = f"`{step}` is not a step with a pytree item"
    return NotExpandable.at(message, help=f"see what it is: `migrate inspect {step}`")


def default_name(item: str, version: int | str | None) -> str:
    """Returns the name of a further layout of an item: with the version of its model, where it is known."""
    base = re.sub(r"_v[A-Za-z0-9-]+$", "", item)
    text = re.sub(r"[^A-Za-z0-9_-]", "-", str(version)) if version is not None else ""
    return f"{base}_v{text}" if text else f"{item}_new"


def require_name(name: str, items: Iterable[str] = ()) -> None:
    """Refuses a name that a further item of a step cannot have.

    Args:
      name: the name.
      items: the pytrees of the step.

    Raises:
      UsageError: it cannot (`InvalidItemName`).
    """
    first = min((item for item in items if item != name), key=_order_of_orbax, default=None)
    if not _NAME.fullmatch(name):
        why = "a name has letters, digits, `_` and `-`, and starts with a letter or `_`"
    elif name in _RESERVED:
        why = "Orbax uses this name itself"
    elif step_number(name) is not None:
        why = "it reads as the number of a step"
    elif first is not None and _order_of_orbax(name) < _order_of_orbax(first):
        why = f"`load` of Orbax's v1 API would take it instead of `{first}`: it takes `state`, else the first name"
    else:
        return
    raise UsageError(
        InvalidItemName.at(f"an item cannot be named `{name}`: {why}", help=f"such as `--as {first or 'state'}_v2`")
    )


def _order_of_orbax(name: str) -> tuple[bool, str]:
    """Returns a key for the order in which Orbax's v1 API looks for the pytree of a step."""
    return name != "state", name
