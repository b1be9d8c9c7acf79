"""The names below a path of a bucket, listed once, and small contents that were read since.

Opening a checkpoint asks for the existence of many files. Each question to a bucket would be a request, so the names
are listed at once and kept until `refresh`, which every function calls that opens a checkpoint or compares its state.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from migrate.places.objects import BucketName, Objects

_KEPT_BYTES = 32 << 20
"""The most bytes of contents that are kept."""
_SMALL_BYTES = 1 << 20
"""The largest content that is kept."""


@dataclass
class Listing:
    """The objects below a prefix of a bucket at one time.

    Attributes:
      prefix: the prefix; it ends with a slash, or is empty.
      files: the keys of the objects.
      folders: the names of the entries of each directory, by its key without a slash at the end.
    """

    prefix: str
    files: set[str] = field(default_factory=set)
    folders: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, prefix: str, keys: list[str]) -> Listing:
        """Returns the listing of keys; a key with an empty segment, `.` or `..` names no file."""
        listing = cls(prefix)
        for key in keys:
            listing._add(key)
        return listing

    def _add(self, key: str) -> None:
        name = key.removesuffix("/")  # an object whose key ends with a slash marks an empty directory
        if any(segment in ("", ".", "..") for segment in name.split("/")):
            return
        if name == key:
            self.files.add(key)
        else:
            self.folders.setdefault(name, set())
        while name:
            folder, _, child = name.rpartition("/")
            entries = self.folders.setdefault(folder, set())
            if child in entries:
                return
            entries.add(child)
            name = folder


class _Known:
    """What is known about the objects of all buckets: listings, existence, small contents."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.listings: dict[tuple[BucketName, str], Listing] = {}
        self.single: dict[tuple[BucketName, str], bool] = {}
        self.versions: dict[tuple[BucketName, str], str | None] = {}
        self.sizes: dict[tuple[BucketName, str], int] = {}
        self.contents: OrderedDict[tuple[BucketName, str, int, int | None], bytes | None] = OrderedDict()
        self.nbytes = 0

    def keep(self, place: tuple[BucketName, str, int, int | None], content: bytes | None) -> None:
        """Keeps a small content; the oldest ones are dropped."""
        size = len(content or b"")
        if size > _SMALL_BYTES:
            return
        with self.lock:
            if place not in self.contents:
                self.contents[place] = content
                self.nbytes += size
            while self.nbytes > _KEPT_BYTES:
                self.nbytes -= len(self.contents.popitem(last=False)[1] or b"")

    def drop(self, bucket: BucketName, key: str) -> None:
        """Forgets everything about a key, the keys below it and the listings that contain it."""
        prefix = f"{key}/" if key else ""

        def concerns(known: BucketName, name: str) -> bool:
            return known == bucket and (name == key or name.startswith(prefix))

        with self.lock:
            for place in [
                (known, below)
                for known, below in self.listings
                if known == bucket and (below.startswith(prefix) or prefix.startswith(below))
            ]:
                del self.listings[place]
            for cached in (self.single, self.versions, self.sizes):
                for one in [one for one in cached if concerns(*one)]:
                    del cached[one]
            for content in [one for one in self.contents if concerns(*one[:2])]:
                self.nbytes -= len(self.contents.pop(content) or b"")


_KNOWN = _Known()


def refresh(bucket: BucketName, key: str) -> None:
    """Forgets what is known about a path of a bucket, so that the next questions are answered by the bucket."""
    _KNOWN.drop(bucket, key)


def is_object(bucket: BucketName, key: str) -> bool:
    """Whether a key is that of an object."""
    if not key:
        return False
    with _KNOWN.lock:
        listing = _covering(bucket, key)
        if listing is not None:
            return key in listing.files
        if (bucket, key) not in _KNOWN.single:
            _KNOWN.single[bucket, key] = Objects(bucket).generations([key])[0] is not None
        return _KNOWN.single[bucket, key]


def is_folder(bucket: BucketName, key: str) -> bool:
    """Whether there are objects below a key."""
    with _KNOWN.lock:
        return key in _listing(bucket, key).folders


def entries(bucket: BucketName, key: str) -> list[str]:
    """Returns the names of the entries of a directory, in order."""
    with _KNOWN.lock:
        return sorted(_listing(bucket, key).folders.get(key, ()))


def files_below(bucket: BucketName, key: str) -> list[str]:
    """Returns the keys of the objects below a key, in order."""
    prefix = f"{key}/" if key else ""
    with _KNOWN.lock:
        return sorted(name for name in _listing(bucket, key).files if name.startswith(prefix))


def content(bucket: BucketName, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
    """Returns the content of an object or the bytes of a range of it; None if there is no object."""
    place = (bucket, key, start, stop)
    with _KNOWN.lock:
        if place in _KNOWN.contents:
            return _KNOWN.contents[place]
        whole = _KNOWN.contents.get((bucket, key, 0, None))
    if whole is not None:
        return whole[start:stop]
    objects = Objects(bucket)
    found = objects.read(key) if stop is None else objects.read_range(key, start, stop)
    if stop is None and found is not None:
        found = found[start:]
    is_whole = found is not None and start == 0 and (stop is None or len(found) < stop)
    _KNOWN.keep((bucket, key, 0, None) if is_whole else place, found)
    return found


def size(bucket: BucketName, key: str) -> int | None:
    """Returns the size of an object in bytes; None if there is none."""
    with _KNOWN.lock:
        whole = _KNOWN.contents.get((bucket, key, 0, None))
        known = _KNOWN.sizes.get((bucket, key)) if whole is None else len(whole)
    if known is None:
        known = Objects(bucket).size(key)
        if known is not None:
            learn_size(bucket, key, known)
    return known


def learn_size(bucket: BucketName, key: str, nbytes: int) -> None:
    """Keeps the size of an object until it is refreshed."""
    with _KNOWN.lock:
        _KNOWN.sizes[bucket, key] = nbytes


def version(bucket: BucketName, key: str) -> str | None:
    """Returns a text that changes whenever an object is written; None if there is none."""
    with _KNOWN.lock:
        if (bucket, key) not in _KNOWN.versions:
            _KNOWN.versions[bucket, key] = Objects(bucket).generations([key])[0]
        return _KNOWN.versions[bucket, key]


def _covering(bucket: BucketName, key: str) -> Listing | None:
    """Returns a listing that contains a key."""
    found = (listing for (known, prefix), listing in _KNOWN.listings.items() if known == bucket)
    return next((listing for listing in found if key.startswith(listing.prefix)), None)


def _listing(bucket: BucketName, key: str) -> Listing:
    """Returns a listing that contains the entries of a directory."""
    prefix = f"{key}/" if key else ""
    found = _covering(bucket, prefix)
    if found is None:
        found = Listing.of(prefix, Objects(bucket).keys(prefix))
        _KNOWN.listings[bucket, prefix] = found
    return found
