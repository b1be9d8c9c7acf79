"""The custom metadata of a save: the record with the number of the step, checked to be JSON before anything is saved.

Orbax takes metadata that are none, and fails in the background, where the step is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from migrate.codes import InvalidRecord
from migrate.errors import CheckpointError, UsageError
from migrate.metadata import KEY, Metadata, merge, short_kind

_ADVICE = "use numbers, strings, booleans, None, and lists and dicts of them, for example `float(x)`"


def custom_metadata(metadata: object, step: int, checkpointer: object) -> dict[str, Any]:
    """Returns the custom metadata of a step, with the number and the kind of checkpointer in the record.

    Args:
      metadata: a record, or custom metadata with or without one.
      step: the number of the step, which replaces the recorded one.
      checkpointer: the checkpointer that saves it.

    Raises:
      UsageError: a part of it is not JSON, or the record has fields of wrong types (`InvalidRecord`).
    """
    custom = merge({}, metadata) if isinstance(metadata, Metadata) else metadata
    if not isinstance(custom, Mapping):
        message = f"`metadata` is a {type(custom).__name__}, neither a record nor a dict"
        raise UsageError(InvalidRecord.at(message, help="pass what `migrate.Metadata.of(…)` returns"))
    found = dict(custom)
    record = found.get(KEY)
    if isinstance(record, Mapping):
        found[KEY] = {**record, "step": step, "checkpointer": record.get("checkpointer") or _kind(checkpointer)}
    refuse_other_than_json(found, "the custom metadata")
    try:
        Metadata.from_json(found)
    except CheckpointError as error:
        reasons = "; ".join(problem.message for problem in error.diagnostics)
        message = f"the record cannot be read again: {reasons}"
        raise UsageError(InvalidRecord.at(message, help="pass what `migrate.Metadata.of(…)` returns")) from None
    return found


def refuse_other_than_json(value: Any, name: str) -> None:
    """Refuses a value that JSON cannot hold, or would change.

    Raises:
      UsageError: it is one; the message names the first such part (`InvalidRecord`).
    """
    try:
        problem = next(_problems(value, ""), None)
    except RecursionError:
        problem = "is nested too deeply or in a circle"
    if problem is not None:
        raise UsageError(InvalidRecord.at(f"{name} {problem}; nothing was saved", help=_ADVICE))


def _problems(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                yield f"{_at(path)}has the key {key!r}, a {type(key).__name__} and not a string"
            yield from _problems(part, f"{path}/{key}")
        if not isinstance(value, dict):
            yield f"{_at(path)}has a {type(value).__name__}, which is not JSON"
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _problems(part, f"{path}/{index}")
    elif not _is_scalar(value):
        yield f"{_at(path)}has a {type(value).__module__}.{type(value).__name__}, which is not JSON"


def _is_scalar(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _at(path: str) -> str:
    return f"at `{path[1:]}` " if path else ""


def _kind(checkpointer: object) -> str:
    kind = type(checkpointer)
    return short_kind(f"{kind.__module__}.{kind.__qualname__}")
