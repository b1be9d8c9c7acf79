"""What was done, as a value: the proof that an apply leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from migrate.engine.probing.probe import Probed
from migrate.errors import Diagnostic
from migrate.planning.model import Proof
from migrate.tree import KeyPath

VerifyMode = Literal["full", "digest", "none"]


@dataclass(frozen=True)
class Receipt:
    """What `apply` did.

    Attributes:
      destination: where the new checkpoint is.
      plan_digest: the digest of the plan that was run.
      structure_hash: the structure hash of what was written.
      leaf_digests: for every array, by key path, `xxh3:` and the digest of its little-endian bytes, or `linked` where
        it was taken over and no byte of it was decoded.
      bytes_read, bytes_written: host bytes of array data.
      seconds: wall time of this run by phase (`stage`, `commit`, `verify`).
      verified: how the result was verified; `none` says that it was not.
      verified_leaves: how many leaves were compared.
      leaves: how many leaves the new checkpoint has.
      linked: how many arrays were taken over, chunk by chunk, without decoding.
      dead_bytes: bytes in linked files that no leaf needs: they hold arrays that were dropped or rewritten.
      resumed: how many arrays an earlier run had staged already.
      versions: versions of the packages that took part.
      notes: what was found beside the destination.
      proofs: how many of the leaves that have a source are proved by name, by shape, by value, or not.
      probe: what a probe has shown, if one was run.
    """

    destination: Path
    plan_digest: str
    structure_hash: str
    leaf_digests: Mapping[KeyPath, str]
    bytes_read: int
    bytes_written: int
    seconds: Mapping[str, float]
    verified: VerifyMode
    verified_leaves: int
    leaves: int = 0
    linked: int = 0
    dead_bytes: int = 0
    resumed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    proofs: Mapping[Proof, int] = field(default_factory=dict)
    probe: Probed | None = None

    @property
    def written(self) -> int:
        """How many arrays and numbers were written."""
        return len(self.leaf_digests) - self.linked
