"""Where the time of a test run went: seconds by folder, and the slowest tests."""

from collections import Counter

import pytest

SLOWEST = 15
"""Tests that are listed."""


def durations(reports):
    """Returns the seconds of each test by its name, its fixtures included; the reports may be those of many workers."""
    seconds = Counter()
    for report in reports:
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid] += report.duration
    return seconds


def lines(seconds):
    """Returns the lines of the summary: the sum, each folder or file of `tests/`, and the slowest tests."""
    folders, counts = Counter(), Counter()
    for name, duration in seconds.items():
        folder = name.partition("::")[0].split("/")[:2][-1]
        folders[folder] += duration
        counts[folder] += 1
    whole = sum(folders.values())
    yield f"{whole:8.1f} s in {len(seconds):,} tests, the sum of all workers"
    for folder, duration in folders.most_common():
        yield f"{duration:8.1f} s {duration / max(whole, 1e-9):4.0%}  {folder}, {counts[folder]:,} tests"
    yield f"The {min(SLOWEST, len(seconds))} slowest tests:"
    for name, duration in Counter(seconds).most_common(SLOWEST):
        yield f"{duration:8.1f} s  {name}"
