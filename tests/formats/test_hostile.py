"""Damaged and hostile checkpoints: one sentence with the cause and the remedy, quickly, and never a wrong value.

Covers `migrate.formats.files` and `migrate.formats.zarr.store`.
"""

import json
import os
import shutil
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from migrate.testing.readers import check_reader
from tests.matrix import examples

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def refusal(path):
    """The one diagnostic with which opening or reading everything fails, in a moment even on a busy machine."""
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught, open_reader(path) as reader:
        reader.read_all()
    assert time.process_time() - start < 15
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help
    return diagnostic


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_lost_manifest(copy_of):
    folder = copy_of()
    (folder / "manifest.ocdbt").unlink()
    diagnostic = refusal(folder)
    assert "M403" == diagnostic.code
    assert "manifest.ocdbt" in diagnostic.message


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 1000])
def test_a_damaged_manifest(copy_of, content):
    folder = copy_of()
    (folder / "manifest.ocdbt").write_bytes(content)
    assert "M404" == refusal(folder).code


def test_lost_data_files(copy_of):
    folder = copy_of()
    for place in (folder / "d", *folder.glob("ocdbt.process_*/d")):
        shutil.rmtree(place)
    assert "M403" == refusal(folder).code


def test_truncated_data_files(copy_of):
    folder = copy_of()
    for file in (*folder.glob("d/*"), *folder.glob("ocdbt.process_*/d/*")):
        os.truncate(file, file.stat().st_size // 2)
    assert "M404" == refusal(folder).code


@pytest.mark.parametrize("pattern", ["manifest.ocdbt", "d/*", "_METADATA", "_sharding", "array_metadatas/*"])
def test_git_lfs_pointers_anywhere_in_a_database(copy_of, pattern):
    folder = copy_of()
    for file in folder.glob(pattern):
        file.write_text(POINTER)
    diagnostic = refusal(folder)
    assert "M402" == diagnostic.code
    assert "git lfs pull" in diagnostic.help


@pytest.mark.parametrize("pattern", ["params.Dense_0.kernel/.zarray", "params.Dense_0.kernel/0.0", "_METADATA"])
def test_git_lfs_pointers_anywhere_in_folders(copy_of, pattern):
    folder = copy_of("plain_zarr2")
    (folder / pattern).write_text(POINTER)
    assert "M402" == refusal(folder).code


def test_a_git_lfs_pointer_for_a_msgpack_file(tmp_path):
    (tmp_path / "file").write_text(POINTER)
    assert "M402" == refusal(tmp_path / "file").code


def test_a_lost_zarray(copy_of):
    folder = copy_of("plain_zarr2")
    (folder / "params.Dense_0.kernel" / ".zarray").unlink()
    diagnostic = refusal(folder)
    assert ("M403", ("params/Dense_0/kernel",)) == (diagnostic.code, diagnostic.paths)
    assert "begin with a dot" in diagnostic.help


@pytest.mark.parametrize("writer", ["plain_zarr2", "plain_zarr3"])
def test_a_lost_chunk_is_not_zeros(copy_of, writer):
    folder = copy_of(writer)
    next(file for file in (folder / "params.Dense_0.kernel").rglob("0*") if file.is_file()).unlink()
    assert "M403" == refusal(folder).code


def test_a_lost_chunk_of_zarr2_is_not_zeros_in_older_checkpoints_either(copy_of):
    folder = copy_of("plain_zarr2")
    edit_json(folder / "_METADATA", lambda content: content.pop("store_array_data_equal_to_fill_value"))
    (folder / "params.Dense_0.kernel" / "0.0").unlink()
    assert "M403" == refusal(folder).code


def test_a_chunk_of_zeros_that_older_versions_left_out_is_zeros(copy_of):
    folder = copy_of("plain_zarr3")
    edit_json(folder / "_METADATA", lambda content: content.pop("store_array_data_equal_to_fill_value"))
    shutil.rmtree(folder / "params.Dense_0.kernel" / "c")
    with open_reader(folder) as reader:
        assert not reader.read(("params", "Dense_0", "kernel")).any()


def test_a_tree_that_names_arrays_that_are_not_there(copy_of):
    folder = copy_of()
    key = {"key_metadata": [{"key": "ghost", "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(ghost=key))
    diagnostic = refusal(folder)
    assert ("M403", ("ghost",)) == (diagnostic.code, diagnostic.paths)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"tree_metadata": []}',
        '{"tree_metadata": {"a": {}}}',
        '{"tree_metadata": {"a": {"key_metadata": [{"key": "a"}], "value_metadata": {"value_type": "x"}}}}',
        "[" * 100_000,
        '{"tree_metadata": ' * 50_000,
        "\x00",
    ],
)
def test_json_that_describes_no_tree(copy_of, text):
    folder = copy_of()
    (folder / "_METADATA").write_text(text)
    assert "M404" == refusal(folder).code


def test_a_leaf_below_a_leaf(copy_of):
    folder = copy_of()
    below = {"key_metadata": [{"key": "step", "key_type": 2}, {"key": "x", "key_type": 2}]}
    entry = {**below, "value_metadata": {"value_type": "jax.Array"}}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(below=entry))
    assert "both a leaf and a node" in refusal(folder).message


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**9, 10**6]},
        {"shape": [-1, 3]},
        {"shape": "all"},
        {"shape": [True, 3]},
        {"shape": [1] * 100},
        {"chunks": None},
        {"chunks": [4]},
        {"dtype": 7},
        {"compressor": "zip"},
    ],
)
def test_array_metadata_that_contradicts_itself(copy_of, change):
    folder = copy_of("plain_zarr2")
    edit_json(folder / "params.Dense_0.kernel" / ".zarray", lambda content: content.update(change))
    assert refusal(folder).code in ("M404", "M411")


