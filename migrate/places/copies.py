"""Copies files into a bucket: by the server where it has them in the same bucket, through this process otherwise."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from migrate.codes import MissingCloudPackage
from migrate.errors import MigrateError
from migrate.places import listings
from migrate.places.bucket_path import BucketPath
from migrate.places.multipart_copy import copy_in_parts, requests_for
from migrate.places.objects import BucketName, Objects, s3_server
from migrate.places.signed_requests import SignedRequests
from migrate.places.writable_path import WritableBucketPath

_AT_ONCE = 64
"""The most copies that a server makes at once."""
_WHOLE_BYTES = 256 << 20
"""The largest file that is uploaded by one request, from memory."""
_BLOCK_BYTES = 8 << 20
LARGEST_COPY = 5 << 30
"""The largest object that S3 copies by one request; Google Cloud Storage has no such limit."""

Pair = tuple[Path, WritableBucketPath]


def copy_files(pairs: Sequence[Pair]) -> None:
    """Copies files, each to a path in a bucket.

    Raises:
      CheckpointError: a file cannot be read, or an object cannot be read or written (`UnreachableBucket`).
      MigrateError: the package for copies on the server is missing (`MissingCloudPackage`).
      OSError: a local file cannot be read.
    """
    within = [pair for pair in pairs if _is_within_bucket(*pair)]
    large = _too_large(within)
    small = [pair for pair in within if pair not in large]
    requests = requests_for(within[0][1].bucket) if large else None
    if small:
        asyncio.run(_copy_on_server(small))
    for source, target in pairs:
        if (source, target) in large and requests is not None:
            _copy_large(requests, source, target)
        elif not _is_within_bucket(source, target) or (source, target) in large:
            _upload(source, target)
    for folder in {target.parent for _, target in pairs}:
        folder.refresh()
    for source, target in pairs:
        if not isinstance(source, BucketPath):
            listings.learn_size(target.bucket, target.key, source.stat().st_size)


def copy_new(source: BucketPath, target: WritableBucketPath) -> None:
    """Copies an object within its bucket to a key that has none.

    Raises:
      FileExistsError: there is an object; also where another process writes it at the same moment.
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
      MigrateError: the package for copies on the server is missing (`MissingCloudPackage`).
    """
    obstore = cloud_package()
    try:
        if source.bucket.scheme == "s3" and source.reaches(LARGEST_COPY + 1):
            _copy_new_large(source, target)
        else:
            obstore.copy(open_store(target.bucket), source.key, target.key, overwrite=False)
    except (obstore.exceptions.AlreadyExistsError, FileExistsError):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
    except Exception as error:
        raise _explained(error, target) from error
    target.refresh()


def _copy_new_large(source: BucketPath, target: WritableBucketPath) -> None:
    """Copies an object of S3 that one request cannot copy; another process that writes it meanwhile is not noticed."""
    target.refresh()
    if target.is_file():
        raise FileExistsError
    copy_files([(source, target)])


def learn_sizes(paths: Sequence[WritableBucketPath]) -> None:
    """Asks the server for the sizes of objects, which TensorStore would search for; without obstore, nothing is asked.

    Raises:
      CheckpointError: the bucket cannot be reached (`UnreachableBucket`).
    """
    if paths and find_spec("obstore") is not None:
        asyncio.run(_learn_sizes(paths))


async def _learn_sizes(paths: Sequence[WritableBucketPath]) -> None:
    obstore, store, at_once = cloud_package(), open_store(paths[0].bucket), asyncio.Semaphore(_AT_ONCE)

    async def learned(path: WritableBucketPath) -> None:
        async with at_once:
            found = await obstore.head_async(store, path.key)
        listings.learn_size(path.bucket, path.key, found["size"])

    try:
        await asyncio.gather(*map(learned, paths))
    except Exception as error:
        raise _explained(error, paths[0]) from error


def _is_within_bucket(source: Path, target: WritableBucketPath) -> bool:
    return isinstance(source, BucketPath) and source.bucket == target.bucket


def _too_large(pairs: Sequence[Pair]) -> set[Pair]:
    """Returns those copies within a bucket that one request cannot make."""
    if not pairs or pairs[0][1].bucket.scheme != "s3":
        return set()
    ends = [(source.key, LARGEST_COPY + 1) for source, _ in pairs if isinstance(source, BucketPath)]
    reached = Objects(pairs[0][1].bucket).reach(ends)
    return {pair for pair, is_large in zip(pairs, reached, strict=True) if is_large}


def _copy_large(requests: SignedRequests, source: Path, target: WritableBucketPath) -> None:
    """Lets the server copy an object part by part."""
    assert isinstance(source, BucketPath)
    try:
        found = cloud_package().head(open_store(source.bucket), source.key)
        copy_in_parts(requests, source.key, target.key, found["size"], found["e_tag"])
    except Exception as error:
        raise _explained(error, target) from error


async def _copy_on_server(pairs: Sequence[Pair]) -> None:
    obstore, at_once = cloud_package(), asyncio.Semaphore(_AT_ONCE)
    store = open_store(pairs[0][1].bucket)

    async def copied(source: Path, target: WritableBucketPath) -> None:
        assert isinstance(source, BucketPath)
        async with at_once:
            await obstore.copy_async(store, source.key, target.key)

    try:
        await asyncio.gather(*(copied(source, target) for source, target in pairs))
    except Exception as error:
        raise _explained(error, pairs[0][1]) from error


def _upload(source: Path, target: WritableBucketPath) -> None:
    """Sends a file through this process: a small one by one request, a large one in parts."""
    if not _is_large(source):
        Objects(target.bucket).write(target.key, source.read_bytes())
        return
    obstore = cloud_package()
    try:
        obstore.put(open_store(target.bucket), target.key, _blocks(source), use_multipart=True)
    except Exception as error:
        raise _explained(error, target) from error


def _is_large(source: Path) -> bool:
    if isinstance(source, BucketPath):
        return source.reaches(_WHOLE_BYTES + 1)
    return source.stat().st_size > _WHOLE_BYTES


def _blocks(source: Path) -> Iterator[bytes]:
    if isinstance(source, BucketPath):
        yield from source.blocks()
        return
    with source.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def open_store(bucket: BucketName) -> Any:
    """Opens a bucket with obstore, with the endpoint of the environment.

    Raises:
      MigrateError: the package is missing (`MissingCloudPackage`).
    """
    cloud_package()
    from obstore.store import GCSStore, S3Store

    if bucket.scheme == "s3":
        endpoint, region = s3_server()
        options: dict[str, Any] = {"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}
        options["copy_if_not_exists"] = "multipart"  # the only form of it that S3 has
        if region:
            options["region"] = region
        return S3Store(bucket.name, client_options=_http(endpoint), **options)
    emulator = os.environ.get("TENSORSTORE_GCS_HTTP_URL")
    if emulator is None:
        return GCSStore(bucket.name)
    account = {
        "gcs_base_url": emulator,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    return GCSStore(bucket.name, service_account_key=json.dumps(account), client_options=_http(emulator))


def _http(endpoint: str | None) -> Any:
    return {"allow_http": True} if endpoint is not None and endpoint.startswith("http:") else {}


def cloud_package() -> Any:
    """Returns obstore.

    Raises:
      MigrateError: it is not installed (`MissingCloudPackage`).
    """
    try:
        import obstore
    except ImportError as error:
        message = "files are copied within a bucket by the package obstore, which is not installed"
        advice = "install it: `pip install 'migrate-jax[cloud]'`"
        raise MigrateError(MissingCloudPackage.at(message, help=advice)) from error
    return obstore


def _explained(error: Exception, target: WritableBucketPath) -> Exception:
    from migrate.places.objects import unreachable

    return error if isinstance(error, MigrateError) else unreachable(error, str(target))
