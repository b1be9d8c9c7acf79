"""A receipt as a report: what was written, and what was verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrate.engine.receipt import Receipt
from migrate.places.names import bucket_path
from migrate.report.amounts import plural, seconds, size
from migrate.report.of_plan import short
from migrate.report.of_sources import used_sources_data
from migrate.report.proofs import pair_lines, probe_data, probe_sentence, proof_counts, proof_data
from migrate.report.view import Report, findings
from migrate.tree import format_path


def receipt_report(receipt: Receipt) -> Report:
    """Reports a receipt, as `apply` prints it at the end."""
    if receipt.published is not None:
        sentence = done_before(str(receipt.destination), receipt.published)
        return Report(command="apply", summary=(sentence,), data={"receipt": receipt_data(receipt)})
    took = seconds(sum(receipt.seconds.values()))
    leaves = plural(receipt.leaves, "leaf")
    return Report(
        command="apply",
        summary=(
            f"Applied plan {short(receipt.plan_digest)} in {took}: {leaves}, {size(receipt.bytes_written)} written → "
            f"{receipt.destination}",
            *_config(receipt),
            *_verified(receipt),
            *_proved(receipt),
            *_dead_bytes(receipt),
        ),
        findings=findings(receipt.notes),
        data={"receipt": receipt_data(receipt)},
    )


def done_before(destination: str, published: str) -> str:
    """Returns the sentence about a DST that was the finished result of the plan before, since the date it records."""
    again = "" if bucket_path(destination) else ", --overwrite writes it again"
    return (
        f"Already done: {destination} is the result of this plan, written on {published}. Nothing was written or "
        f"verified; `migrate verify {destination}` verifies it{again}."
    )


def _config(receipt: Receipt) -> Iterator[str]:
    if receipt.config:
        yield f"Config: {plural(receipt.config, 'change')} written."


def _verified(receipt: Receipt) -> Iterator[str]:
    """Yields what was verified, and what was only linked."""
    if receipt.verified == "full":
        count = plural(receipt.verified_leaves, "leaf")
        yield f"Verified: {count} read back from the new checkpoint, equal to the result of the plan, bit for bit."
        yield from _inputs(receipt)
        return
    if receipt.verified == "none":
        yield "Not verified (--verify none)."
        return
    parts = [f"{plural(receipt.written, 'leaf')} read back and compared by digest"] if receipt.written else []
    if receipt.decoded:
        parts.append(f"{plural(receipt.decoded, 'linked array')} decoded, with every checksum")
    verified = ", ".join(parts) or "key paths, shapes and dtypes"
    yield f"Verified: {verified}. Ops were not run again; --verify full does that."
    yield from _inputs(receipt)
    yield from _linked(receipt)


def _inputs(receipt: Receipt) -> Iterator[str]:
    if receipt.inputs:
        leaves = plural(receipt.inputs, "leaf")
        read = "streamed" if receipt.verified == "digest" else "streamed or used by ops"
        yield f"{leaves} of the source, {read}: equal to the digests that the source records."


def _linked(receipt: Receipt) -> Iterator[str]:
    if receipt.linked:
        decoded = "" if receipt.decoded else "; not decoded, --verify decode does that"
        arrays = plural(receipt.linked, "array")
        yield f"{arrays} linked or copied: the same bytes as the source, every extent present{decoded}."


def _proved(receipt: Receipt) -> Iterator[str]:
    if receipt.probe:
        yield f"{probe_sentence(receipt.probe)} {proof_counts(receipt.proofs)}."
        yield from pair_lines(receipt.probe)


def _dead_bytes(receipt: Receipt) -> Iterator[str]:
    if receipt.dead_bytes:
        dead = size(receipt.dead_bytes)
        yield f"The files that DST shares with the source contain {dead} that no leaf needs; --compact omits them."


_PROVES = {
    "full": "every leaf, read back (from a directory: by plain Orbax), equals the result of the rules on the source, "
    "bit for bit",
    "decode": "every array and number that was written is read back as it was written, every linked or copied array "
    "has the source's chunks, each of which can be decoded, and key paths, shapes and dtypes are the plan's; strings "
    "and the ops themselves were not checked again",
    "digest": "every array and number that was written is read back as it was written, every linked or copied array "
    "has the source's chunks, which were not decoded, and key paths, shapes and dtypes are the plan's; strings and the "
    "ops themselves were not checked again",
    "none": "nothing",
}


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    """Returns the receipt for programs."""
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
        "copied": receipt.copied,
        "decoded": receipt.decoded,
        "inputs": receipt.inputs,
        "digested": receipt.digested,
        "dead_bytes": receipt.dead_bytes,
        "resumed": receipt.resumed,
        "config": receipt.config,
        "already_done": receipt.already_done,
        **used_sources_data(receipt.sources),
        "versions": dict(receipt.versions),
    }
