"""A journal says what is staged, whatever moment a run was killed at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.engine.staged_array import StagedArray
from migrate.engine.workspace.journal import SYNC_LINES, Journal, names_arrays, read_journal
from migrate.tree import Sharding

ORIGIN = {"plan": "sha256:1", "compression": None, "numbers": (1, 2)}


def array(name, **changes):
    fields = {
        "name": name,
        "shape": (4, 2),
        "dtype": np.dtype("float32"),
        "write_shape": (2, 2),
        "chunk_shape": (1, 2),
        "key_impl": None,
        "digest": "xxh3:0",
        "sharding": Sharding((("data", -1), ("model", 2)), (("data",), None, ("data", "model"))),
    }
    return StagedArray(**{**fields, **changes})


def write(path, *names, origin=ORIGIN):
    with Journal(path, origin) as journal:
        for name in names:
            journal.record(("a", name), array(name))


def test_what_is_recorded_is_read_again(tmp_path):
    path = tmp_path / "journal"
    write(path, "x", "y/z")
    assert {("a", "x"): array("x"), ("a", "y/z"): array("y/z")} == read_journal(path, ORIGIN)


def test_a_journal_can_be_continued(tmp_path):
    path = tmp_path / "journal"
    write(path, "x")
    write(path, "y")
    assert [("a", "x"), ("a", "y")] == list(read_journal(path, ORIGIN))


def test_a_line_is_there_before_the_journal_is_closed(tmp_path):
    path = tmp_path / "journal"
    with Journal(path, ORIGIN) as journal:
        journal.record(("a",), array("a"))
        assert [("a",)] == list(read_journal(path, ORIGIN))


def test_no_journal_and_one_of_another_origin_say_nothing(tmp_path):
    path = tmp_path / "journal"
    assert read_journal(path, ORIGIN) is None
    write(path, "x")
    assert read_journal(path, {**ORIGIN, "plan": "sha256:2"}) is None


def test_of_two_lines_for_one_array_the_later_holds(tmp_path):
    path = tmp_path / "journal"
    with Journal(path, ORIGIN) as journal:
        journal.record(("a",), array("a", digest="xxh3:old"))
        journal.record(("a",), array("a", digest="xxh3:new"))
    assert "xxh3:new" == read_journal(path, ORIGIN)[("a",)].digest


@given(st.integers(0, 600))
def test_a_journal_cut_anywhere_names_whole_lines_and_can_be_continued(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, "x", "y", "z")
    content = path.read_bytes()
    cut = min(cut, len(content))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert [("a", name) for name in "xyz"][: max(whole - 1, 0)] == list(read_journal(path, ORIGIN) or {})
    write(path, "w")
    assert ("a", "w") in read_journal(path, ORIGIN)


@pytest.mark.parametrize("damage", [b"\0" * 40, b"{}", b"[1]", b"nonsense"])
def test_a_damaged_line_in_the_middle_costs_one_array(tmp_path, damage):
    path = tmp_path / "journal"
    write(path, "x", "y", "z")
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage
    path.write_bytes(b"\n".join(lines))
    assert [("a", "x"), ("a", "z")] == list(read_journal(path, ORIGIN))


def test_lines_reach_the_disk_in_groups(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("os.fsync", calls.append)
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    with Journal(tmp_path / "journal", ORIGIN) as journal:
        for number in range(3 * SYNC_LINES):
            journal.record(("a", str(number)), array("a"))
    assert 1 + 3 + 1 == len(calls)


def test_a_journal_without_arrays_names_none(tmp_path):
    path = tmp_path / "journal"
    assert not names_arrays(path)
    write(path)
    assert not names_arrays(path)
    write(path, "x")
    assert names_arrays(path)
