"""The page of the cost model: constants, inputs, times for 1 TB and 10 TB, and plans of 10 TB.

python -m tests.benchmarks.scale.page      # writes docs/scale.md again from docs/benchmarks/scale.json
"""

import json
from pathlib import Path

from tests.benchmarks.scale.model import Measured, Stated, relink, stream
from tests.benchmarks.tables import amount, table

ROOT = Path(__file__).parents[3]
SIZES = (1, 10)
HOSTS = (1, 16)
WORK = ("relink", "stream", "tune")
KINDS = {"stream": "turn", "tune": "tune"}

CONSTANTS = {
    "plan": "open, plan and report, seconds per 1,000 leaves",
    "link": "link, commit and verify, seconds per 1,000 leaves",
    "leaf_cpu": "CPU seconds per 1,000 streamed leaves, beside their bytes",
    "turn_stage": "transpose, CPU seconds per GB: read, decode, transpose, hash, encode, write",
    "turn_verify": "transpose, CPU seconds per GB: read back, decode, hash",
    "tune_stage": "other chunks, CPU seconds per GB: the same without a transpose",
    "tune_verify": "other chunks, CPU seconds per GB: read back, decode, hash",
    "run_requests": "requests of a run that links",
    "file_requests": "requests of each data file that is copied within the bucket",
    "leaf_requests": "requests of each streamed leaf",
    "puts": "puts of the manifest for each transaction",
}
INPUTS = (
    ("reads", "reads of a bucket per second, at the start", "published"),
    ("name_writes", "writes of one object per second", "published"),
    ("bucket_gb", "GB/s of a bucket or of a shared file system, each way", "default quota of a region, not confirmed"),
    ("host_gb", "GB/s of a host, each way", "assumed: 50 Gbit/s"),
    ("cores", "cores of a host", "assumed"),
    ("request", "seconds of a request", "assumed"),
    ("copy", "seconds of the copy of one data file within the bucket", "assumed"),
    ("in_flight", "requests of a host that run at once", "of migrate"),
    ("file_gb", "GB of a data file", "of Orbax"),
    ("max_ram_gb", "GB of `--max-ram`, of which a transaction gets a quarter", "chosen"),
    ("leaves", "leaves per TB", "assumed"),
)
PLANS = {
    "rename": "rename every leaf",
    "stack": "stack the experts",
    "transpose": "transpose every expert",
    "tune": "other chunks for any mesh",
    "file": "transpose, from a sparse `.safetensors`",
}


def write(root=ROOT):
    """Writes docs/scale.md; returns its text."""
    text = page(json.loads((root / "docs" / "benchmarks" / "scale.json").read_text()))
    (root / "docs" / "scale.md").write_text(text)
    return text


def page(raw):
    """The whole page in Markdown.

    Args:
      raw: the content of scale.json.
    """
    measured, stated = Measured(**raw["measured"]), Stated()
    parts = [
        "# The cost of terabytes",
        INTRODUCTION,
        times_table(measured, stated),
        ASSUMPTIONS,
        phases_table(measured, stated),
        READ_PHASES,
        "## Constants",
        f"Measured on {raw['machine']}, {raw['date']}. Requests are those that a strict emulator of Google Cloud "
        "Storage counted.",
        constants_table(raw),
        "One core, for each GB of random float32 values:",
        codec_table(raw["codec"]),
        "Stated, not measured:",
        inputs_table(stated),
        "## Plans of 10 TB",
        plans_text(raw["plans"]),
        plans_table(raw["plans"]),
        SHARES,
        shares_table(raw["plans"]),
    ]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
A model of what a migration of terabytes costs, from constants that one machine with 2 cores measures and from inputs
that are stated. No checkpoint of this size was migrated. `python -m tests.benchmarks.scale` measures the constants and
writes this page; the growth that they extrapolate is in the [benchmarks](benchmarks/README.md).

- **relink**: renames, stacks and everything else that only moves chunks, within a bucket. No array passes through a
  host.
