from dataclasses import replace
from pathlib import Path

import pytest

from migrate.codes import LeftoverWorkspace
from migrate.engine.receipt import Receipt
from migrate.report import text
from migrate.report.of_receipt import receipt_report


def receipt(verified="full", linked=1):
    return Receipt(
        destination=Path("out/step_0"),
        plan_digest="sha256:36b569b868ab0000",
        structure_hash="sha256:11",
        leaf_digests={("params", "kernel"): "xxh3:22", ("params", "bias"): "xxh3:33", ("params", "old"): "linked"},
        bytes_read=0,
        bytes_written=31 << 10,
        seconds={"stage": 0.9, "commit": 0.25, "verify": 0.11},
        verified=verified,
        verified_leaves=3 if verified != "none" else 0,
        leaves=4,
        linked=linked,
        versions={"migrate": "0.1.0"},
    )


@pytest.mark.parametrize("mode", ["full", "digest", "none"])
def test_a_receipt_says_what_was_done_and_what_was_verified(mode, golden):
    golden(f"report/receipt_{mode}.txt", text.draw(receipt_report(receipt(mode))))


def test_a_receipt_for_programs_has_the_digest_of_every_leaf():
    data = receipt_report(receipt()).data["receipt"]
    assert {"params/kernel": "xxh3:22", "params/bias": "xxh3:33", "params/old": "linked"} == data["leaf_digests"]


@pytest.mark.parametrize(
    ("linked", "proved"),
    [
        (0, "Verified: 3 leaves read back and compared by digest. "),
        (3, "Verified: key paths, shapes and dtypes. "),
    ],
)
def test_a_cheap_verification_says_what_it_looked_at_and_what_it_left_open(linked, proved):
    sentence = receipt_report(receipt("digest", linked)).summary[1]
    assert sentence == proved + "Ops were not run again; --verify full does that."


def test_linked_arrays_are_called_verified_only_once_they_are_decoded():
    linked = "3 arrays linked or copied: the same bytes as the source, every extent present"
    assert f"{linked}; not decoded, --verify decode does that." == receipt_report(receipt("digest", 3)).summary[2]
    decoded = receipt_report(replace(receipt("decode", 3), decoded=3))
    assert decoded.summary[1].startswith("Verified: 3 linked arrays decoded, with every checksum. ")
    assert f"{linked}." == decoded.summary[2]
    assert (3, 3) == (decoded.data["receipt"]["linked"], decoded.data["receipt"]["decoded"])


@pytest.mark.parametrize(
    ("mode", "proves"),
    [("full", "every leaf"), ("decode", "every array"), ("digest", "every array"), ("none", "nothing")],
)
def test_programs_are_told_what_a_verification_proves(mode, proves):
    assert receipt_report(receipt(mode)).data["receipt"]["verification_proves"].startswith(proves)


def test_notes_are_findings():
    noted = replace(receipt(), notes=(LeftoverWorkspace.at("an earlier run was here"),))
    assert ["M510"] == [finding.code for finding in receipt_report(noted).findings]


def test_dead_bytes_are_named_when_there_are_any():
    assert 2 == len(receipt_report(receipt()).summary)
    assert (
        "contain 2 KiB that no leaf needs; --compact omits them."
        in receipt_report(replace(receipt(), dead_bytes=2048)).summary[2]
    )
