"""The arrays that journals of shares name are reported, each once."""

from migrate.engine.sharing.progress import JournalTail
from migrate.engine.workspace.attempts import new_attempt
from migrate.engine.workspace.directory import Workspace
from tests.engine.workspace.test_journal import array


def test_arrays_are_reported_when_a_journal_begins_to_name_them(tmp_path):
    told = []
    tail = JournalTail(Workspace(tmp_path), told.append, known=[("before",)])
    tail.poll()
    with new_attempt(tmp_path, 0).begin({}, 2) as one, new_attempt(tmp_path, 1).begin({}, 2) as other:
        tail.poll()
        one.record(("a",), array("a"))
        other.record(("before",), array("before"))
        tail.poll()
        assert [("a",)] == told
        other.record(("a",), array("a"))
        other.record(("b",), array("b"))
        tail.poll()
    tail.tell(("b",))
    assert [("a",), ("b",)] == told


def test_half_a_line_is_not_reported(tmp_path):
    told = []
    tail, attempt = JournalTail(Workspace(tmp_path), told.append), new_attempt(tmp_path, 0)
    with attempt.begin({}, 1) as journal:
        journal.record(("a",), array("a"))
    line = attempt.journal.read_bytes().split(b"\n")[1].replace(b'"a"', b'"b"')
    with attempt.journal.open("ab") as file:
        file.write(line[:20])
    tail.poll()
    assert [("a",)] == told
    with attempt.journal.open("ab") as file:
        file.write(line[20:] + b"\n")
    tail.poll()
    assert [("a",), ("b",)] == told
