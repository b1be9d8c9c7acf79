"""A receipt as a report: what was done, and what of it was verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrate.engine.receipt import Receipt
from migrate.report.amounts import plural, seconds, size
from migrate.report.of_plan import short
from migrate.report.proofs import probe_data, probe_sentence, proof_data, proof_words
from migrate.report.view import Report, findings
from migrate.tree import format_path


def receipt_report(receipt: Receipt) -> Report:
    """What `apply` prints when it is done."""
    took = seconds(sum(receipt.seconds.values()))
    leaves = plural(receipt.leaves, "leaf")
    return Report(
        command="apply",
        summary=(
            f"Applied plan {short(receipt.plan_digest)} in {took}: {leaves}, {size(receipt.bytes_written)} → "
            f"{receipt.destination}",
            _verified(receipt),
            *_proved(receipt),
            *_dead_bytes(receipt),
        ),
        findings=findings(receipt.notes),
        data={"receipt": receipt_data(receipt)},
    )


def _verified(receipt: Receipt) -> str:
    """What was verified, and what that leaves open."""
    if receipt.verified == "full":
        count = plural(receipt.verified_leaves, "leaf")
        return f"Verified: {count} read back from the new checkpoint and equal, bit for bit, to what the plan says."
    if receipt.verified == "none":
        return "Not verified (--verify none)."
    parts = []
    if receipt.written:
        parts.append(f"{plural(receipt.written, 'leaf')} read back with the digests of what was written")
    if receipt.linked:
        parts.append(f"{plural(receipt.linked, 'array')} compared with the source chunk by chunk, without decoding")
    proved = ", ".join(parts) or "key paths, shapes and dtypes"
    return f"Verified: {proved}. Ops were not run a second time (--verify full does)."


def _proved(receipt: Receipt) -> Iterator[str]:
    if receipt.probe:
        yield f"{probe_sentence(receipt.probe)} {proof_words(receipt.proofs)}."


def _dead_bytes(receipt: Receipt) -> Iterator[str]:
    if receipt.dead_bytes:
        dead = size(receipt.dead_bytes)
        yield f"The files that it shares with the source hold {dead} that no leaf needs; --compact leaves them behind."


_PROVES = {
    "full": "every leaf, read back (from a directory: by plain Orbax), equals what the rules make of the source, bit "
    "for bit",
    "digest": "every array and number that was written is read back as it was written, every array that was taken over "
    "has the source's chunks, and key paths, shapes and dtypes are the plan's; strings, and the ops themselves, were "
    "not checked a second time",
    "none": "nothing",
}


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
        "verification_proves": _PROVES[receipt.verified],
        "proof": proof_data(receipt.proofs),
        "probe": probe_data(receipt.probe),
        "leaves": receipt.leaves,
        "linked": receipt.linked,
        "dead_bytes": receipt.dead_bytes,
        "resumed": receipt.resumed,
        "versions": dict(receipt.versions),
    }
