"""Reads and lists the objects of a bucket through TensorStore, with the same credentials and endpoint as its arrays.

TensorStore lists the keys of objects without their sizes. A size is therefore searched for by reading single bytes, and
is determined only where it is needed; whether an object reaches a byte takes one request.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any, NamedTuple, NoReturn

from migrate.codes import SourceChanged, UnreachableBucket
from migrate.errors import CheckpointError

DRIVERS = {"gs": "gcs", "s3": "s3"}
"""TensorStore's drivers of key-value stores by URL scheme."""

_FIRST_BYTES = 64 << 10
"""A smaller object is read whole to determine its size."""
_BLOCK_BYTES = 8 << 20
"""The bytes of one request of a whole object."""
_BLOCKS_AHEAD = 4
"""The most blocks that are requested at once."""
_PROBES = 32
"""The single bytes that are requested at once in the search for a size."""
LARGEST = 1 << 43
"""No object is as large: the limit of both services is 5 TiB."""
NONE = b"\x02"
"""The generation of an object that does not exist."""
_RETRIES = {"max_retries": 7, "initial_delay": "250ms", "max_delay": "8s"}
"""How often a request of this module is repeated: a bucket that does not answer is reported after about 30 seconds."""

_OF_ACCESS = (
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
)
"""The statuses of requests that a bucket refused or did not answer."""

_ERRORS = (ValueError, OSError, RuntimeError, NotImplementedError, IndexError, TypeError, MemoryError)


class BucketName(NamedTuple):
    """A bucket: the scheme of its URL and its name."""

    scheme: str
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}"


def store_spec(bucket: BucketName, key: str) -> dict[str, Any]:
    """Returns the specification of the objects of a bucket whose keys begin with `key`, as a key-value store.

    The environment selects the endpoint and the region of S3, by the variables that the AWS command line reads.
    """
    spec: dict[str, Any] = {"driver": DRIVERS[bucket.scheme], "bucket": bucket.name, "path": key}
    if bucket.scheme == "s3":
        endpoint, region = s3_server()
        if os.environ.get("AWS_ACCESS_KEY_ID"):  # the other sources of credentials would log that they have none
            spec["aws_credentials"] = {"type": "environment"}
        if endpoint:
            spec["endpoint"] = endpoint
        if region:
            spec["aws_region"] = region
    return spec


