"""Memory against the budget: single leaves above it, many leaves, wide stacks."""

from tests.benchmarks.case import LAYER_LEAF_BYTES, Case

BUDGETS = ("64MiB", "256MiB", "2GiB")
WIDE = 400
"""The arrays of a wide stack."""
MANY = 200_000 * LAYER_LEAF_BYTES / 1e9
"""The gigabytes of 200,000 leaves of 1 KiB."""

WORK = (
    ("chunk", "transpose of one leaf of 1 GB in one chunk", "turn", "one-chunk", 1),
    ("leaf", "transpose of one leaf of 1 GB in chunks of 64 MiB", "turn", "one", 1),
    ("stack", f"{WIDE} matrices of 2.5 MB transposed and stacked", "turn-and-stack", "wide", 1),
    ("unstack", f"an array of 1 GB unstacked to {WIDE} matrices and transposed", "unstack-and-turn", "stacked", 1),
    ("leaves", "transpose of 200,000 leaves of 1 KiB", "turn-layers", "layers", MANY),
)
"""The key, the title, the rules, the checkpoint and its gigabytes."""

CASES = tuple(
    Case(
        f"{key}-{budget}",
        f"{title}, `--max-ram {budget}`",
        "migrate",
        rules,
        ("--max-ram", budget),
        kind,
        (size,),
        "memory",
    )
    for key, title, rules, kind, size in WORK
    for budget in BUDGETS
)
