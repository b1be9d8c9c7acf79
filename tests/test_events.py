"""A listener receives every phase and every leaf of a run."""

import numpy as np

from migrate import api
from migrate.events import LeafDone, PhaseDone, PhaseStarted, ignore
from migrate.tree import parse_path


def test_a_run_reports_its_phases_and_their_leaves(tmp_path):
    np.savez(tmp_path / "old.npz", **{"params/a": np.ones(3, np.float32), "params/b": np.ones(5, np.float32)})
    events = []
    with api.open_checkpoint(tmp_path / "old.npz") as source:
        plan = api.plan(source, "portable")
        api.apply(plan, source, tmp_path / "new", listener=events.append)
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert ["stage", "commit", "verify"] == phases
    assert phases == [event.phase for event in events if isinstance(event, PhaseDone)]
    assert all(event.seconds >= 0 for event in events if isinstance(event, PhaseDone))
    for phase in ("stage", "verify"):
        (start,) = [event for event in events if isinstance(event, PhaseStarted) and event.phase == phase]
        done = {event.path: event.nbytes for event in events if isinstance(event, LeafDone) and event.phase == phase}
        assert {parse_path("params/a"): 12, parse_path("params/b"): 20} == done
        assert (len(done), sum(done.values()), 0, 0) == (
            start.leaves,
            start.nbytes,
            start.done_leaves,
            start.done_nbytes,
        )


def test_events_can_be_ignored():
    assert ignore(PhaseDone("stage", 1.0)) is None
