"""Copies objects of S3 that are too large for one request: the server copies them part by part (UploadPartCopy).

obstore has no such request, so that it is signed here, with the keys of the environment. The object appears once all of
its parts are copied.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote

from migrate.places.objects import BucketName
from migrate.places.signed_requests import Keys, RequestError, SignedRequests

PART_BYTES = 512 << 20
"""The size of a part: S3 takes 5 MiB to 5 GiB."""

_MOST_PARTS = 10_000
_AT_ONCE = 16
"""The most parts that are copied at once."""


def requests_for(bucket: BucketName) -> SignedRequests | None:
    """Returns what copies large objects within a bucket; None where the environment has no keys."""
    keys = Keys.of_environment()
    return None if keys is None or bucket.scheme != "s3" else SignedRequests(bucket, keys)


def copy_in_parts(requests: SignedRequests, source: str, target: str, nbytes: int, etag: str) -> None:
    """Copies an object within its bucket.

    Args:
      requests: from `requests_for`.
      source: the key of the object.
      target: the key of the copy.
      nbytes: its size.
      etag: its ETag; the copy fails where the object is written meanwhile.

    Raises:
      RequestError: the server refuses a request or does not answer.
    """
    size = max(PART_BYTES, -(-nbytes // _MOST_PARTS))
    begun = requests.send("POST", target, {"uploads": ""})
    upload = _element(begun, "UploadId")

    def copied(number: int) -> str:
        start = number * size
        headers = {
            "x-amz-copy-source": quote(f"/{requests.bucket.name}/{source}", safe="/-_.~"),
            "x-amz-copy-source-range": f"bytes={start}-{min(start + size, nbytes) - 1}",
            "x-amz-copy-source-if-match": etag,
        }
        place = {"partNumber": str(number + 1), "uploadId": upload}
        return _element(requests.send("PUT", target, place, headers), "ETag")

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            etags = list(pool.map(copied, range(-(-nbytes // size))))
        requests.send("POST", target, {"uploadId": upload}, body=_parts(etags))
    except BaseException:
        with suppress(RequestError):  # parts of an upload that is not completed are stored, and billed
            requests.send("DELETE", target, {"uploadId": upload})
        raise


def _parts(etags: list[str]) -> bytes:
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


def _element(content: bytes, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", content.decode(errors="replace"))
    if found is None:
        raise RequestError(f"the answer of the server has no {name}")
    return found[1]
