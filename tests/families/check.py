"""Moves the model of a row to the other library and back, and measures what arrives."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.families.rows import Row

LIMIT = 1e-5
"""The largest relative difference of logits: max |a - b| / max |b|."""

ROUNDED = 1e-6
"""The largest relative difference of a float32 tensor that was rounded twice."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row measured.

    Attributes:
      row: the row.
      logits: the largest relative difference of the logits, or None where the other side does not run.
      lines: the number of lines of the rule file, without comments and empty ones.
      leaves: the number of leaves of the other side.
      changed: tensors of the file on the way back that only one side has, or whose bits, shape or dtype differ.
      rounded: the largest relative difference of these tensors, where the rules compute new numbers.
      loading: what `from_pretrained` reports of that file, by kind.
    """

    row: Row
    logits: float | None
    lines: int
    leaves: int
    changed: tuple[str, ...] = ()
    rounded: float = 0.0
    loading: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the row holds: logits agree, and the way back is bit for bit and loads."""
        near = self.logits is None or self.logits <= LIMIT
        back = self.rounded <= ROUNDED if self.row.rounds else not self.changed
        return near and back and not any(self.loading.values())


def tensors(file: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Returns dtype, shape and bytes of each tensor of a safetensors file, read without the library."""
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], tuple(entry["shape"]), body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def differing(expected: Path, actual: Path) -> tuple[str, ...]:
    """Returns the names of tensors that are not the same, bit for bit, in two safetensors files."""
    one, other = tensors(expected), tensors(actual)
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def deviation(expected: Path, actual: Path) -> float:
    """Returns the largest relative difference of the float32 tensors of two safetensors files."""
    one, other = tensors(expected), tensors(actual)
    pairs = [(np.frombuffer(one[name][2], "<f4"), np.frombuffer(other[name][2], "<f4")) for name in one]
    return max(relative(first, second) for first, second in pairs)


def digests(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
    """Returns dtype, shape and SHA-256 of the bytes in C order, by key path."""
    return {
        name: [str(array.dtype), list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
        for name, array in sorted(arrays.items())
    }


def relative(expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any]) -> float:
    """Returns max |actual - expected| / max |expected|."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())
