"""The record that a checkpoint carries: the model it is for, the versions that wrote it, and its migrations.

The record is stored in Orbax's custom metadata under the key `migrate`, beside other entries. Fields of newer versions
are kept but not read. A field of the wrong type means that the record was altered and cannot be trusted, so it is
refused. Only `Metadata.of` needs a model and JAX; `migrate.template.facts` reads the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from migrate.codes import DamagedFile, InvalidUsage
from migrate.errors import CheckpointError, Diagnostic, UsageError
from migrate.formats.digest_record import RECORD_KEY
from migrate.git_commit import git_commit
from migrate.version import __version__

KEY = RECORD_KEY
"""The key of the record in Orbax's custom metadata."""

ITEMS = "items"
"""The key, beside the record's own, of JSON items that a checkpoint which is one pytree cannot have as items."""

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
      hyperparameters: the model's plain attributes and the template's arguments, which decide the shapes.
      graph_digest: of the model's graph definition: types, static attributes and shared parts.
      code_digests: of the model's classes and of what they use of their package, by module.
      transforms: the optax names of the transforms of its optimizers.
      checkpointer: the kind of checkpointer that saved it, such as `CheckpointManager`.
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
    graph_digest: str | None = None
    code_digests: Mapping[str, str] = field(default_factory=dict)
    transforms: tuple[str, ...] = ()
    checkpointer: str | None = None
    history: tuple[Migration, ...] = ()

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        name: str,
        version: int | str,
        hyperparameters: Mapping[str, Any] | None = None,
        step: int | None = None,
        checkpointer: object = None,
    ) -> dict[str, Any]:
        """Returns the record of a model as custom metadata: `{"migrate": {…}}`, plain JSON that every Orbax save takes.

        Args:
          model: what is saved: an NNX module, a pytree, or a dict or list of them. Its arrays are not read.
          name: the model's name, as `source: {model: …}` and `target: {model: …}` of rule files have it.
          version: the model's version, as `version:` of rule files has it.
          hyperparameters: what decides its shapes (default: the plain attributes that are equal in all its modules).
          step: the training step.
          checkpointer: the checkpointer that saves it, or the name of its kind.

        Raises:
          UsageError: a hyperparameter has no form in JSON (`InvalidUsage`); Orbax would not finish the save.
        """
        from migrate.template.facts import facts_of, tree_of

        facts, tree = facts_of(model), tree_of(model)
        given = facts.hyperparameters if hyperparameters is None else plain_hyperparameters(hyperparameters)
        record = cls(
            model=name,
            version=version,
            structure_hash=tree.structure_hash,
            leaves=tree.signature,
            code=_commit(Path.cwd()),
            versions=installed_versions(),
            step=None if step is None else int(step),
            hyperparameters=given,
            graph_digest=facts.graph_digest,
            code_digests=facts.code_digests,
            transforms=facts.transforms,
            checkpointer=_kind_of_checkpointer(checkpointer),
        )
        return merge({}, record)

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
        migrations, transforms = known.pop("history", ()), tuple(known.pop("transforms", ()))
        return cls(
            **known,
            transforms=transforms,
            history=tuple(Migration(**{name: row[name] for name in _ROW}) for row in migrations),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the record as JSON, for `merge`."""
        fields = {name: getattr(self, name) for name in _TYPES}
        history = [dataclasses.asdict(migration) for migration in self.history]
        return {
            **fields,
            "leaves": dict(self.leaves),
            "versions": dict(self.versions),
            "hyperparameters": dict(self.hyperparameters),
            "code_digests": dict(self.code_digests),
            "transforms": list(self.transforms),
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
    "graph_digest": (str,),
    "code_digests": (Mapping,),
    "transforms": (list, tuple),
    "checkpointer": (str,),
    "history": (list, tuple),
}
_ROW = tuple(f.name for f in dataclasses.fields(Migration))


def merge(custom: Mapping[str, Any], metadata: Metadata) -> dict[str, Any]:
    """Returns custom metadata with this record added; all other entries stay."""
    before = custom.get(KEY)
    kept = before if isinstance(before, Mapping) else {}
    return {**custom, KEY: {**kept, **metadata.to_json()}}


def kept_items(custom: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the JSON items that custom metadata hold, by name."""
    record = custom.get(KEY)
    items = record.get(ITEMS) if isinstance(record, Mapping) else None
    return items if isinstance(items, Mapping) else {}


def with_items(custom: Mapping[str, Any], items: Mapping[str, Any]) -> dict[str, Any]:
    """Returns custom metadata that hold these JSON items; unchanged without items."""
    return {**custom, KEY: {**custom.get(KEY, {}), ITEMS: dict(items)}} if items else dict(custom)


def plain_hyperparameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns hyperparameters as plain JSON.

    Raises:
      UsageError: one of them has no form in JSON (`InvalidUsage`).
    """
    from migrate.template.facts import plain

    found = {}
    for name, value in given.items():
        try:
            found[str(name)] = plain(value)
        except TypeError as error:
            message = f"the hyperparameter `{name}` cannot be recorded: {error}"
            advice = "pass numbers, strings, booleans, and lists or dicts of them"
            raise UsageError(InvalidUsage.at(message, help=advice)) from None
    return found


def already_applied(metadata: Metadata, rules_digest: str) -> bool:
    """Whether the rule file of this digest was applied to the checkpoint before."""
    return any(migration.rules_digest == rules_digest for migration in metadata.history)


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that write a checkpoint, without importing them."""
    return dict(_installed_versions())


@cache
def _installed_versions() -> dict[str, str]:
    """Returns the versions at the first call; the code that runs stays that of these versions."""
    from importlib import metadata as distributions

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


@cache
def _commit(directory: Path) -> str | None:
    """Returns the commit of a directory; the first answer stays, as the code that runs stays too."""
    return git_commit(directory)


def _kind_of_checkpointer(given: object) -> str | None:
    if given is None or isinstance(given, str):
        return given
    kind = given if isinstance(given, type) else type(given)
    return short_kind(f"{kind.__module__}.{kind.__qualname__}")


def short_kind(name: str) -> str:
    """Returns the kind of a checkpointer or handler by its qualified name: the class, with `v1.` for Orbax's v1 API."""
    parts = name.split(".")
    return f"v1.{parts[-1]}" if "v1" in parts[:-1] else parts[-1]


def _problems(blob: object) -> Iterator[Diagnostic]:
    if not isinstance(blob, Mapping):
        yield _damaged(f"is {_kind(blob)}, not a mapping")
        return
    for name, types in _TYPES.items():
        value = blob.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            yield _damaged(f"has {_kind(value)} for `{name}`")
    for name in ("versions", "leaves", "code_digests"):
        yield from _mapping_problems(name, blob.get(name))
    yield from _transform_problems(blob.get("transforms"))
    yield from _row_problems(blob.get("history"))


def _mapping_problems(name: str, texts: object) -> Iterator[Diagnostic]:
    for key, value in texts.items() if isinstance(texts, Mapping) else ():
        if not isinstance(value, str):
            yield _damaged(f"has {_kind(value)} for `{name}/{key}`")


def _transform_problems(transforms: object) -> Iterator[Diagnostic]:
    for index, value in enumerate(transforms if isinstance(transforms, list | tuple) else ()):
        if not isinstance(value, str):
            yield _damaged(f"has {_kind(value)} for `transforms/{index}`")


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
