"""The record that a checkpoint carries about itself: which model it is for, what wrote it, and how it came to be.

It lives in Orbax's custom metadata under the key `migrate`, beside whatever else is kept there. Fields that a newer
version may add are kept and not read; a field of the wrong type means that the record was changed by hand or by
accident, and nothing that rests on it could be trusted.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from migrate.codes import DamagedFile
from migrate.errors import CheckpointError, Diagnostic
from migrate.version import __version__

KEY = "migrate"
"""The key of the record in Orbax's custom metadata."""

_DISTRIBUTIONS = {"jax": "jax", "flax": "flax", "optax": "optax", "orbax": "orbax-checkpoint"}
_GIT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration that a checkpoint went through.

    Attributes:
      rules: the rule file's name.
      rules_digest: `sha256:` of the rule file.
      source_structure_hash: of the tree that went in.
      plan_digest: of the plan that was carried out.
      date: ISO 8601, UTC.
    """

    rules: str
    rules_digest: str
    source_structure_hash: str
    plan_digest: str
    date: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a checkpoint says about itself; None where nobody said.

    Attributes:
      model: the model's name, from the rule file's `target:`.
      version: the model's version, from the same place.
      structure_hash: of the tree that was written.
      leaves: the tree itself as text (`AbstractTree.signature`), so that a difference can name the leaves.
      source_structure_hash: of the tree that it was made from.
      code: the git commit of the directory that it was made in, with `-dirty` when files were changed since.
      versions: of jax, flax, optax, orbax and migrate; packages that are not installed are left out.
      step: the training step.
      hyperparameters: the template's arguments, which decide the shapes.
      history: every migration, the oldest first.
    """

    model: str | None = None
    version: int | str | None = None
    structure_hash: str | None = None
    leaves: Mapping[str, str] = field(default_factory=dict)
    source_structure_hash: str | None = None
    code: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    step: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Migration, ...] = ()

    @classmethod
    def from_json(cls, custom: Mapping[str, Any]) -> Metadata | None:
        """The record in a checkpoint's custom metadata, or None where there is none.

        Raises:
          CheckpointError: fields have wrong types (M404); all of them are named.
        """
        if KEY not in custom:
            return None
        blob = custom[KEY]
        problems = list(_problems(blob))
        if problems:
            raise CheckpointError(*problems)
        known = {name: blob[name] for name in _TYPES if blob.get(name) is not None}
        migrations = known.pop("history", ())
        return cls(**known, history=tuple(Migration(**{name: row[name] for name in _ROW}) for row in migrations))

    def to_json(self) -> dict[str, Any]:
        """The record as JSON; `merge` puts it where it belongs."""
        fields = {name: getattr(self, name) for name in _TYPES}
        history = [dataclasses.asdict(migration) for migration in self.history]
        return {
            **fields,
            "leaves": dict(self.leaves),
            "versions": dict(self.versions),
            "hyperparameters": dict(self.hyperparameters),
            "history": history,
        }


_TYPES: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "version": (int, str),
    "structure_hash": (str,),
    "leaves": (Mapping,),
    "source_structure_hash": (str,),
    "code": (str,),
    "versions": (Mapping,),
    "step": (int,),
    "hyperparameters": (Mapping,),
    "history": (list, tuple),
}
_ROW = tuple(f.name for f in dataclasses.fields(Migration))


def merge(custom: Mapping[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Custom metadata with this record in it; everything else that was there stays."""
    before = custom.get(KEY)
    kept = before if isinstance(before, Mapping) else {}
    return {**custom, KEY: {**kept, **metadata.to_json()}}


def already_applied(metadata: Metadata, rules_digest: str) -> bool:
    """Whether the checkpoint went through the rule file of this digest."""
    return any(migration.rules_digest == rules_digest for migration in metadata.history)


def installed_versions() -> dict[str, str]:
    """Versions of what writes a checkpoint, read without importing any of it."""
    found = {"migrate": __version__}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = distributions.version(distribution)
        except distributions.PackageNotFoundError:
            continue
    return found


def git_commit(directory: Path | None = None) -> str | None:
    """The commit of a working tree (by default the current directory's), with `-dirty` when tracked files were changed.

    None where there is no commit, or no git.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command
            command, cwd=directory, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def now() -> str:
    """The date for a migration: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _problems(blob: object) -> Iterator[Diagnostic]:
    if not isinstance(blob, Mapping):
        yield _damaged(f"is {_kind(blob)}, not a mapping")
        return
    for name, types in _TYPES.items():
        value = blob.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            yield _damaged(f"has {_kind(value)} for `{name}`")
    yield from _mapping_problems(blob.get("versions"))
    yield from _row_problems(blob.get("history"))


def _mapping_problems(versions: object) -> Iterator[Diagnostic]:
    for name, value in versions.items() if isinstance(versions, Mapping) else ():
        if not isinstance(value, str):
            yield _damaged(f"has {_kind(value)} for `versions/{name}`")


def _row_problems(history: object) -> Iterator[Diagnostic]:
    for index, row in enumerate(history if isinstance(history, list | tuple) else ()):
        bad = [name for name in _ROW if not isinstance(row, Mapping) or not isinstance(row.get(name), str)]
        if bad:
            yield _damaged(f"lacks {', '.join(f'`{name}`' for name in bad)} in `history/{index}`")


def _damaged(what: str) -> Diagnostic:
    return DamagedFile.at(
        f"the checkpoint's record of itself {what}",
        help="it is the key `migrate` of the custom metadata; take it from another copy, or remove it",
    )


def _kind(value: object) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
    }
    return names.get(type(value), "a mapping")
