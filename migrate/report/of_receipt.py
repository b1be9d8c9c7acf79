"""A receipt as a report: what was done, and what of it was verified."""

from __future__ import annotations

from typing import Any

from migrate.engine.receipt import Receipt
from migrate.report.amounts import plural, seconds, size
from migrate.report.of_plan import short
from migrate.report.view import Report
from migrate.tree import format_path


def receipt_report(receipt: Receipt) -> Report:
    """What `apply` prints when it is done."""
    took = seconds(sum(receipt.seconds.values()))
    leaves = plural(len(receipt.leaf_digests), "leaf")
    return Report(
        command="apply",
        summary=(
            f"Applied plan {short(receipt.plan_digest)} in {took}: {leaves}, {size(receipt.bytes_written)} → "
            f"{receipt.destination}",
            _verified(receipt),
        ),
        data={"receipt": receipt_data(receipt)},
    )


def _verified(receipt: Receipt) -> str:
    count = plural(receipt.verified_leaves, "leaf")
    if receipt.verified == "full":
        return f"Verified: {count} read back from the new checkpoint and equal, bit for bit, to what the plan says."
    if receipt.verified == "digest":
        return f"Verified: {count} read back from the new checkpoint, with the digests that were written."
    return "Not verified (--verify none)."


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    """The receipt for programs."""
    return {
        "destination": str(receipt.destination),
        "plan_digest": receipt.plan_digest,
        "structure_hash": receipt.structure_hash,
        "leaf_digests": {format_path(path): digest for path, digest in receipt.leaf_digests.items()},
        "bytes_read": receipt.bytes_read,
        "bytes_written": receipt.bytes_written,
        "seconds": dict(receipt.seconds),
        "verified": receipt.verified,
        "verified_leaves": receipt.verified_leaves,
        "versions": dict(receipt.versions),
    }
