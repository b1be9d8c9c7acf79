"""Detection: one table of formats, walked in order, from which the list of what can be read is made.

Covers `migrate.formats.orbax.step` and `migrate.formats.surroundings` as well.
"""

import json
import os
import pickle
import shutil
from dataclasses import replace

import msgpack
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from safetensors.numpy import save_file

from migrate.errors import CheckpointError
from migrate.formats.detect import FORMATS, list_steps, open_reader
from migrate.testing.readers import check_reader
from tests.formats.tiny import TINY, write_tiny


def refusal(path, **options):
    with pytest.raises(CheckpointError) as caught:
        open_reader(path, **options)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def notes(path, **options):
    with open_reader(path, **options) as reader:
        return [(note.code, note.severity, note.paths) for note in reader.abstract().notes]


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    """A manager's root with steps 1 and 10, two pytrees, a JSON item and metadata of its own."""
    root = tmp_path_factory.mktemp("managed") / "root"
    options = ocp.CheckpointManagerOptions(step_prefix="ckpt", step_format_fixed_length=6)
    with ocp.CheckpointManager(root, options=options, metadata={"team": "vision", "run": 1}) as manager:
        for step in (1, 10):
            manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave({"w": np.full(2, step, np.float32)}),
                    opt_state=ocp.args.StandardSave({"m": np.zeros(2, np.float32)}),
                    config=ocp.args.JsonSave({"depth": 3}),
                ),
                metrics={"loss": 0.5},
                custom_metadata={"run": step},
            )
    return root


@pytest.fixture
def root(managed, tmp_path):
    return shutil.copytree(managed, tmp_path / "root")


def test_a_root_opens_its_latest_step_with_all_items_extras_and_metadata(managed):
    with open_reader(managed) as reader:
        checkpoint = reader.abstract()
        assert [10.0, 10.0] == reader.read(("params", "w")).tolist()
    assert (10, (1, 10)) == (checkpoint.step, checkpoint.steps)
    assert ["opt_state", "params"] == list(checkpoint.items)
    assert {"config": {"depth": 3}, "metrics": {"loss": 0.5}} == {**checkpoint.extras, "metrics": {"loss": 0.5}}
    assert {"team": "vision", "run": 10} == dict(checkpoint.metadata)
    assert () == checkpoint.notes


def test_a_root_keeps_the_laws(managed):
    check_reader(lambda: open_reader(managed))


def test_the_wanted_step_and_item_are_opened(managed):
    with open_reader(managed, step=1, item="params") as reader:
        assert ["params"] == list(reader.abstract().items)
        assert [1.0, 1.0] == reader.read(("w",)).tolist()


def test_steps_are_listed_in_rising_order(managed):
    assert (1, 10) == list_steps(managed)
    assert () == list_steps(managed / "ckpt_000001")
    assert () == list_steps(managed / "ckpt_000001" / "params")


def test_a_step_directory_opens_without_its_root(managed):
    with open_reader(managed / "ckpt_000001") as reader:
        assert (None, ["opt_state", "params"]) == (reader.abstract().step, list(reader.abstract().items))


def test_a_step_that_is_not_there_is_refused_with_those_that_are(managed):
    diagnostic = refusal(managed, step=5)
    assert ("M406", "it has 1, 10") == (diagnostic.code, diagnostic.help)


def test_an_item_that_is_not_there_is_refused_with_the_nearest_name(managed):
    diagnostic = refusal(managed, item="param")
    assert "M406" == diagnostic.code
    assert "did you mean `params`?" in diagnostic.help


def test_a_json_item_opens_alone_and_has_no_tree(managed):
    with open_reader(managed / "ckpt_000010" / "config") as reader:
        checkpoint = reader.abstract()
    assert ("orbax json", {"config": {"depth": 3}}) == (checkpoint.format, checkpoint.extras)
    assert {} == checkpoint.tree.leaves


def test_a_step_with_json_alone_opens_too(root):
    for name in ("params", "opt_state"):
        shutil.rmtree(root / "ckpt_000001" / name)
    with open_reader(root / "ckpt_000001") as reader:
        assert {"depth": 3} == reader.abstract().extras["config"]


def test_a_json_item_is_not_a_pytree_and_the_error_says_so(managed):
    assert "JSON" in refusal(managed, item="config").help


def test_unfinished_saves_are_passed_over_and_refused_when_asked_for(root):
    (root / "ckpt_000020.orbax-checkpoint-tmp-17" / "params").mkdir(parents=True)
    (root / "ckpt_000030").mkdir()
    with open_reader(root) as reader:
        assert 10 == reader.abstract().step
    unfinished = ("ckpt_000020.orbax-checkpoint-tmp-17", "ckpt_000030")
    assert [("M409", "note", unfinished)] == notes(root)
    assert ["M409", "M409"] == [refusal(root, step=step).code for step in (20, 30)]
    assert "M409" == refusal(root / unfinished[0]).code


def test_a_root_with_nothing_finished_says_so(tmp_path):
    (tmp_path / "7.orbax-checkpoint-tmp").mkdir()
    assert "M409" == refusal(tmp_path).code


