"""Probes of the bundled checkpoints through the command line: right rule files pass, wrong ones are found out."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "fixtures" / "rules"
CASES = [
    ("cnn", "linen_2022/cnn_flax_msgpack", "cnn"),
    ("cnn", "linen_2024/cnn_standard", "cnn"),
    ("lm_to_list", "linen_2022/lm_flax_msgpack", "lm"),
    ("lm_to_list", "linen_2024/lm_standard_sharded", "lm"),
]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.chdir(ROOT)
    return lambda *arguments: CliRunner().invoke(migrate, list(map(str, arguments)))


@pytest.mark.sample(6)
@pytest.mark.parametrize(("rules", "case", "probe"), CASES, ids=lambda value: value.replace("/", "-"))
def test_what_the_linen_model_computes_proves_every_leaf_of_the_migration(rules, case, probe, run, tmp_path):
    source = ROOT / "fixtures" / case / "ckpt"
    result = run(
        "apply",
        RULES / f"{rules}.yaml",
        source,
        tmp_path / "new",
        "--probe",
        f"fixtures.probes:{probe}",
        "--require-proof",
    )
    assert 0 == result.exit_code, result.output
    assert f"Proved by value: `fixtures.probes:{probe}` compared " in result.stdout
    assert "unproved" not in result.stdout.partition("Proved by value")[2]


def test_a_checkpoint_in_a_bucket_is_probed_before_it_is_complete(run, bucket):
    source = bucket.upload(ROOT / "fixtures/linen_2024/cnn_standard/ckpt", "old")
    probe = ("--probe", "fixtures.probes:cnn", "--require-proof")
    result = run("apply", RULES / "cnn.yaml", source, f"{bucket.url}/new", *probe)
    assert 0 == result.exit_code, result.output
    assert "Proved by value: `fixtures.probes:cnn` compared " in result.stdout
    wrong = ("--probe", "fixtures.probes:lm")
    assert 0 != run("apply", RULES / "cnn.yaml", source, f"{bucket.url}/other", *wrong).exit_code
    assert "other/commit_success.txt" not in bucket.keys("other/")


def test_a_checkpoint_that_is_laid_out_for_eight_devices_is_probed_on_one(run, tmp_path):
    source = ROOT / "fixtures/linen_2022/cnn_flax_msgpack/ckpt"
    rules, probe = RULES / "cnn.yaml", ("--probe", "fixtures.probes:cnn")
    result = run("apply", rules, source, tmp_path / "new", "--mesh", "data=2,model=4", *probe)
    assert 0 == result.exit_code, result.output


@pytest.mark.sample(2)
@pytest.mark.parametrize("layout", ["pure_dict", "items"])
def test_a_model_of_any_layout_is_probed(layout, run, tmp_path):
    text = (RULES / "cnn.yaml").read_text().replace('make_state"}', f'make_state", layout: {layout}}}')
    assert layout in text
    (tmp_path / "rules.yaml").write_text(text)
    source, new = ROOT / "fixtures/linen_2022/cnn_flax_msgpack/ckpt", tmp_path / "new"
    probe = ("--allow-code", "--probe", "fixtures.probes:cnn")
    result = run("apply", tmp_path / "rules.yaml", source, new, *probe, "--require-proof")
    assert 0 == result.exit_code, result.output
    against = ("--source", source, "--rules", tmp_path / "rules.yaml")
    assert " 24 proved by value." in " ".join(run("verify", new, *against, *probe).stdout.split())


WRONG = {
    "LayerNorms that changed places": ("norm{k+1}", "norm{2-k}"),
    "blocks in reverse": ("blocks/{i}/attn", "blocks/{2-i}/attn"),
    "q and k that changed places": (
        '  - "params/EncoderBlock_{i}/MultiHeadDotProductAttention_0/** -> model/blocks/{i}/attn/**"\n',
        '  - "params/EncoderBlock_{i}/MultiHeadDotProductAttention_0/query/** -> model/blocks/{i}/attn/value/**"\n'
        '  - "params/EncoderBlock_{i}/MultiHeadDotProductAttention_0/value/** -> model/blocks/{i}/attn/query/**"\n'
        '  - "params/EncoderBlock_{i}/MultiHeadDotProductAttention_0/{p:key|out}/** -> model/blocks/{i}/attn/{p}/**"\n',
    ),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_rules_that_pass_every_shape_check_are_found_out_in_the_layer_where_they_are_wrong(change, run, tmp_path):
    source = ROOT / "fixtures/linen_2022/lm_flax_msgpack/ckpt"
    text = (RULES / "lm_to_list.yaml").read_text()
    assert change[0] in text
    (tmp_path / "wrong.yaml").write_text(text.replace(*change))
    apply = ("apply", tmp_path / "wrong.yaml", source, tmp_path / "new", "--allow-code")
    assert 0 == run(*apply, "--dry-run").exit_code
    result = run(*apply, "--verify", "full", "--probe", "fixtures.probes:lm")
    assert 1 == result.exit_code
    assert "error[M513]: `fixtures.probes:lm`: layer `model/blocks/0`: max |old − new| = " in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_counter_that_no_output_depends_on_stays_unproved_until_the_probe_yields_it(run, tmp_path):
    source = ROOT / "fixtures/linen_2022/cnn_flax_msgpack/ckpt"
    (tmp_path / "forgetful.py").write_text(
        "from fixtures.probes import cnn\n\n\ndef probe(old, new):\n    yield next(cnn(old, new))\n"
    )
    apply = ("apply", RULES / "cnn.yaml", source, tmp_path / "new", "--probe", "forgetful:probe")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        result = run(*apply, "--require-proof")
        assert 1 == result.exit_code
        assert "error[M309]: `optimizer/opt_state/0/count` is unproved" in result.stderr
        assert "no pair of `forgetful:probe` depends on it; yield one that is named by its key path" in result.stderr
        assert not (tmp_path / "new").exists()
        assert " 22 proved by value, 2 unproved." in " ".join(run(*apply).stdout.split())
