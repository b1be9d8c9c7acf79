"""Reads the content of a zstd frame as a file, decompressed block by block.

The stream reader of `zstandard` accepts a frame that is truncated before its checksum. Its other decoder does not, but
returns the whole content of its input at once, which may be any number of bytes. A block decodes to at most 128 KiB, so
that decoder is given one block at a time.
"""

from __future__ import annotations

import io
from typing import Any

import zstandard

_LONGEST_HEADER = 18
_CHECKSUM_BYTES = 4
_RLE = 1
"""The type of a block that repeats one byte."""


class ZstdStream(io.RawIOBase):
    """The content of a frame.

    Args:
      encoded: the frame, with no bytes after it.
      window_bytes: the largest window that a frame may need for decompression (default: 128 MiB).

    Raises:
      zstandard.ZstdError: when it is opened or read: it is not a frame, is damaged or truncated, or data follows it.
    """

    def __init__(self, encoded: io.RawIOBase | io.BytesIO, window_bytes: int = 0) -> None:
        self._encoded = encoded
        header = encoded.read(_LONGEST_HEADER) or b""
        self._has_checksum = zstandard.get_frame_parameters(header).has_checksum
        size = zstandard.frame_header_size(header)
        self._ahead = header[size:]
        self._decoder = zstandard.ZstdDecompressor(max_window_size=window_bytes).decompressobj()
        self._ready = memoryview(self._decoder.decompress(header[:size]))

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes of the content; none once the frame has ended and its checksum, if any, was verified."""
        while not self._ready and not self._decoder.eof:
            self._ready = memoryview(self._block())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _block(self) -> bytes:
        head = self._take(3)
        fields = int.from_bytes(head, "little")
        is_last, kind, size = fields & 1, fields >> 1 & 3, fields >> 3
        content = head + self._take(1 if kind == _RLE else size)
        if is_last and self._has_checksum:
            content += self._take(_CHECKSUM_BYTES)
        decoded: bytes = self._decoder.decompress(content)
        if is_last and not self._decoder.eof:
            raise zstandard.ZstdError("the frame does not end with its last block")
        if is_last and (self._ahead or self._encoded.read(1)):
            raise zstandard.ZstdError("data follows the frame")
        return decoded

    def _take(self, count: int) -> bytes:
        content, self._ahead = self._ahead[:count], self._ahead[count:]
        if len(content) < count:
            content += self._encoded.read(count - len(content)) or b""
        if len(content) < count:
            raise zstandard.ZstdError("the frame is truncated")
        return content
