"""The YAML language server without an editor, for tests: JSON-RPC over its standard streams."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_HINT = "`npm install yaml-language-server@1.25.0` in the repository, or anywhere on PATH"
_ABILITIES = {
    "textDocument": {
        "completion": {"completionItem": {"documentationFormat": ["markdown", "plaintext"]}},
        "hover": {"contentFormat": ["markdown", "plaintext"]},
        "publishDiagnostics": {},
    },
    "workspace": {"configuration": True},
}
_SETTINGS = {
    "yaml": {
        "completion": True,
        "hover": True,
        "validate": True,
        "schemaStore": {"enable": False},  # no network
    }
}


class LanguageServer:
    """A running server; a document is opened with `open`, and asked about by line and column, both from 0."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder, self._number = process, folder, 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._ask("initialize", processId=os.getpid(), rootUri=folder.as_uri(), capabilities=_ABILITIES)
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": _SETTINGS}})

    def open(self, text: str, name: str = "rules.yaml") -> str:
        """Opens a document and returns its URI."""
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    def completions(self, uri: str, line: int, column: int) -> dict[str, dict[str, Any]]:
        """Returns the completions at a position, by label."""
        found = self._ask("textDocument/completion", **_position(uri, line, column))
        return {item["label"]: item for item in found["items"]}

    def hover(self, uri: str, line: int, column: int) -> str:
        """Returns the text that an editor shows below the pointer; empty for none."""
        found = self._ask("textDocument/hover", **_position(uri, line, column))
        contents = (found or {}).get("contents", "")
        return contents if isinstance(contents, str) else contents["value"]

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """Returns what an editor underlines in a document, once the server has checked it."""
        while uri not in self._diagnostics:
            self._handle(self._receive())
        return self._diagnostics[uri]

    def close(self) -> None:
        """Asks the server to end."""
        self._ask("shutdown")
        self._send({"method": "exit"})
        self._process.wait(30)

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message["error"]
                return message["result"]
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Keeps diagnostics, and answers a request of the server, which asks for the settings."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            asked = message["params"].get("items", []) if message["method"] == "workspace/configuration" else []
            self._send({"id": message["id"], "result": [_SETTINGS.get(one.get("section")) for one in asked]})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(stream.read(length))
        return message


@contextmanager
def language_server(folder: Path) -> Iterator[LanguageServer]:
    """A server for the documents of a folder.

    A machine without the server skips the test; continuous integration has to have it.
    """
    places = [ROOT / "node_modules" / ".bin", *map(Path, filter(None, [os.environ.get("YAML_LANGUAGE_SERVER")]))]
    command = shutil.which("yaml-language-server", path=os.pathsep.join([*map(str, places), os.environ["PATH"]]))
    if not (command and shutil.which("node")):
        if os.environ.get("CI"):
            pytest.fail(f"the YAML language server is missing: {_HINT}")
        pytest.skip("the YAML language server is not installed")
    process = subprocess.Popen([command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        server = LanguageServer(process, folder)
        yield server
        server.close()
    finally:
        process.kill()
        process.communicate()


def _position(uri: str, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}