- **stream**: every array is rewritten, here transposed.
- **tune**: every array is rewritten in other chunks."""

ASSUMPTIONS = """\
In brackets is the phase that takes longest. In the model, one host reads and writes a bucket, and several hosts write
below a path that all of them see; they share streamed arrays only ([processes](processes.md)). Several hosts can write
to [a bucket](buckets.md) as well, each to a manifest of its own, which is not modeled. CPU seconds divide by the cores
of all hosts, and transfers reach the rate of the network. While arrays are staged, network, CPU,
requests and puts of the manifest overlap, so that the slowest counts. Afterwards, all arrays are read back."""

READ_PHASES = """\
A relink depends on leaves and files, not on bytes. What one host streams to a bucket waits for the manifest, which
Google Cloud Storage lets it write about once a second: a larger `--max-ram` makes larger transactions, up to 1 GiB, and
fewer puts. Several hosts are bound by what the storage delivers to all of them."""

SHARES = """\
Streamed tasks are dealt into shares, the largest first. A task is not divided, so that a share has at least the bytes
of the largest array. Bytes of the largest share, and in brackets its ratio to the mean:"""


def times_table(measured, stated):
    """The whole time of each kind of work."""
    rows = []
    for work in WORK:
        runs = [phases_of(work, size, hosts, measured, stated) for size in SIZES for hosts in HOSTS]
        rows.append([work, *(f"{duration(run.total)} ({run.longest})" for run in runs)])
    return table(["", *(f"{size} TB, {_hosts(hosts)}" for size in SIZES for hosts in HOSTS)], rows)


def phases_table(measured, stated):
    """The phases of 10 TB."""
    runs = {(work, hosts): phases_of(work, SIZES[-1], hosts, measured, stated) for work in WORK for hosts in HOSTS}
    names = list(dict.fromkeys(name for run in runs.values() for name in _phases(run)))
    rows = [
        [name, *(duration(found[name]) if name in (found := _phases(run)) else "" for run in runs.values())]
        for name in names
    ]
    return table([f"{SIZES[-1]} TB", *(f"{work}, {_hosts(hosts)}" for work, hosts in runs)], rows)


def phases_of(work, terabytes, hosts, measured, stated):
    """The phases of one run."""
    if work == "relink":
        return relink(terabytes, measured, stated)
    return stream(KINDS[work], terabytes, hosts, measured, stated)


def _phases(run):
    return {**run.first, **{name: seconds for group in run.overlapping for name, seconds in group.items()}}


def _hosts(count):
    return "1 host" if count == 1 else f"{count} hosts"


def constants_table(raw):
    """The measured constants."""
    return table(["measured", ""], [[text, _number(raw["measured"][name])] for name, text in CONSTANTS.items()])


def codec_table(codec):
    """What a core takes for each step, and how much it does in a second."""
    rows = [[name, f"{seconds:.2f}", f"{1 / seconds:.2f}"] for name, seconds in codec.items()]
    return table(["step", "CPU s per GB", "GB/s per core"], rows)


def inputs_table(stated):
    """The inputs that are stated."""
    return table(["stated", "", "origin"], [[text, f"{getattr(stated, name):,g}", of] for name, text, of in INPUTS])


def plans_text(plans):
    """How large the simulated checkpoint is."""
    one = plans["transpose"]
    return (
        f"A mixture of experts with the state of Adam: {one['leaves']:,} leaves, {amount(one['bytes'])}, of which only "
        "the metadata exist. The plan is made in one process, as a dry run makes it; the growth in leaves includes "
        "[reading the metadata](benchmarks/README.md#growth-in-leaves) of as many real leaves. The last row opens a "
        "file whose header declares the same arrays, and whose data are a hole. Memory is the peak beyond imports."
    )


def plans_table(plans):
    """Time and memory of the plans."""
    rows = []
    for name, title in PLANS.items():
        found = plans[name]
        seconds = found["seconds"]
        planned = seconds["plan"] + seconds.get("chunks", 0)
        opened = f"{seconds['open']:.1f}" if name == "file" else ""
        others = (f"{seconds[step]:.1f}" for step in ("digest", "report", "shares"))
        streamed = amount(found["streamed"])
        rows.append(
            [title, f"{found['tasks']:,}", streamed, opened, f"{planned:.1f}", *others, amount(found["memory"])]
        )
    return table(
        ["plan", "tasks", "streamed", "open, s", "plan, s", "digest, s", "report, s", "shares, s", "memory"], rows
    )


def shares_table(plans):
    """How even the shares are."""
    dealt = {name: found["shares"] for name, found in plans.items() if found["shares"] and name != "file"}
    counts = list(next(iter(dealt.values())))
    rows = [
        [PLANS[name], *(f"{amount(found[n]['most'])} ({found[n]['most'] / found[n]['mean']:.3f})" for n in counts)]
        for name, found in dealt.items()
    ]
    return table(["plan", *(f"{count} shares" for count in counts)], rows)


def duration(seconds):
    """Seconds in a readable unit."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


if __name__ == "__main__":
    print(write())
