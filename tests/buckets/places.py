"""Buckets for tests, on servers that run in this process."""

import os
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from migrate.places.bucket_path import BucketPath
from migrate.places.objects import BucketName, store_spec
from tests.buckets.gcs_server import GcsServer
from tests.buckets.s3_server import S3Server
from tests.buckets.traffic import Traffic

SCHEMES = ("gs", "s3")

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
    "FSSPEC_GCS_TOKEN": "anon",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # gcsfs asks a service otherwise that no emulator has
}


@dataclass(frozen=True)
class Bucket:
    """An empty bucket.

    Attributes:
      scheme: `gs` or `s3`.
      name: its name.
      traffic: what its server counts.
    """

    scheme: str
    name: str
    traffic: Traffic

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"{self.scheme}://{self.name}"

    @property
    def path(self) -> BucketPath:
        """Its path."""
        return BucketPath(self.url)

    def store(self, prefix: str = "") -> Any:
        """Opens its objects below a prefix in a context of its own."""
        import tensorstore as ts

        spec = store_spec(BucketName(self.scheme, self.name), prefix)
        return ts.KvStore.open(spec, context=ts.Context()).result()

    def upload(self, source: Path, key: str) -> str:
        """Copies a local file or directory below a key; returns its URL. The counters start from zero."""
        files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file()]
        store = self.store()
        names = {file: key if file == source else f"{key}/{file.relative_to(source)}" for file in files}
        for request in [store.write(name, file.read_bytes()) for file, name in names.items()]:
            request.result()
        self.path.refresh()
        self.traffic.reset()
        return f"{self.url}/{key}"

    def download(self, key: str, target: Path) -> Path:
        """Copies the objects below a key to a local directory."""
        store = self.store(f"{key}/")
        for name in self.keys(f"{key}/"):
            file = target / name.removeprefix(f"{key}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.read(name.removeprefix(f"{key}/")).result().value)
        return target

    def keys(self, prefix: str = "") -> list[str]:
        """Returns the keys below a prefix, in order."""
        return sorted(prefix + key.decode() for key in self.store(prefix).list().result())


class Servers:
    """The servers of a test process. TensorStore reads the address of the one of Google once."""

    def __init__(self, gcs: GcsServer, s3: S3Server) -> None:
        self._gcs, self._s3 = gcs, s3

    def bucket(self, scheme: str) -> Bucket:
        """Creates an empty bucket."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        if scheme == "gs":
            self._gcs.create_bucket(name)
            self._gcs.traffic.reset()
            return Bucket(scheme, name, self._gcs.traffic)
        urllib.request.urlopen(urllib.request.Request(f"{self._s3.url}/{name}", method="PUT")).close()
        self._s3.traffic.reset()
        return Bucket(scheme, name, self._s3.traffic)


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Starts both servers, and lets the environment name them."""
    with GcsServer() as gcs, S3Server() as s3:
        addresses = {
            "TENSORSTORE_GCS_HTTP_URL": gcs.url,
            "STORAGE_EMULATOR_HOST": gcs.url,  # for gcsfs, by which Orbax reads files
            "AWS_ENDPOINT_URL": s3.url,
        }
        with patch.dict(os.environ, {**_CREDENTIALS, **addresses}):
            yield Servers(gcs, s3)


def free_port() -> int:
    """Returns a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
