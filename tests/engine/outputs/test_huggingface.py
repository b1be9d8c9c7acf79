"""A folder of Hugging Face: the library reads its files, an index names every tensor, the model's files are copied."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import migrate
from migrate.codes import DestinationExists, InvalidUsage, NoModelConfig
from migrate.errors import RefusedError, UsageError

RULES = "migrate: 1\ntarget: {layout: huggingface}\nrules:\n- '{a:**} -> {a}'\n"


def tensors():
    random = np.random.default_rng(3)
    return {f"model.layers.{n}.mlp.up.weight": random.normal(size=(8, 4)).astype("float32") for n in range(12)} | {
        "model.norm.weight": np.ones(4, "float16")
    }


@pytest.fixture
def source(tmp_path):
    save_file(tensors(), tmp_path / "old.safetensors")
    return tmp_path / "old.safetensors"


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "original"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "merges.txt", "README.md", "training_args.bin"):
        (folder / name).write_text(f"{{}} {name}")
    return folder


def rule_file(folder, text):
    (folder / "rules.yaml").write_text(text)
    return folder / "rules.yaml"


def apply(source, place, **options):
    rules = rule_file(source.parent, RULES)
    with migrate.open_checkpoint(source) as checkpoint:
        return migrate.apply(migrate.plan(checkpoint, rules), checkpoint, place, **options)


def read(folder):
    """Every tensor as the index locates it, read by the format's own library."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = {name: load_file(folder / name) for name in set(index["weight_map"].values())}
    assert sum(map(len, files.values())) == len(index["weight_map"])
    return {name: files[file][name] for name, file in index["weight_map"].items()}


def equal(found):
    expected = tensors()
    assert expected.keys() == found.keys()
    assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)


def test_tensors_are_divided_in_the_order_of_layers_and_listed_in_the_index(source, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=512)
    names = sorted(file.name for file in (tmp_path / "new").glob("*.safetensors"))
    assert [f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)] == names
    equal(read(tmp_path / "new"))
    index = json.loads((tmp_path / "new/model.safetensors.index.json").read_text())
    assert {"total_parameters": 12 * 32 + 4, "total_size": 12 * 128 + 8} == index["metadata"]
    assert names[0] == index["weight_map"]["model.layers.2.mlp.up.weight"]
    assert names[2] == index["weight_map"]["model.layers.11.mlp.up.weight"]


def test_a_tensor_larger_than_the_limit_has_a_file_of_its_own(source, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=1)
    assert 13 == len(list((tmp_path / "new").glob("*.safetensors")))
    equal(read(tmp_path / "new"))


def test_one_file_needs_no_index(source, tmp_path):
    apply(source, tmp_path / "new")
    assert ["model.safetensors"] == [file.name for file in (tmp_path / "new").iterdir()]
    equal(load_file(tmp_path / "new/model.safetensors"))


def test_files_of_the_model_are_copied_and_no_others(source, config, tmp_path):
    receipt = apply(source, tmp_path / "new", files_from=config)
    copied = {"config.json", "tokenizer.json", "merges.txt"}
    assert {"model.safetensors"} | copied == {file.name for file in (tmp_path / "new").iterdir()}
    assert all((tmp_path / "new" / name).read_bytes() == (config / name).read_bytes() for name in copied)
    assert NoModelConfig.number not in [note.code for note in receipt.notes]


def test_a_folder_as_source_passes_its_files_on(source, config, tmp_path):
    source.rename(config / "model.safetensors")
    (config / "training_args.bin").unlink()
    apply(config, tmp_path / "new", max_shard_size=512)
    assert (tmp_path / "new/tokenizer.json").read_bytes() == (config / "tokenizer.json").read_bytes()
    equal(read(tmp_path / "new"))


def test_a_missing_configuration_is_noted(source, tmp_path):
    (note,) = apply(source, tmp_path / "new").notes
    assert (NoModelConfig.number, "add `--files-from DIR` with the folder of the original model") == (
        note.code,
        note.help,
    )


def test_the_same_run_again_is_done_and_another_size_of_files_is_not(source, config, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=512)
    assert apply(source, tmp_path / "new", max_shard_size=512).already_done
    for options in ({}, {"max_shard_size": 512, "files_from": config}):
        with pytest.raises(RefusedError) as caught:
            apply(source, tmp_path / "new", **options)
        assert DestinationExists.number == caught.value.diagnostics[0].code


def test_a_folder_that_is_replaced_keeps_its_files_of_the_model(source, config, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=512, files_from=config)
    (note,) = apply(source, tmp_path / "new", overwrite=True).notes
    kept = {"config.json", "tokenizer.json", "merges.txt"}
    assert {"model.safetensors"} | kept == {file.name for file in (tmp_path / "new").iterdir()}
    assert all((tmp_path / "new" / name).read_bytes() == (config / name).read_bytes() for name in kept)
    expected = "DST keeps files of the model that it replaces: `config.json`, `merges.txt`, `tokenizer.json`"
    assert (NoModelConfig.number, expected) == (note.code, note.message)


def test_files_of_the_model_that_are_given_or_beside_the_source_replace_the_old_ones(source, config, tmp_path):
    apply(source, tmp_path / "new", files_from=config)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("another")
    assert () == apply(source, tmp_path / "new", overwrite=True, files_from=other).notes
    assert {"config.json", "model.safetensors"} == {file.name for file in (tmp_path / "new").iterdir()}
    source.rename(config / "model.safetensors")
    (config / "training_args.bin").unlink()
    assert () == apply(config, tmp_path / "new", overwrite=True).notes
    assert (tmp_path / "new/config.json").read_bytes() == (config / "config.json").read_bytes()


def test_only_such_a_folder_is_replaced(source, config, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=512, files_from=config)
    (tmp_path / "new/notes.md").write_text("mine")
    with pytest.raises(RefusedError, match=r"would delete more than a checkpoint in .*: `notes\.md`"):
        apply(source, tmp_path / "new", overwrite=True)


def test_the_result_is_verified_later_without_its_source(source, tmp_path):
    apply(source, tmp_path / "new", max_shard_size=512, verify="full")
    source.unlink()
    assert 13 == migrate.verify(tmp_path / "new").digests
    file = tmp_path / "new/model-00002-of-00004.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(migrate.VerifyError, match="mlp/up/weight"):
        migrate.verify(tmp_path / "new")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "zstd:3"}, "safetensors files are not compressed"),
        ({"files_from": "."}, r"has no `config\.json`"),
        ({"max_shard_size": 0}, "is below 1 byte"),
    ],
)
def test_options_without_a_meaning_are_refused(source, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        apply(source, tmp_path / "new", **options)
    assert InvalidUsage.number == caught.value.diagnostics[0].code


def test_other_outputs_refuse_the_options_of_the_folder(source, tmp_path):
    rules = rule_file(tmp_path, RULES.replace("target: {layout: huggingface}\n", ""))
    with migrate.open_checkpoint(source) as checkpoint, pytest.raises(UsageError, match="`--max-shard-size`") as caught:
        migrate.apply(migrate.plan(checkpoint, rules), checkpoint, tmp_path / "new", max_shard_size=1)
    assert "layout: huggingface" in caught.value.diagnostics[0].help
