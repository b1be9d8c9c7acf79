"""Reads the fields of encoded OCDBT manifests and nodes, most of which are columns of numbers of variable length."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

_FEW = 16
"""Up to this number of fields, a loop over the bytes is faster than NumPy."""


class MalformedError(ValueError):
    """A manifest or a node contradicts its format."""


class Fields:
    """A cursor over the decoded body of a manifest or a node; a malformed field raises the error of `malformed`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def position(self) -> int:
        """The number of bytes that were read."""
        return self._position

    @property
    def remaining(self) -> int:
        """The number of bytes that follow."""
        return len(self._content) - self._position

    def malformed(self, why: str) -> Exception:
        """Returns the error for a field that contradicts the format."""
        return MalformedError(why)

    def take(self, count: int) -> bytes:
        """Returns the next bytes."""
        start = self._position
        end = self._position = start + count
        if end > len(self._content):
            raise self.malformed("it is truncated")
        return self._content[start:end]

    def byte(self) -> int:
        """Returns the next byte."""
        return self.take(1)[0]

    def varint(self, bits: int = 64) -> int:
        """Returns the next number of at most `bits` bits: seven bits per byte, lowest first."""
        number = 0
        for shift in range(0, bits, 7):
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >> bits:
                    break
                return number
        raise self.malformed(f"a number is longer than {bits} bits")

    def varints(self, count: int, bits: int = 64) -> list[int]:
        """Returns a column of numbers."""
        start = self._position
        single = self._content[start : start + count]
        if len(single) == count and single.isascii():  # each is less than 128, and takes one byte
            self._position = start + count
            return list(single)
        return [self.varint(bits) for _ in range(count)] if count <= _FEW else self._column(count, bits)

    def _column(self, count: int, bits: int) -> list[int]:
        longest = -(-bits // 7)
        window = np.frombuffer(self._content, np.uint8, min(self.remaining, count * longest), self._position)
        ends = np.flatnonzero(window < 0x80)[:count]
        if len(ends) < count:
            raise self.malformed(f"it is truncated, or a number is longer than {bits} bits")
        self._position += int(ends[-1]) + 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts + 1
        overlong = (lengths == longest) & (window[ends] >> (bits - 7 * (longest - 1)) != 0)
        if lengths.max() > longest or overlong.any():
            raise self.malformed(f"a number is longer than {bits} bits")
        return _joined(window, starts, lengths).tolist()  # type: ignore[no-any-return]

    def shared_strings(self, shared: list[int], own: list[int]) -> list[bytes]:
        """Returns strings, each of which is stored without the prefix that it shares with the string before it.

        Args:
          shared: the lengths of the shared prefixes.
          own: the lengths of the remainders, which are the next bytes.
        """
        ends = list(accumulate(own))
        content = self.take(ends[-1] if ends else 0)
        last, strings = b"", []
        for prefix, length, end in zip(shared, own, ends, strict=True):
            if prefix > len(last):
                raise self.malformed("a key shares a longer prefix than the key before it has")
            last = last[:prefix] + content[end - length : end]
            strings.append(last)
        return strings

    def expect_end(self) -> None:
        """Refuses bytes after the last field."""
        if self.remaining:
            raise self.malformed(f"{self.remaining} bytes follow its last field")


def _joined(window: Any, starts: Any, lengths: Any) -> Any:
    """Returns the numbers whose first bytes are at `starts`."""
    numbers = (window[starts] & 0x7F).astype(np.uint64)
    for place in range(1, int(lengths.max())):
        (longer,) = np.nonzero(lengths > place)
        digits = (window[starts[longer] + place] & 0x7F).astype(np.uint64)
        numbers[longer] |= digits << np.uint64(7 * place)
    return numbers
