"""What several processes cannot carry out is refused before anything is written."""

import pytest

from migrate.errors import UsageError
from tests.engine.sharing.shared_runs import RULES, applied
from tests.engine.sources import apply_plan, opened, plan_for


def test_a_reader_that_cannot_be_opened_elsewhere_is_refused(source, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from migrate.engine.sharing.pool_workers import PoolWorkers
    from migrate.engine.sharing.pools import GivenExecutor

    with opened(source) as reader, ThreadPoolExecutor(1) as executor:
        reader.opening = None
        with pytest.raises(UsageError, match="other processes cannot open") as refusal:
            apply_plan(plan_for(reader, RULES), reader, tmp_path / "new", workers=PoolWorkers(GivenExecutor(executor)))
    assert "M551" == refusal.value.diagnostics[0].code


def test_workers_that_would_have_too_little_memory_are_refused(source, tmp_path):
    with pytest.raises(UsageError, match="4 workers on one machine share `--max-ram`, so that each has 25 MiB"):
        applied(source, tmp_path / "new", 4, max_ram=100 << 20)
