import json
import shutil


def test_alone_it_says_what_it_did_and_did_not_prove(run, migrated, golden):
    result = run("verify", migrated)
    assert 0 == result.exit_code
    golden("cli/verify_alone.txt", result.stdout)


def test_with_source_and_rules_every_leaf_is_compared(run, migrated, golden):
    result = run("verify", migrated, "--source", "old.msgpack", "--rules", "rules.yaml")
    assert 0 == result.exit_code
    golden("cli/verify_source.txt", result.stdout)


def test_another_source_is_not_what_was_meant(run, here, migrated):
    data = bytearray((here / "old.msgpack").read_bytes())
    data[-1] ^= 1
    data[-200] ^= 1
    (here / "other.msgpack").write_bytes(bytes(data))
    result = run("verify", migrated, "--source", "other.msgpack", "--rules", "rules.yaml")
    assert 1 == result.exit_code
    assert "error[M505]" in result.stderr


def test_another_model_is_not_what_was_meant(run, migrated):
    result = run("verify", migrated, "--template", "tiny_model:wider")
    assert 1 == result.exit_code
    assert "layers/3/kernel" in result.stderr
    assert 0 == run("verify", migrated, "--template", "tiny_model:make").exit_code


def test_a_checkpoint_that_records_nothing_is_said_to_record_nothing(run):
    result = run("verify", "old.msgpack")
    assert 0 == result.exit_code
    assert "It records no structure hash" in result.stdout


def test_source_and_rules_need_each_other(run, migrated):
    assert 2 == run("verify", migrated, "--source", "old.msgpack").exit_code


def test_verify_for_programs(run, migrated):
    payload = json.loads(run("verify", migrated, "--json").stdout)
    assert (True, 6, None) == (payload["ok"], payload["leaves"], payload["compared"])
    assert payload["recorded_structure_hash"].startswith("sha256:")


def test_a_damaged_record_is_no_answer(run, here, migrated):
    data = json.loads(run("verify", migrated, "--json").stdout)
    assert (6, []) == (data["digests"], data["undigested"])
    record = here / migrated / "migrate_digests.json"
    record.write_text(record.read_text().replace("sha256:", "sha255:", 1))
    assert 2 == run("verify", migrated).exit_code


def test_links_in_dst_are_followed_beside_a_source_as_well(run, here, migrated):
    shutil.move(here / migrated / "d", here / "elsewhere")
    (here / migrated / "d").symlink_to(here / "elsewhere")
    both = ("--source", "old.msgpack", "--rules", "rules.yaml")
    for arguments in ((), both):
        refused = run("verify", migrated, *arguments)
        assert (2, True) == (refused.exit_code, "error[M415]" in refused.stderr)
        assert 0 == run("verify", migrated, *arguments, "--follow-links").exit_code


def test_values_that_differ_are_drawn_as_diff_draws_them(run, here, migrated):
    (here / "scaled.yaml").write_text(
        'migrate: 1\ntarget: {template: "tiny_model:make"}\nrules:\n'
        '  - {from: "params/Dense_{i}/bias", to: "layers/{i}/bias", ops: [{scale: {by: 2}}]}\n'
        '  - "params/Dense_{i}/kernel -> layers/{i}/kernel"\n  - drop: params/old_head\n'
    )
    result = run("verify", migrated, "--source", "old.msgpack", "--rules", "scaled.yaml")
    assert 1 == result.exit_code
    assert (
        "~ layers/{1..2}/bias  float32[4]  ×2  8 of 8 values differ, max |Δ| 2 (relative 0.5), ‖Δ‖ 4.47\n"
        in result.stdout
    )
