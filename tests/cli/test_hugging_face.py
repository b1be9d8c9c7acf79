"""`layout: huggingface` on the command line."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

RULES = "migrate: 1\ntarget: {layout: huggingface}\nrules:\n- '{a:**} -> {a}'\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({f"model.layers.{n}.w": np.full((4, 4), n, "float32") for n in range(3)}, "old.safetensors")
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "original").mkdir()
    (tmp_path / "original/config.json").write_text("{}")
    return tmp_path


def test_a_run_writes_the_folder_and_states_what_it_is(run, here):
    result = run("apply", "rules.yaml", "old.safetensors", "new", "--max-shard-size", "64", "--files-from", "original")
    assert 0 == result.exit_code, result.output
    assert "new (huggingface, 3 leaves)" in result.output
    names = [file.name for file in sorted((here / "new").iterdir())]
    parts = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert ["config.json", *parts, "model.safetensors.index.json"] == names
    assert 0 == run("verify", "new").exit_code


def test_a_dry_run_writes_nothing(run, here):
    result = run("apply", "rules.yaml", "old.safetensors", "new", "--dry-run", "--json")
    assert (0, False) == (result.exit_code, (here / "new").exists())
    assert json.loads(result.stdout)["ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "--mesh", "data=2"), "`new` becomes a folder of Hugging Face, which records no mesh"),
        (("new", "--compression", "zstd:3"), "safetensors files are not compressed"),
        (("new.safetensors", "--max-shard-size", "1GB"), "`--max-shard-size` is for a folder of Hugging Face"),
        (("new", "--processes", "2"), "files of safetensors are not a database"),
    ],
)
def test_what_the_folder_cannot_have_is_refused(run, here, arguments, message):
    result = run("apply", "rules.yaml", "old.safetensors", *arguments)
    assert 2 == result.exit_code
    assert message in " ".join(result.stderr.split())
    assert not (here / arguments[0]).exists()
