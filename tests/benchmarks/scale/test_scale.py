"""The cost model: its constants, its arithmetic and its page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.measure import Figure
from tests.benchmarks.scale import page
from tests.benchmarks.scale.codec import codec_seconds
from tests.benchmarks.scale.model import Measured, Stated, measured_of, relink, stream
from tests.benchmarks.scale.requests import each
from tests.benchmarks.scale.simulated import COUNTS, RULES, all_shapes, simulate

REPOSITORY = Path(__file__).parents[3]
MEASURED = Measured(
    plan=0.1,
    link=0.05,
    leaf_cpu=1.0,
    turn_stage=8.0,
    turn_verify=2.0,
    tune_stage=6.0,
    tune_verify=2.0,
    run_requests=100,
    file_requests=8,
    leaf_requests=2,
    puts=2,
)
STATED = Stated(
    cores=10, host_gb=5.0, bucket_gb=20.0, request=0.1, copy=1.0, in_flight=100, leaves=10_000, max_ram_gb=4.0
)


def test_a_relink_takes_the_time_of_its_leaves_and_files():
    one, ten = (relink(size, MEASURED, STATED) for size in (1, 10))
    assert {"plan": 1.0, "commit": 0.5, "copies": 5.0, "requests": pytest.approx(4.1)} == one.first
    assert 10 == pytest.approx(ten.first["copies"] / one.first["copies"])
    assert "copies" == one.longest


def test_what_one_host_streams_to_a_bucket_waits_for_the_manifest():
    run = stream("turn", 1, 1, MEASURED, STATED)
    staging, back = run.overlapping
    assert {"network": 200.0, "CPU": 801.0, "requests": 20.0, "manifest": 2000.0} == staging
    assert {"reading back": 200.0, "CPU of reading back": 200.0} == back
    assert (1.0 + 0.5 + 2000.0 + 200.0, "manifest") == (run.total, run.longest)


def test_hosts_divide_the_cpu_seconds_but_not_the_rate_of_the_storage():
    few, many = (stream("tune", 1, hosts, MEASURED, STATED).overlapping[0] for hosts in (2, 16))
    assert "manifest" not in few
    assert (100.0, 50.0) == (few["network"], many["network"])
    assert (8, 8) == pytest.approx((few["CPU"] / many["CPU"], few["requests"] / many["requests"]))


def test_larger_transactions_need_fewer_puts():
    staging = stream("turn", 1, 1, MEASURED, Stated(max_ram_gb=1.0)).overlapping[0]
    assert 8000.0 == staging["manifest"]


def marks(work, cpu):
    return {"work": work, "cpu": cpu, "memory": 0, "phases": {"stage": 3.0, "commit": 0.1, "verify": 1.0}}


def test_the_constants_are_those_of_the_largest_checkpoints():
    small, large = 2_000 * 1024 / 1e9, 200_000 * 1024 / 1e9
    works = {"leaves-dry": (20.0, 20.0), "leaves-rename": (50.0, 60.0), "leaves-turn": (90.0, 160.0)}
    figures = {(key, large): Figure(0, 0, marks(*found)) for key, found in works.items()}
    figures |= {(key, small): Figure(0, 0, marks(1.0, 1.0)) for key in works}
    figures |= {
        (f"bytes-{name}", size): Figure(0, 0, marks(0, 2 + 4 * size)) for name in ("turn", "tune") for size in (1, 4)
    }
    requests = {"linking run": 9, "copied file": 8, "streamed leaf": 2, "manifest puts of a transaction": 1.5}
    found = measured_of(figures, requests)
    assert (0.1, 0.15, 0.5) == pytest.approx((found.plan, found.link, found.leaf_cpu))
    assert (3.0, 1.0) == pytest.approx((found.turn_stage, found.turn_verify))
    assert (9, 8, 2, 1.5) == (found.run_requests, found.file_requests, found.leaf_requests, found.puts)


def test_requests_are_divided_among_leaves_files_and_puts():
    runs = {
        "40 leaves in few files": {"leaves": 40, "copies": 2, "requests": 100 + 40 + 10},
        "160 leaves in few files": {"leaves": 160, "copies": 4, "requests": 100 + 160 + 20},
        "160 leaves in many files": {"leaves": 160, "copies": 30, "requests": 100 + 160 + 150},
        "32 leaves of 0.5 MiB streamed": {"leaves": 32, "manifest_puts": 1, "requests": 90 + 64 + 6},
        "32 leaves of 4 MiB streamed": {
            "leaves": 32,
            "manifest_puts": 16,
            "requests": 90 + 64 + 96,
            "bytes": 128 << 20,
        },
        "128 leaves of 0.5 MiB streamed": {"leaves": 128, "manifest_puts": 4, "requests": 90 + 256 + 24},
        "32 leaves of 0.5 MiB streamed by a worker": {"requests": 70},
        "32 leaves of 0.5 MiB streamed to a local path": {"requests": 40},
    }
    found = each(runs)
    assert (100, 1, 5) == pytest.approx(tuple(found[name] for name in ("linking run", "linked leaf", "copied file")))
    assert (90, 2, 6) == pytest.approx(
        tuple(found[name] for name in ("streaming run", "streamed leaf", "manifest put"))
    )
    assert (2, 30) == (found["manifest puts of a transaction"], found["share"])


COUNT = """
import sys
from pathlib import Path
from tests.benchmarks.scale import requests
from tests.buckets.gcs_server import GcsServer
import json, os
with GcsServer() as server:
    os.environ |= {"TENSORSTORE_GCS_HTTP_URL": server.url, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token"}
    runs = [requests._run(server, Path(sys.argv[1]), rules, 3, 64) for rules in (requests.RENAME, requests.TURN)]
    print(json.dumps(runs))
"""


@pytest.mark.matrix
def test_a_linked_run_copies_files_and_a_streamed_one_sends_them(tmp_path):
    words = [sys.executable, "-W", "ignore", "-c", COUNT, tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    linked, streamed = json.loads(done.stdout)
    assert linked["copies"] > 0 == streamed["copies"]
    assert 40 < linked["requests"] < 200
    assert linked["sent"] < 30_000 < streamed["sent"]


def test_every_step_of_the_codec_takes_time():
    found = codec_seconds(side=512, rounds=1)
    assert 5 == len(found)
    assert min(found.values()) > 0


@pytest.mark.parametrize("name", [*RULES, "file"])
def test_a_plan_is_simulated_without_arrays(name):
    found = simulate(name, layers=2, experts=3)
    assert len(all_shapes(2, 3)) == found["leaves"]
    assert (name in ("rename", "stack")) == (0 == found["streamed"])
    assert found["seconds"]["plan"] > 0
    if found["shares"]:
        assert list(COUNTS) == list(found["shares"])
        assert found["shares"][16]["most"] >= found["shares"][16]["mean"] >= found["shares"][16]["least"]


def test_the_simulated_checkpoint_has_two_hundred_thousand_leaves_and_ten_terabytes():
    sizes = [4 * rows * columns for rows, columns in (shape for shape in all_shapes().values() if len(shape) == 2)]
    assert 199_000 < len(all_shapes()) < 201_000
    assert 10e12 == pytest.approx(sum(sizes), rel=0.02)


def test_the_page_is_that_of_the_raw_figures():
    raw = json.loads((REPOSITORY / "docs" / "benchmarks" / "scale.json").read_text())
    assert (REPOSITORY / "docs" / "scale.md").read_text() == page.page(raw)


def test_every_row_of_the_page_has_as_many_cells_as_its_head():
    raw = json.loads((REPOSITORY / "docs" / "benchmarks" / "scale.json").read_text())
    blocks = [block.splitlines() for block in page.page(raw).split("\n\n") if block.startswith("| ")]
    assert 7 == len(blocks)
    for rows in blocks:
        assert {rows[0].count("|")} == {row.count("|") for row in rows}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (9.94, "9.9 s"), (59.6, "60 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_short(seconds, text):
    assert text == page.duration(seconds)


def test_every_constant_and_every_input_is_on_the_page():
    assert set(Measured.__dataclass_fields__) == set(page.CONSTANTS)
    assert set(Stated.__dataclass_fields__) == {name for name, _, _ in page.INPUTS}