def s3_server() -> S3Server:
    """Returns the server of S3 that the environment selects, by the variables that the AWS command line reads."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
    # A server of one's own has no regions, and clients would ask for one.
    return S3Server(endpoint, region or ("us-east-1" if endpoint else None))


class S3Server(NamedTuple):
    """A server of S3; None leaves the choice to the client."""

    endpoint: str | None
    region: str | None


class Objects:
    """The objects of one bucket; safe to use from several threads."""

    def __init__(self, bucket: BucketName) -> None:
        self._bucket = bucket

    def keys(self, prefix: str) -> list[str]:
        """Returns the keys that begin with `prefix`, in order.

        Raises:
          CheckpointError: the bucket cannot be listed (`UnreachableBucket`).
        """
        found = self._answered(lambda: (self._store / prefix).list(), prefix)
        return sorted(prefix + key.decode(errors="surrogateescape") for key in found)

    def read(self, key: str) -> bytes | None:
        """Returns the content of an object; None if there is none.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`).
        """
        answer = self._answered(lambda: self._store.read(key), key)
        return answer.value if answer.state == "value" else None

    def read_range(self, key: str, start: int, stop: int) -> bytes | None:
        """Returns the bytes of a range, fewer where the object ends before `stop`; None if there is no object.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`).
        """
        if start >= stop:
            return b""
        answer = self._range(key, slice(start, stop)) or self._range(key, slice(start, None))
        if answer is None:
            return b""
        return answer.value if answer.state == "value" else None

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yields the content of an object in order; the next blocks are requested meanwhile.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`), or is written meanwhile (`SourceChanged`).
        """
        store, starts = self._store, count(0, _BLOCK_BYTES)
        coming: deque[tuple[int, Any]] = deque()
        generation: bytes | None = None
        while True:
            while len(coming) < _BLOCKS_AHEAD:
                start = next(starts)
                coming.append((start, store.read(key, byte_range=slice(start, start + _BLOCK_BYTES))))
            start, request = coming.popleft()
            block = self._in_range(request, key)
            is_last = block is None
            if is_last:
                block = self._range(key, slice(start, None)) or self._range(key, slice(0, 0))
            if block.state != "value" or generation not in (None, block.stamp.generation):
                fate = "written" if block.state == "value" else "deleted"
                message = f"`{self._bucket}/{key}` was {fate} while it was read"
                raise CheckpointError(SourceChanged.at(message, help="run the same command again"))
            generation = block.stamp.generation
            yield block.value
            if is_last:
                return

    def reach(self, ends: Sequence[tuple[str, int]]) -> list[bool]:
        """Returns for each key and number whether the object exists and has at least as many bytes.

        Raises:
          CheckpointError: one cannot be read (`UnreachableBucket`).
        """
        ranges = [(key, slice(max(end - 1, 0), end)) for key, end in ends]
        answers = self._ranges(ranges)
        return [answer is not None and answer.state == "value" for answer in answers]

    def size(self, key: str) -> int | None:
        """Returns the size of an object in bytes; None if there is none.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`).
        """
        first = self._range(key, slice(0, _FIRST_BYTES))
        if first is None:
            content = self.read(key)
            return None if content is None else len(content)
        if first.state != "value":
            return None
        powers = [1 << power for power in range(_FIRST_BYTES.bit_length(), LARGEST.bit_length())]
        known, beyond = self._narrowed(key, _FIRST_BYTES, powers)
        while beyond - known > _FIRST_BYTES:
            step = max((beyond - known) // (_PROBES + 1), 1)
            known, beyond = self._narrowed(key, known, range(known + step, beyond, step), beyond)
        rest = self._range(key, slice(known - 1, None))
        return None if rest is None or rest.state != "value" else known - 1 + len(rest.value)

    def _narrowed(self, key: str, known: int, ends: Iterable[int], beyond: int = LARGEST) -> tuple[int, int]:
        """Returns the largest number of bytes that an object has of some, and the smallest that it has not."""
        tried = list(ends)
        for end, reached in zip(tried, self.reach([(key, end) for end in tried]), strict=True):
            if not reached:
                return known, end
            known = end
        return known, beyond

    def read_with_generation(self, key: str) -> tuple[bytes, bytes] | None:
        """Returns the content and the generation of an object; None if there is none.

        Raises:
          CheckpointError: it cannot be read (`UnreachableBucket`).
        """
        answer = self._answered(lambda: self._store.read(key), key)
        return (answer.value, answer.stamp.generation) if answer.state == "value" else None

    def write(self, key: str, content: bytes | None, generation: bytes | None = None) -> bytes | None:
        """Writes or deletes an object; returns its new generation.

        Args:
          key: its key.
          content: its content; None to delete it.
          generation: the only generation that is replaced, `NONE` for no object (default: any).

        Returns:
          None if the object has another generation.

        Raises:
          CheckpointError: it cannot be written (`UnreachableBucket`).
        """
        answer = self._answered(lambda: self._store.write(key, content, if_equal=generation), key)
        found: bytes = answer.generation
        return found or None

    def begin_write(self, key: str, content: bytes | None) -> PendingWrite:
        """Begins to write or delete an object."""
        return PendingWrite(self, key, self._store.write(key, content))

    def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects, many at once.

        Raises:
          CheckpointError: one cannot be deleted (`UnreachableBucket`).
        """
        for pending in [self.begin_write(key, None) for key in keys]:
            pending.result()

    def generations(self, keys: Sequence[str]) -> list[str | None]:
        """Returns a text for each object that changes whenever it is written: its generation or ETag; None without one.

        Raises:
          CheckpointError: one cannot be read (`UnreachableBucket`).
        """
        answers = self._ranges([(key, slice(0, 0)) for key in keys])
        return [
            answer.stamp.generation.hex() if answer is not None and answer.state == "value" else None
            for answer in answers
        ]

    @property
    def _store(self) -> Any:
        try:
            return _opened(self._bucket, s3_server())
        except _ERRORS as error:
            self._explain(error, "")

    def _range(self, key: str, place: slice) -> Any:
        return self._ranges([(key, place)])[0]

    def _ranges(self, places: Sequence[tuple[str, slice]]) -> list[Any]:
        """Returns the answers to requests that are sent at once; None for a range beyond the end of its object."""
        store = self._store
        requests = [store.read(key, byte_range=place) for key, place in places]
        return [self._in_range(request, key) for request, (key, _) in zip(requests, places, strict=True)]

    def _in_range(self, request: Any, key: str) -> Any:
        try:
            return request.result()
        except _ERRORS as error:
            if str(error).startswith("OUT_OF_RANGE"):
                return None
            self._explain(error, key)

    def _answered(self, request: Callable[[], Any], key: str) -> Any:
        return self.answer(request(), key)

    def answer(self, request: Any, key: str) -> Any:
        """Returns the answer to a request about a key.

        Raises:
          CheckpointError: the bucket did not answer or refused it (`UnreachableBucket`).
        """
        try:
            return request.result()
        except _ERRORS as error:
            self._explain(error, key)

    def _explain(self, error: Exception, key: str) -> NoReturn:
        """Raises the error for a request that failed (`UnreachableBucket`)."""
        raise unreachable(error, f"{self._bucket}/{key}") from error


class PendingWrite(NamedTuple):
    """An object that is being written."""

    objects: Objects
    key: str
    request: Any

    def result(self) -> None:
        """Returns when the object is written.

        Raises:
          CheckpointError: it cannot be (`UnreachableBucket`).
        """
        self.objects.answer(self.request, self.key)


def unreachable(error: Exception, url: str) -> CheckpointError:
    """Returns the error for a request to a bucket that TensorStore could not complete."""
    reason = str(error).split(" [", 1)[0].replace("\n", " ")[:300]
    return CheckpointError(UnreachableBucket.at(f"`{url}` cannot be reached ({reason})", help=_advice(reason, url)))


def is_about_access(error: Exception) -> bool:
    """Whether TensorStore failed because a bucket refused the request or did not answer."""
    return str(error).startswith(_OF_ACCESS)


def _advice(reason: str, url: str) -> str:
    list_it = f"gcloud storage ls {url}" if url.startswith("gs:") else f"aws s3 ls {url}"
    if reason.startswith(("PERMISSION_DENIED", "UNAUTHENTICATED")) or "credential" in reason.lower():
        variables = "GOOGLE_APPLICATION_CREDENTIALS" if url.startswith("gs:") else "AWS_PROFILE or AWS_ACCESS_KEY_ID"
        return f"check the credentials ({variables}): `{list_it}`"
    return f"check the name of the bucket, the endpoint and the network: `{list_it}`"


@cache
def _opened(bucket: BucketName, server: S3Server) -> Any:
    """Opens a bucket; `server` is part of the key of the cache, and `store_spec` reads it again."""
    del server
    import tensorstore as ts

    context = ts.Context({f"{DRIVERS[bucket.scheme]}_request_retries": _RETRIES})
    return ts.KvStore.open(store_spec(bucket, ""), context=context).result()
