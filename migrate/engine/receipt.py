"""What was done, as a value: the proof that an apply leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from migrate.tree import KeyPath

VerifyMode = Literal["full", "digest", "none"]


@dataclass(frozen=True)
class Receipt:
    """What `apply` did.

    Attributes:
      destination: where the new checkpoint is.
      plan_digest: the digest of the plan that was run.
      structure_hash: the structure hash of what was written.
      leaf_digests: `xxh3:` digests of the little-endian bytes of every array that was written, by key path.
      bytes_read, bytes_written: host bytes of array data.
      seconds: wall time by phase (`stage`, `commit`, `verify`).
      verified: how the result was verified; `none` says that it was not.
      verified_leaves: how many leaves were compared.
      versions: versions of the packages that took part.
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
    versions: Mapping[str, str] = field(default_factory=dict)
