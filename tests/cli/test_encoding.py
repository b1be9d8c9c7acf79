"""Terminals that lack characters of the reports get ASCII forms; no command fails because of them."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrate.cli.encoding import FORMS, fitting

ROOT = Path(__file__).parents[2]


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding)


def test_what_a_stream_can_encode_stays():
    assert "a → é" == fitting("a → é", stream("utf-8"))
    assert "é" == fitting("é", stream("latin-1"))
    assert "→" == fitting("→", io.StringIO())


def test_text_gets_ascii_forms():
    assert "a -> 2 × é..." == fitting("a → 2 × é…", stream("latin-1"))
    assert "a -> 2 x \\xe9..." == fitting("a → 2 × é…", stream("ascii"))
    assert "\\udcff" == fitting("\udcff", stream("utf-8"))
    assert all(fitting(char, stream("ascii")).isascii() for char in FORMS)


def test_json_and_html_get_the_escapes_of_their_format():
    text = "→ 😀 \udcff"
    assert text == json.loads(fitting(json.dumps(text, ensure_ascii=False), stream("latin-1"), "json"))
    assert "&#8594; &#233;" == fitting("→ é", stream("latin-1"), "html")


def printed(here, encoding, *arguments):
    """stdout and stderr of a command in a process with streams of this encoding."""
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": encoding,
    }  # fmt: skip
    command = [sys.executable, "-m", "migrate", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=here, env=environment, check=False)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.sample(2)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_plan_and_its_run_are_printed_in_any_encoding(untyped, encoding):
    code, out, err = printed(untyped, encoding, "apply", "rules.yaml", "old.msgpack", "new")
    assert (0, "") == (code, err)
    assert " -> new" in out.splitlines()[0]


@pytest.mark.sample(3)
@pytest.mark.parametrize("form", ["text", "github", "html", "json"])
def test_every_format_is_printed_in_any_encoding(untyped, form):
    code, out, err = printed(untyped, "latin-1", "apply", "rules.yaml", "old.msgpack", "new", "-n", "--format", form)
    assert (0, "") == (code, err)
    assert "M901" not in out


def test_pages_of_diagnostics_are_printed_in_any_encoding(here):
    code, out, _ = printed(here, "latin-1", "explain", "M503")
    assert (0, True) == (code, "cast: {to: ..., lossy: true}" in out)
