"""The record that a checkpoint carries: the model it is for, the versions that wrote it, and its migrations.

The record is stored in Orbax's custom metadata under the key `migrate`, beside other entries. Fields of newer versions
are kept but not read. A field of the wrong type means that the record was altered and cannot be trusted, so it is
refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata as distributions
from typing import Any

from migrate.codes import DamagedFile
from migrate.errors import CheckpointError, Diagnostic
from migrate.version import __version__

KEY = "migrate"
"""The key of the record in Orbax's custom metadata."""

_DISTRIBUTIONS = {"jax": "jax", "flax": "flax", "optax": "optax", "orbax": "orbax-checkpoint"}


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration of a checkpoint.

    Attributes:
      rules: the rule file's name.
      rules_digest: `sha256:` of the rule file.
      source_structure_hash: of the source's tree.
      plan_digest: of the plan that was applied.
      date: ISO 8601, UTC.
    """

    rules: str
    rules_digest: str
    source_structure_hash: str
    plan_digest: str
    date: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """The record of one checkpoint; None stands for what is not recorded.

    Attributes:
      model: the model's name, from the rule file's `target:`.
      version: the model's version, from the same place.
      structure_hash: of the tree that was written.
      leaves: the tree as text (`AbstractTree.signature`), so that a difference can be reported by leaf.
      source_structure_hash: of the tree that it was made from.
      source_fingerprint: of the files that it was made from: their names, sizes and times.
      digests: where it records the digests of its values: the name of a file, or a key of the metadata of its file.
      code: the git commit of the working directory when it was made, with `-dirty` if files were changed.
      versions: of jax, flax, optax, orbax and migrate; packages that are not installed are omitted.
      step: the training step.
      hyperparameters: the template's arguments, which decide the shapes.
      history: every migration, the oldest first.
    """

    model: str | None = None
    version: int | str | None = None
    structure_hash: str | None = None
    leaves: Mapping[str, str] = field(default_factory=dict)
    source_structure_hash: str | None = None
    source_fingerprint: str | None = None
    digests: str | None = None
    code: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    step: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Migration, ...] = ()

    @classmethod
    def from_json(cls, custom: Mapping[str, Any]) -> Metadata | None:
        """Returns the record in a checkpoint's custom metadata, or None where there is none.

        Raises:
          CheckpointError: fields have wrong types (`DamagedFile`); all of them are named.
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
        """Returns the record as JSON, for `merge`."""
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
    "source_fingerprint": (str,),
    "digests": (str,),
    "code": (str,),
    "versions": (Mapping,),
    "step": (int,),
    "hyperparameters": (Mapping,),
    "history": (list, tuple),
}
_ROW = tuple(f.name for f in dataclasses.fields(Migration))


def merge(custom: Mapping[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Returns custom metadata with this record added; all other entries stay."""
    before = custom.get(KEY)
    kept = before if isinstance(before, Mapping) else {}
    return {**custom, KEY: {**kept, **metadata.to_json()}}


def already_applied(metadata: Metadata, rules_digest: str) -> bool:
    """Whether the rule file of this digest was applied to the checkpoint before."""
    return any(migration.rules_digest == rules_digest for migration in metadata.history)


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that write a checkpoint, without importing them."""
    found = {"migrate": __version__}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = distributions.version(distribution)
        except distributions.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Returns the date for a migration: ISO 8601, UTC, to the second."""
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