def test_two_checkpoints_of_one_step_are_not_guessed_between(root):
    shutil.copytree(root / "ckpt_000010", root / "ema_10")
    diagnostic = refusal(root)
    assert "M405" == diagnostic.code
    assert "ckpt_000010, ema_10" in diagnostic.message


def test_foreign_files_are_listed_and_never_opened(root):
    bomb = pickle.dumps(pytest.fail)
    (root / "notes.pkl").write_bytes(bomb)
    (root / "ckpt_000010" / "README.md").write_text("hello")
    (root / "ckpt_000010" / "params" / "extra.pkl").write_bytes(bomb)
    ignored = [paths for code, _, paths in notes(root) if code == "M407"]
    assert [("notes.pkl",), ("README.md",), ("extra.pkl",)] == ignored


def test_the_directory_of_version_1_opens_as_one_item(written):
    with open_reader(written("version_1", "typical").parent) as reader:
        assert ["state"] == list(reader.abstract().items)


def test_a_root_of_version_1_steps_without_markers_opens(written, tmp_path):
    shutil.copytree(written("version_1", "typical"), tmp_path / "root" / "4" / "state")
    with open_reader(tmp_path / "root") as reader:
        assert (4, ["state"]) == (reader.abstract().step, list(reader.abstract().items))


def test_flax_s_directories_and_files_are_steps_also_when_negative(written, tmp_path):
    shutil.copytree(written("ocdbt_zarr2", "typical"), tmp_path / "checkpoint_3")
    (tmp_path / "checkpoint_-2").write_bytes(serialization.msgpack_serialize({"w": np.ones(1)}))
    (tmp_path / "checkpoint_tmp").write_bytes(b"half")
    assert (-2, 3) == list_steps(tmp_path)
    with open_reader(tmp_path, step=-2) as reader:
        assert (-2, "flax msgpack") == (reader.abstract().step, reader.abstract().format)
    assert ("M409", "note", ("checkpoint_tmp",)) in notes(tmp_path)


def test_fractions_are_opened_by_path_and_a_note_says_so(tmp_path):
    for step in ("0.5", "1.25"):
        (tmp_path / f"checkpoint_{step}").write_bytes(serialization.msgpack_serialize({"w": np.full(1, float(step))}))
    with open_reader(tmp_path) as reader:
        assert (None, ()) == (reader.abstract().step, reader.abstract().steps)
        assert [1.25] == reader.read(("w",)).tolist()
    assert [("M405", "note", ("checkpoint_0.5", "checkpoint_1.25"))] == notes(tmp_path)


def test_items_that_are_called_like_steps_do_not_make_a_step_a_root(written, tmp_path):
    step = tmp_path / "step"
    for name in ("model_1", "model_2"):
        shutil.copytree(written("ocdbt_zarr2", "typical"), step / name)
    (step / "_CHECKPOINT_METADATA").write_text("{}")
    with open_reader(step) as reader:
        assert ["model_1", "model_2"] == list(reader.abstract().items)


def test_old_root_metadata_is_plain_json(root):
    (root / "metadata" / "_ROOT_METADATA").unlink()
    (root / "metadata" / "metadata").write_text(json.dumps({"old": True}))
    with open_reader(root) as reader:
        assert {"old": True, "run": 10} == dict(reader.abstract().metadata)


def test_the_first_root_metadata_of_their_own_file_had_another_name(root):
    (root / "metadata" / "_ROOT_METADATA").write_text(json.dumps({"custom": {"old": True}}))
    with open_reader(root) as reader:
        assert {"old": True, "run": 10} == dict(reader.abstract().metadata)


def test_the_item_s_own_metadata_wins(root):
    file = root / "ckpt_000010" / "params" / "_METADATA"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "custom_metadata": {"run": "mine"}}))
    with open_reader(root) as reader:
        assert {"team": "vision", "run": "mine"} == dict(reader.abstract().metadata)


@pytest.mark.parametrize("what", ["file", "item"])
def test_what_has_no_steps_or_items_refuses_to_choose_one(written, tmp_path, what):
    path = written("ocdbt_zarr2", "typical")
    if what == "file":
        path = tmp_path / "file"
        path.write_bytes(serialization.msgpack_serialize({"w": 1}))
    assert "M406" == refusal(path, step=3).code
    assert "M406" == refusal(path, item="params").code
    with open_reader(path, step="latest", item="") as reader:
        assert [""] == list(reader.abstract().items)


def test_a_path_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "checkpoint_7").mkdir()
    diagnostic = refusal(tmp_path / "checkpont_7")
    assert ("M401", "did you mean `checkpoint_7`?") == (diagnostic.code, diagnostic.help)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"a": 1}), "pickle"),
        (b"", "empty"),
        (b"hello", "not msgpack"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path, content, words):
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    diagnostic = refusal(path)
    assert "M401" == diagnostic.code
    assert words in diagnostic.message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"PK\x03\x04rest", "zip"), (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"\x93NUMPY\x01\x00", "no array begins")],
)
def test_a_file_that_only_begins_as_one_that_can_be_read_is_damaged(tmp_path, content, words):
    (tmp_path / "checkpoint").write_bytes(content)
    diagnostic = refusal(tmp_path / "checkpoint")
    assert "M404" == diagnostic.code
    assert words in diagnostic.message


