"""Runs one `migrate` command as the command line does, and writes down what it cost beyond imports.

    python -m tests.benchmarks.marked MARKS.json apply RULES SRC DST ...

MARKS.json gets: `imports` and `work`, seconds; `cpu`, seconds of CPU of the work; `memory`, peak resident bytes after
imports; `store_read` and `store_written`, bytes that went through TensorStore's files; `read` and `written`, bytes
of all system calls.
"""

import contextlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path

METRICS = "/tensorstore/kvstore/file/"


def stored(name):
    """Bytes that TensorStore's file driver has read or written so far."""
    import tensorstore as ts

    found = ts.experimental_collect_matching_metrics(METRICS + name)
    return sum(value["value"] for metric in found for value in metric["values"])


def called():
    """Bytes that went through system calls so far, copies inside the kernel included."""
    lines = Path("/proc/self/io").read_text().splitlines()
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]), int(counts["wchar"])


def peak():
    """Peak resident bytes so far; what a process inherits from the one that started it is no part of this number."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def main():
    start = time.monotonic()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import migrate.cli.main
    import migrate.engine.run

    marks = {"imports": time.monotonic() - start}
    marks["memory"] = peak()
    before, answer, begin, code = called(), io.StringIO(), time.monotonic(), 0
    idle = time.process_time()
    with contextlib.redirect_stdout(answer):
        try:
            migrate.cli.main.migrate.main(sys.argv[2:], prog_name="migrate")
        except SystemExit as end:
            code = end.code
    marks["work"], marks["cpu"] = time.monotonic() - begin, time.process_time() - idle
    marks["read"], marks["written"] = (now - then for now, then in zip(called(), before, strict=True))
    marks["store_read"], marks["store_written"] = stored("bytes_read"), stored("bytes_written")
    receipt = json.loads(answer.getvalue()).get("receipt", {}) if "--json" in sys.argv else {}
    marks["phases"], marks["verified"] = receipt.get("seconds", {}), receipt.get("verified", "")
    Path(sys.argv[1]).write_text(json.dumps(marks))
    if code:
        sys.stderr.write(answer.getvalue())
    sys.exit(code)


if __name__ == "__main__":
    main()
