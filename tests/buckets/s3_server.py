"""An S3 in memory: moto's, which checks preconditions, with counters and failures of our own before it."""

import io
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tests.buckets.traffic import Traffic

_STATUS = {403: "403 Forbidden", 500: "500 Internal Server Error", 503: "503 Slow Down"}


class S3Server:
    """A server on a free port of the loopback interface; a context manager."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def __enter__(self) -> "S3Server":
        from moto.server import create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: object) -> None:
                """Stays silent."""

        self._app = create_backend_app("s3")  # moto's dispatcher finds the service of each request, which takes longer
        self._http = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status = self.traffic.fault(method, path)
        if status:
            start(_STATUS[status], [("Content-Length", "0")])
            return []
        if status == 0:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError("a failure that the test asked for")
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        environ["wsgi.input"] = io.BytesIO(body)
        self.traffic.count(method, received=len(body))
        key = path.lstrip("/").partition("/")[2]
        if method == "PUT" and key:
            (self.traffic.copy if "HTTP_X_AMZ_COPY_SOURCE" in environ else self.traffic.put)(key)
        answer = b"".join(self._app(environ, start))
        self.traffic.sent += 0 if method == "HEAD" else len(answer)
        return [answer]