def test_an_unknown_dtype_is_named(copy_of):
    folder = copy_of("plain_zarr2")
    edit_json(folder / "params.Dense_0.kernel" / ".zarray", lambda content: content.update(dtype="<f16"))
    assert "M411" == refusal(folder).code


@pytest.mark.parametrize(
    ("dtype", "content"),
    [("|S7", "byte strings"), ("<U7", "text"), ("|O", "Python objects"), ([["a", "<f4"]], "struct")],
)
def test_an_array_of_text_does_not_bar_the_others(copy_of, dtype, content):
    folder = copy_of("plain_zarr2")
    edit_json(folder / "params.Dense_0.kernel" / ".zarray", lambda content: content.update(dtype=dtype))
    check_reader(lambda: open_reader(folder))
    with open_reader(folder) as reader:
        found = {path: leaf for path, leaf in reader.abstract().tree.leaves.items() if leaf.kind == "opaque"}
        assert [("params", "Dense_0", "kernel")] == list(found)
        assert str(found["params", "Dense_0", "kernel"]).startswith(content)
        assert len(reader.read_all()) == len(reader.abstract().tree.leaves) - 1 > 0


@pytest.mark.parametrize("dtype", ["string", {"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}}])
def test_an_array_of_text_in_zarr_3_does_not_bar_the_others(copy_of, dtype):
    folder = copy_of("plain_zarr3")
    edit_json(folder / "params.Dense_0.kernel" / "zarr.json", lambda content: content.update(data_type=dtype))
    with open_reader(folder) as reader:
        leaf = reader.abstract().tree.leaves["params", "Dense_0", "kernel"]
        assert str(leaf).startswith("text[")


def test_a_size_that_no_file_can_fill_is_not_allocated(copy_of):
    folder = copy_of("plain_zarr3")
    edit_json(folder / "_METADATA", lambda content: content.pop("store_array_data_equal_to_fill_value"))
    edit_json(folder / "params.Dense_0.kernel" / "zarr.json", lambda content: content.update(shape=[2**24, 2**24]))
    diagnostic = refusal(folder)
    assert "M404" == diagnostic.code
    assert "claims" in diagnostic.message


def test_a_size_that_no_file_can_fill_is_not_taken_over_by_reference_either(copy_of):
    folder = copy_of("plain_zarr2")
    place = folder / "params.Dense_0.kernel" / ".zarray"
    edit_json(place, lambda content: content.update(shape=[2**24, 2**24], chunks=[2**24, 2**24]))
    with open_reader(folder) as reader, pytest.raises(CheckpointError) as caught:
        reader.location(("params", "Dense_0", "kernel"))
    assert ["M404"] == [diagnostic.code for diagnostic in caught.value.diagnostics]


@pytest.mark.parametrize("key", ["../outside", "..", "a/../../outside", "..\\outside"])
def test_a_parameter_whose_name_leads_out_is_refused(copy_of, written, key):
    folder = copy_of("plain_zarr2")
    shutil.copytree(folder / "params.Dense_0.kernel", folder.parent / "outside")
    entry = {"key_metadata": [{"key": key, "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(evil=entry))
    assert "M404" == refusal(folder).code


def test_a_placeholder_that_leads_out_is_refused(tmp_path):
    import msgpack

    (tmp_path / "item").mkdir()
    (tmp_path / "item" / "checkpoint").write_bytes(msgpack.packb({"w": "PLACEHOLDER://../../etc"}))
    assert "M404" == refusal(tmp_path / "item").code


def test_a_parameter_that_is_a_link_to_elsewhere_is_refused(copy_of):
    folder = copy_of("plain_zarr2")
    place = folder / "params.Dense_0.kernel"
    shutil.move(place, folder.parent / "outside")
    place.symlink_to(folder.parent / "outside")
    assert "M415" == refusal(folder).code


def test_without_any_record_the_tree_is_inferred_and_a_note_says_so(copy_of):
    folder = copy_of()
    (folder / "_METADATA").unlink()
    with open_reader(folder) as reader:
        checkpoint = reader.abstract()
    assert "float32[4,3]" == str(checkpoint.tree.leaves["params", "Dense_0", "kernel"])
    assert "M410" == checkpoint.notes[0].code


def test_odd_shardings_are_no_reason_to_refuse(copy_of):
    folder = copy_of()
    (folder / "_sharding").write_text(json.dumps({"aG9zdA==": "{not json", "host": 5, "a": ""}))
    with open_reader(folder) as reader:
        assert all(leaf.sharding is None for leaf in reader.abstract().tree.leaves.values())


def test_leaves_that_share_one_array_are_warned_about(copy_of):
    folder = copy_of()
    entry = {"key_metadata": [{"key": "params.Dense_0", "key_type": 2}, {"key": "kernel", "key_type": 2}]}
    entry["value_metadata"] = {"value_type": "jax.Array"}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(twin=entry))
    with open_reader(folder) as reader:
        note = reader.abstract().notes[0]
    assert ("warning", ("params/Dense_0/kernel", "params.Dense_0/kernel")) == (note.severity, note.paths)


def test_nothing_outside_of_numpy_s_own_dtypes_is_evaluated(copy_of):
    folder = copy_of("plain_zarr2")
    edit_json(folder / "params.Dense_0.kernel" / ".zarray", lambda content: content.update(dtype="|O"))
    with open_reader(folder) as reader, pytest.raises(CheckpointError, match="nothing is ever unpickled"):
        reader.read(("params", "Dense_0", "kernel"))


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_database_is_read_or_refused_and_nothing_else(written, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "copy"
    shutil.copytree(written("ocdbt_zarr2", "typical"), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        with open_reader(folder) as reader:
            values = reader.read_all()
    except CheckpointError:
        return
    assert all(value is None or np.asarray(value) is not None for value in values.values())


def test_half_a_character_is_no_text(copy_of):
    folder = copy_of(tree="host")
    (folder / "_strings.json").write_text('{"name": "\\ud800", "deep.text": ""}')
    assert "M404" == refusal(folder).code


def flip(file, position):
    """Another byte at a place of a file."""
    content = bytearray(file.read_bytes())
    content[position] ^= 0xFF
    file.write_bytes(content)


def largest(folder, pattern):
    return max(folder.glob(pattern), key=lambda file: file.stat().st_size)


def msgpack_file(content):
    def write(folder):
        shutil.rmtree(folder)
        folder.write_bytes(content)

    return write


def declare_absent(folder):
    key = {"key_metadata": [{"key": "ghost", "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(ghost=key))


def climb(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "checkpoint").write_bytes(b"\x81\xa1w\xb6PLACEHOLDER://../../etc")


ARRAY_OF_A_TERABYTE = b"\x81\xa1w\xc7\x17\x01\x93\x92\xce\x00\x0f\x42\x40\xce\x00\x0f\x42\x40\xa7float32\xc4\x01\x00"

BROKEN = {
    "truncated msgpack": ("ocdbt_zarr2", msgpack_file(b"\x82\xa1a\x01\xa1b"), "M404"),
    "four billion entries": ("ocdbt_zarr2", msgpack_file(b"\xdf\xff\xff\xff\xff\xa1a\x01"), "M404"),
    "four gigabytes of an array": ("ocdbt_zarr2", msgpack_file(b"\x81\xa1a\xc9\xff\xff\xff\xff\x01\x93"), "M404"),
    "an array of a terabyte": ("ocdbt_zarr2", msgpack_file(ARRAY_OF_A_TERABYTE), "M404"),
    "a recursion bomb": ("ocdbt_zarr2", msgpack_file(b"\x81\xa1a" + b"\x91" * 1_000_000), "M404"),
    "a recursion bomb of JSON": ("ocdbt_zarr2", lambda folder: (folder / "_METADATA").write_text("[" * 10**6), "M404"),
    "a pickle": ("ocdbt_zarr2", msgpack_file(b"\x80\x04\x95cos\nsystem\n"), "M401"),
    "no manifest": ("ocdbt_zarr2", lambda folder: (folder / "manifest.ocdbt").unlink(), "M403"),
    "no data files": ("ocdbt_zarr2", lambda folder: shutil.rmtree(folder / "d"), "M403"),
    "no files that begin with a dot": (
        "plain_zarr2",
        lambda folder: [file.unlink() for file in folder.glob("*/.zarray")],
        "M403",
    ),
    "a pointer for a manifest": ("ocdbt_zarr2", lambda folder: (folder / "manifest.ocdbt").write_text(POINTER), "M402"),
    "a pointer for a file": ("ocdbt_zarr2", msgpack_file(POINTER.encode()), "M402"),
    "a wrong checksum of the manifest": ("ocdbt_zarr2", lambda folder: flip(folder / "manifest.ocdbt", -1), "M404"),
    "a wrong checksum of a node": ("ocdbt_zarr2", lambda folder: flip(largest(folder, "d/*"), -1), "M404"),
    "a damaged chunk": ("plain_zarr2", lambda folder: flip(folder / "params.Dense_0.kernel" / "0.0", 0), "M404"),
    "a truncated chunk": (
        "plain_zarr2",
        lambda folder: os.truncate(folder / "params.Dense_0.kernel" / "0.0", 9),
        "M404",
    ),
    "a lost chunk": ("plain_zarr2", lambda folder: (folder / "params.Dense_0.kernel" / "0.0").unlink(), "M403"),
    "a tree that names absent arrays": ("ocdbt_zarr2", declare_absent, "M403"),
    "a name that leads out": ("ocdbt_zarr2", climb, "M404"),
}


READS = """\
migrate: 1
rules: [{from: params/Dense_0/kernel, to: params/Dense_0/kernel, ops: [{transpose: [1, 0]}]}]
"""


@pytest.mark.parametrize("name", BROKEN)
def test_the_command_says_what_is_wrong_and_what_to_do(copy_of, name):
    """One error, with its cure, without a traceback and at once; where only a chunk is broken, when it is read."""
    from click.testing import CliRunner

    from migrate.cli.main import migrate

    writer, damage, code = BROKEN[name]
    folder = copy_of(writer)
    damage(folder)
    start = time.process_time()
    result = CliRunner().invoke(migrate, ["inspect", str(folder)])
    if result.exit_code == 0:
        rules = folder.parent / "rules.yaml"
        rules.write_text(READS)
        result = CliRunner().invoke(migrate, ["apply", str(rules), str(folder), str(folder.parent / "new")])
    assert time.process_time() - start < 10
    assert (2, 1) == (result.exit_code, result.output.count("error[")), result.output
    assert f"error[{code}]: " in result.output
    assert "= help: " in result.output
    assert "Traceback" not in result.output
    assert not (folder.parent / "new").exists()


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["four billion entries", "an array of a terabyte", "a recursion bomb"])
def test_what_a_file_claims_costs_no_memory(copy_of, name):
    """In a process that may not have more than three gigabytes of addresses."""
    import subprocess
    import sys

    folder = copy_of()
    BROKEN[name][1](folder)
    command = ["sh", "-c", 'ulimit -v 3145728; exec "$@"', "sh", sys.executable, "-m", "migrate", "inspect", folder]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (2, True) == (result.returncode, "error[M404]" in result.stderr), result.stderr


@pytest.mark.parametrize("name", ["/etc/passwd", "//etc/x", "/", "a" * 5000, "a/" * 2000 + "b", "\\", "a\\../b"])
def test_odd_names_of_arrays_are_missed_or_refused(tmp_path, name):
    import msgpack

    (tmp_path / "item").mkdir()
    (tmp_path / "item" / "checkpoint").write_bytes(msgpack.packb({"w": f"PLACEHOLDER://{name}", name: name}))
    assert refusal(tmp_path / "item").code in ("M403", "M404")


def test_a_database_of_2023_whose_nodes_go_in_circles(tmp_path):
    """A root that is its own child: magic, version, no compression; height, one entry, and where it lies."""
    node_id, node = bytes(16), b"\x0c\xdb\x20\xde\0\0" + b"\x01\x01" + b"\0" + b"\x01a"
    place = node_id + b"\0" + bytes([len(node) + 21]) + b"\0\0\0"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / node_id.hex()).write_bytes(node + place)
    configuration = b"a name of its own"[:16] + b"\x64\x64\x04\0"
    versions = b"\x01" + b"\x01" + b"\x01" + place + bytes(8) + b"\0"
    (tmp_path / "manifest.ocdbt").write_bytes(b"\x0c\xdb\x3a\x2a\0\0" + configuration + versions)
    assert "misplaced" in refusal(tmp_path).message


@pytest.mark.parametrize(
    "bomb", [b"\xdd\x00\x98\x96\x80" + b"\xc0" * 10_000_000, b"\x91\xdc\xff\xff" + b"\xc0" * 65_535]
)
def test_a_small_file_with_more_entries_than_any_tree_is_not_built(tmp_path, bomb, monkeypatch):
    monkeypatch.setattr("migrate.formats.flax.msgpack_index.MAX_ENTRIES", 60_000)
    (tmp_path / "file").write_bytes(b"\x81\xa1a" + bomb)
    start = time.process_time()
    diagnostic = refusal(tmp_path / "file")
    assert time.process_time() - start < 10
    assert "more than 60,000 entries" in diagnostic.message


def test_lost_zarrays_of_a_copy_without_metadata_are_named(copy_of):
    folder = copy_of("plain_zarr2")
    for file in (*folder.rglob(".zarray"), *folder.glob("_*METADATA")):
        file.unlink()
    diagnostic = refusal(folder)
    assert "M403" == diagnostic.code
    assert "begin with a dot" in diagnostic.help


def test_a_key_path_that_is_too_deep_is_refused_at_once(copy_of):
    folder = copy_of()
    deep = {"key_metadata": [{"key": "a", "key_type": 2}] * 100_000, "value_metadata": {"value_type": "jax.Array"}}
    edit_json(folder / "_METADATA", lambda content: content["tree_metadata"].update(deep=deep))
    assert "100,000 levels" in refusal(folder).message


def test_a_json_file_that_no_writer_makes_is_not_read(copy_of):
    folder = copy_of()
    os.truncate(folder / "_METADATA", 257 << 20)
    assert "larger than 256 MiB" in refusal(folder).message


def test_a_parameter_whose_link_goes_round_in_a_circle_is_refused(copy_of):
    folder = copy_of("plain_zarr2")
    shutil.rmtree(folder / "params.Dense_0.kernel")
    (folder / "params.Dense_0.kernel").symlink_to("params.Dense_0.kernel")
    assert refusal(folder).code in ("M403", "M404")


def test_a_pipe_is_said_to_be_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe, a device" in refusal(tmp_path / "pipe").message


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.npz"])
def test_the_first_byte_of_another_format_is_no_empty_tree(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80")
    assert "M401" == refusal(tmp_path / name).code
    (tmp_path / "empty").write_bytes(b"\x80")
    with open_reader(tmp_path / "empty") as reader:
        assert [()] == list(reader.abstract().tree.leaves)


def test_a_tree_with_more_levels_than_any_model_is_refused_whatever_its_format(tmp_path):
    np.savez(tmp_path / "deep.npz", **{"/".join(["a"] * 201): np.ones(2)})
    diagnostic = refusal(tmp_path / "deep.npz")
    assert "M404" == diagnostic.code
    assert f"`{tmp_path}/deep.npz` is damaged" in diagnostic.message
    assert "has 201 levels; 200 at most are read" in diagnostic.message
    np.savez(tmp_path / "fits.npz", **{"/".join(["a"] * 200): np.ones(2)})
    with open_reader(tmp_path / "fits.npz") as reader:
        assert 1 == len(reader.read_all())
