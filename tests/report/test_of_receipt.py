from pathlib import Path

import pytest

from migrate.engine.receipt import Receipt
from migrate.report import text
from migrate.report.of_receipt import receipt_report


def receipt(verified="full"):
    return Receipt(
        destination=Path("out/step_0"),
        plan_digest="sha256:36b569b868ab0000",
        structure_hash="sha256:11",
        leaf_digests={("params", "kernel"): "xxh3:22", ("params", "bias"): "xxh3:33"},
        bytes_read=0,
        bytes_written=31 << 10,
        seconds={"stage": 0.9, "commit": 0.25, "verify": 0.11},
        verified=verified,
        verified_leaves=2 if verified != "none" else 0,
        versions={"migrate": "0.1.0"},
    )


@pytest.mark.parametrize("mode", ["full", "digest", "none"])
def test_a_receipt_says_what_was_done_and_what_was_verified(mode, golden):
    golden(f"report/receipt_{mode}.txt", text.draw(receipt_report(receipt(mode))))


def test_a_receipt_for_programs_has_the_digest_of_every_leaf():
    data = receipt_report(receipt()).data["receipt"]
    assert {"params/kernel": "xxh3:22", "params/bias": "xxh3:33"} == data["leaf_digests"]