FILES = {
    "model.msgpack": serialization.msgpack_serialize({"w": np.ones(1)}),
    "streaming_params": msgpack.packb((["w"], serialization.to_bytes(np.ones(1)))),
}


@pytest.mark.parametrize("name", [*FILES, "model.npz"])
def test_a_folder_with_one_checkpoint_file_is_that_file(tmp_path, name):
    if name in FILES:
        (tmp_path / name).write_bytes(FILES[name])
    else:
        np.savez(tmp_path / name, w=np.ones(1))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "dataset.pkl").write_bytes(pickle.dumps({}))
    (tmp_path / "logs").mkdir()
    check_reader(lambda: open_reader(tmp_path))
    with open_reader(tmp_path) as reader:
        assert [("w",)] == list(reader.abstract().tree.leaves)
        (note,) = [note for note in reader.abstract().notes if note.code == "M407"]
        assert [tmp_path / name] == list(reader.files())
    assert ("config.json", "dataset.pkl", "logs") == note.paths


def test_a_folder_with_two_checkpoint_files_is_not_guessed_between(tmp_path):
    (tmp_path / "a.msgpack").write_bytes(FILES["model.msgpack"])
    np.savez(tmp_path / "b.npz", w=np.ones(1))
    diagnostic = refusal(tmp_path)
    assert "M405" == diagnostic.code
    assert "`a.msgpack`, `b.npz`" in diagnostic.message
    assert f"name one of them: `{tmp_path / 'a.msgpack'}`" == diagnostic.help


def test_a_folder_with_a_file_and_a_checkpoint_below_is_not_guessed_between(tmp_path, managed):
    (tmp_path / "both").mkdir()
    np.savez(tmp_path / "both" / "b.npz", w=np.ones(1))
    shutil.copytree(managed, tmp_path / "both" / "run")
    assert "M405" == refusal(tmp_path / "both").code


def test_the_only_file_may_not_lead_out_of_its_folder(tmp_path):
    (tmp_path / "a.msgpack").write_bytes(FILES["model.msgpack"])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.msgpack").symlink_to(tmp_path / "a.msgpack")
    assert "M415" == refusal(tmp_path / "folder").code


def test_a_directory_without_a_checkpoint_says_what_it_holds(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    diagnostic = refusal(tmp_path)
    assert "M401" == diagnostic.code
    assert "`model.bin`" in diagnostic.help


def test_a_relative_path_still_reads_after_the_directory_changed(written, monkeypatch, tmp_path):
    folder = written("plain_zarr2", "typical")
    monkeypatch.chdir(folder.parent)
    with open_reader(folder.name) as reader:
        monkeypatch.chdir(tmp_path)
        assert (4, 3) == reader.read(("params", "Dense_0", "kernel")).shape


def test_a_step_with_an_unfinished_item_is_not_the_latest(root):
    (root / "ckpt_000010" / "params").rename(root / "ckpt_000010" / "params.orbax-checkpoint-tmp")
    with open_reader(root) as reader:
        assert 1 == reader.abstract().step
    assert "M409" == refusal(root, step=10).code


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_that_may_not_be_read_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\x80")
    path.chmod(0)
    assert "Permission denied" in refusal(path).message


def test_a_row_of_the_table_is_all_that_a_new_format_needs(tmp_path):
    path = write_tiny(tmp_path / "old", np.ones((2, 3), np.float32))
    assert "M401" == refusal(path).code
    formats = (TINY, *FORMATS)
    check_reader(lambda: open_reader(path, formats=formats))
    with open_reader(path, formats=formats) as reader:
        assert ("tiny", [path]) == (reader.abstract().format, list(reader.files()))
    assert "M406" == refusal(path, step=3, formats=formats).code
    assert "M406" == refusal(path, item="params", formats=formats).code


def test_the_first_row_that_recognizes_a_path_opens_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(serialization.msgpack_serialize({"w": np.ones(1)}))
    anything = replace(TINY, recognizes=lambda _: True, open=lambda *_: pytest.fail("the last row was asked"))
    open_reader(path, formats=(*FORMATS, anything)).close()


def test_what_can_be_read_is_listed_from_the_table(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    for formats in (FORMATS, (*FORMATS, TINY)):
        assert f"what can be read: {', '.join(row.name for row in formats)}" == refusal(path, formats=formats).help


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_every_row_is_asked_about_files_and_directories(tmp_path, row):
    (tmp_path / "file").write_bytes(b"hello")
    (tmp_path / "folder").mkdir()
    assert not row.recognizes(tmp_path / "file")
    assert not row.recognizes(tmp_path / "folder")


def test_steps_of_a_root_come_before_safetensors_files_beside_them(written, tmp_path):
    shutil.copytree(written("ocdbt_zarr2", "typical"), tmp_path / "checkpoint_3")
    save_file({"w": np.ones(2, np.float32)}, tmp_path / "model.safetensors")
    with open_reader(tmp_path) as reader:
        assert 3 == reader.abstract().step
