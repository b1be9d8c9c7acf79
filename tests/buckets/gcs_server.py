"""A Google Cloud Storage in memory, strict about preconditions: every write has a generation, and none is lost.

It serves the JSON API that TensorStore and gcsfs use, and the XML API that obstore uses. Published emulators ignore
`ifGenerationMatch` on some uploads, so that writers that race lose each other's objects without an error.
"""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.buckets.traffic import Traffic

_TIME = "2026-01-01T00:00:00.000Z"
_HTTP_TIME = "Thu, 01 Jan 2026 00:00:00 GMT"
_JSON_API = ("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/")


@dataclass(frozen=True)
class Object:
    """The content of an object and its generation, which no other write of the bucket has."""

    content: bytes
    generation: int


class PreconditionFailedError(Exception):
    """The object has another generation than the request names."""


class NotModifiedError(Exception):
    """The object still has the generation that the request names."""


class GcsServer:
    """A server on a free port of the loopback interface; a context manager."""

    def __init__(self, page: int = 1000) -> None:
        self.traffic = Traffic()
        self.page = page
        self._buckets: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()
        self._generation = 1_700_000_000_000_000

    def __enter__(self) -> "GcsServer":
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"gcs": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def create_bucket(self, name: str) -> None:
        """Creates an empty bucket."""
        with self._lock:
            self._buckets.setdefault(name, {})

    def has_bucket(self, name: str) -> bool:
        """Whether there is such a bucket."""
        return name in self._buckets

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Returns the keys below a prefix, in order."""
        with self._lock:
            return sorted(key for key in self._buckets[bucket] if key.startswith(prefix))

    def get(self, bucket: str, key: str, match: str | None = None, none_match: str | None = None) -> Object | None:
        """Returns an object.

        Raises:
          PreconditionFailedError: it has another generation than `match`.
          NotModifiedError: it has the generation `none_match`.
        """
        with self._lock:
            found = self._buckets[bucket].get(key)
        generation = found.generation if found else 0
        if match is not None and int(match) != generation:
            raise PreconditionFailedError
        if none_match is not None and found and int(none_match) == generation:
            raise NotModifiedError
        return found

    def put(self, bucket: str, key: str, content: bytes, match: str | None = None) -> Object:
        """Writes an object; with `match`, only over that generation (0: only if there is none).

        Raises:
          PreconditionFailedError: it has another generation.
        """
        with self._lock:
            self._require(bucket, key, match)
            self._generation += 1
            written = self._buckets[bucket][key] = Object(content, self._generation)
            return written

    def delete(self, bucket: str, key: str, match: str | None = None) -> bool:
        """Deletes an object; returns whether there was one.

        Raises:
          PreconditionFailedError: it has another generation than `match`.
        """
        with self._lock:
            if key not in self._buckets[bucket]:
                return False
            self._require(bucket, key, match)
            del self._buckets[bucket][key]
            return True

    def _require(self, bucket: str, key: str, match: str | None) -> None:
        found = self._buckets[bucket].get(key)
        if match is not None and int(match) != (found.generation if found else 0):
            raise PreconditionFailedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """Stays silent about clients that close connections."""


class _Handler(BaseHTTPRequestHandler):
    gcs: GcsServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Stays silent."""

    def _handle(self) -> None:
        body = self._body()
        traffic = self.gcs.traffic
        traffic.count(self.command, received=len(body))
        status = traffic.fault(self.command, unquote(self.path))
        if status == 0:
            self.close_connection = True
            return
        if status is not None:
            self._error(status, "a failure that the test asked for")
            return
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        try:
            if url.path.startswith(_JSON_API):
                self._json_api(url.path, query, body)
            else:
                self._xml_api(url.path, query, body)
        except PreconditionFailedError:
            self._error(412, "conditionNotMet")
        except NotModifiedError:
            self._answer(304)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, status: int, content: bytes | dict = b"", kind: str = "application/json", **headers: object):
        data = json.dumps(content).encode() if isinstance(content, dict) else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.gcs.traffic.sent += len(data)
            self.wfile.write(data)

    def _error(self, status: int, reason: str) -> None:
        self._answer(status, {"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}})

    def _json_api(self, path: str, query: dict[str, str], body: bytes) -> None:
        bucket, _, rest = path.split("/b/", 1)[1].partition("/")
        bucket, key = unquote(bucket), unquote(rest.removeprefix("o").removeprefix("/"))
        if not self.gcs.has_bucket(bucket):
            self._error(404, "The specified bucket does not exist.")
        elif self.command == "GET" and not rest:
            self._answer(200, {"name": bucket, "kind": "storage#bucket"})
        elif self.command == "GET" and not key:
            self._list(bucket, query)
        elif self.command == "GET":
            found = self.gcs.get(bucket, key, query.get("ifGenerationMatch"), query.get("ifGenerationNotMatch"))
            self._read(bucket, key, found, media=query.get("alt") == "media")
        elif self.command == "POST" and query.get("uploadType") == "media":
            written = self.gcs.put(bucket, query["name"], body, query.get("ifGenerationMatch"))
            self.gcs.traffic.put(query["name"])
            self._answer(200, _metadata(bucket, query["name"], written))
        elif self.command == "DELETE":
            self._delete(bucket, key, query.get("ifGenerationMatch"))
        else:
            self._error(501, f"{self.command} {path} is not served")

    def _delete(self, bucket: str, key: str, match: str | None) -> None:
        if self.gcs.delete(bucket, key, match):
            self._answer(204)
        else:
            self._error(404, "notFound")

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        first, end, after = query.get("startOffset", ""), query.get("endOffset"), query.get("pageToken", "")
        page = min(int(query.get("maxResults", self.gcs.page)), self.gcs.page)
        items, prefixes, last = [], [], ""
        for key in self.gcs.keys(bucket, prefix):
            if key < first or (end and key >= end) or key <= after:
                continue
            if len(items) + len(prefixes) == page:
                break
            last = key
            head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
            if found:
                prefixes += [] if f"{prefix}{head}{found}" in prefixes else [f"{prefix}{head}{found}"]
            elif (item := self.gcs.get(bucket, key)) is not None:
                items.append(_metadata(bucket, key, item))
        else:
            last = ""
        more = {"nextPageToken": last} if last else {}
        self._answer(200, {"kind": "storage#objects", "items": items, "prefixes": prefixes, **more})

    def _read(self, bucket: str, key: str, found: Object | None, *, media: bool) -> None:
        if found is None:
            self._error(404, "notFound")
            return
        if not media:
            self._answer(200, _metadata(bucket, key, found))
            return
        content, size = found.content, len(found.content)
        facts = {"x_goog_generation": found.generation, "ETag": f'"{found.generation}"', "Last_Modified": _HTTP_TIME}
        asked = self.headers.get("Range")
        if not asked:
            self._answer(200, content, "application/octet-stream", **facts)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = (int(first), int(last or size - 1) + 1) if first else (max(size - int(last), 0), size)
        if start >= size:
            self._answer(416, Content_Range=f"bytes */{size}")
            return
        part = content[start:stop]
        place = f"bytes {start}-{start + len(part) - 1}/{size}"
        self._answer(206, part, "application/octet-stream", Content_Range=place, **facts)

    def _xml_api(self, path: str, query: dict[str, str], body: bytes) -> None:
        bucket, _, key = path.lstrip("/").partition("/")
        bucket, key = unquote(bucket), unquote(key)
        match = self.headers.get("x-goog-if-generation-match")
        origin = self.headers.get("x-goog-copy-source")
        if not self.gcs.has_bucket(bucket):
            self._error(404, "NoSuchBucket")
        elif self.command == "PUT" and origin:
            self._copy(bucket, key, unquote(origin).lstrip("/"), match)
        elif self.command == "PUT":
            written = self.gcs.put(bucket, key, body, match)
            self.gcs.traffic.put(key)
            self._answer(200, ETag=f'"{written.generation}"', x_goog_generation=written.generation)
        elif self.command == "DELETE":
            self._delete(bucket, key, match)
        elif key:
            self._read(bucket, key, self.gcs.get(bucket, key), media=True)
        else:
            self._xml_list(bucket, query.get("prefix", ""))

    def _copy(self, bucket: str, key: str, origin: str, match: str | None) -> None:
        source, _, name = origin.partition("/")
        found = self.gcs.get(source, name)
        if found is None:
            self._error(404, "NoSuchKey")
            return
        written = self.gcs.put(bucket, key, found.content, match)
        self.gcs.traffic.copy(key)
        self._answer(200, b"<CopyObjectResult/>", "application/xml", x_goog_generation=written.generation)

    def _xml_list(self, bucket: str, prefix: str) -> None:
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified>"
            f"<ETag>{found.generation}</ETag><Size>{len(found.content)}</Size></Contents>"
            for key in self.gcs.keys(bucket, prefix)
            if (found := self.gcs.get(bucket, key)) is not None
        )
        self._answer(200, f"<ListBucketResult>{rows}</ListBucketResult>".encode(), "application/xml")


def _metadata(bucket: str, key: str, found: Object) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "name": key,
        "bucket": bucket,
        "generation": str(found.generation),
        "size": str(len(found.content)),
        "timeCreated": _TIME,
        "updated": _TIME,
        "etag": str(found.generation),
    }
