"""Leaves whose data are no array of JAX: arrays of text, of Python objects, of dates, of structures.

They do not keep the rest of a checkpoint from being read. A rule may drop them; whatever uses one is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrate.codes import UnsupportedLeaf
from migrate.errors import CheckpointError, Diagnostic
from migrate.tree import AbstractLeaf, KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.tree import Storage

_KINDS = (
    (r"[<>|=]?O\d*|object", "Python objects"),
    (r"[<>|=]?U\d+|str\d*|string|fixed_length_utf32", "text"),
    (r"[<>|=]?[Sa]\d+|bytes\d*|null_terminated_bytes", "byte strings"),
    (r"[<>|=]?[Mm]8(\[.*\])?|(numpy\.)?(datetime64|timedelta64)(\[.*\])?", "dates or times"),
    (r"[<>|=]?V\d+|void\d*|\[.*|\{.*|raw_bytes|structured?", "structures"),
)


def opaque_leaf(dtype: object, shape: Sequence[int], storage: Storage | None = None) -> AbstractLeaf | None:
    """Returns the leaf of an array of text, objects, dates or structures; `dtype` is as the file spells it.

    Other dtypes return None: a name that is in no list may be damage.
    """
    text = str(dtype)
    kind = next((name for pattern, name in _KINDS if re.fullmatch(pattern, text, re.DOTALL)), None)
    if kind is None:
        return None
    return AbstractLeaf("opaque", storage=storage, content=f"{kind}[{','.join(map(str, shape))}]")


def unreadable(path: KeyPath, leaf: AbstractLeaf, where: object) -> Diagnostic:
    """Returns the error for a use of an opaque leaf; `where` names its checkpoint."""
    name = format_path(path)
    objects = "; nothing is ever unpickled" if leaf.content.startswith("Python objects") else ""
    return UnsupportedLeaf.at(
        f"`{name}` of `{where}` has the type {leaf.content}, which no array of JAX has{objects}",
        paths=(name,),
        help=f"drop it: add `- drop: {_quoted(name)}` to the rules",
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w/.-]*", name) else "'" + name.replace("'", "''") + "'"


def refuse_opaque(path: KeyPath, leaf: AbstractLeaf, where: object) -> None:
    """Refuses to read an opaque leaf.

    Raises:
      CheckpointError: it is one (`UnsupportedLeaf`).
    """
    if not leaf.is_readable:
        raise CheckpointError(unreadable(path, leaf, where))
