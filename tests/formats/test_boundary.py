"""A checkpoint that links out of itself, or holds pipes and devices, is refused before anything of it is read."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import msgpack
import numpy as np
import pytest

import migrate
from migrate.errors import CheckpointError
from migrate.formats.detect import open_reader
from tests.cli.conftest import pack


@contextmanager
def in_moments(seconds=20):
    """Fails instead of waiting for a pipe for ever."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(path):
    with in_moments(), pytest.raises(CheckpointError) as caught, open_reader(path) as reader:
        reader.read_all()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help
    return diagnostic


def read(path, **options):
    with in_moments(), open_reader(path, **options) as reader:
        return reader.read_all()


def linked_out(entry: Path, tmp_path: Path) -> None:
    """Moves an entry out of its checkpoint and leaves a link to it."""
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    place = outside / f"{len(list(outside.iterdir()))}"
    shutil.move(entry, place)
    entry.symlink_to(place)


def index_of(tmp_path):
    from safetensors.numpy import save_file

    folder = tmp_path / "hub"
    folder.mkdir()
    save_file({"w": np.ones(3, np.float32)}, folder / "model-00001-of-00001.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"w": "model-00001-of-00001.safetensors"}}')
    return folder


def flax_with_arrays(tmp_path):
    """A msgpack file and the folder of the arrays that are stored beside it."""
    import tensorstore as ts

    root = tmp_path / "flax"
    root.mkdir()
    (root / "ckpt").write_bytes(msgpack.packb({"a": pack(np.zeros(2, "float32")), "w": "//GDAPlaceholder:w"}))
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{root}/ckpt_gda/w/"}}
    ts.open(spec, create=True, dtype=ts.float32, shape=[3]).result()[:] = np.ones(3, np.float32)
    return root / "ckpt"


PARTS = [
    ("ocdbt_zarr2", "_METADATA"),
    ("ocdbt_zarr2", "_sharding"),
    ("ocdbt_zarr2", "array_metadatas"),
    ("ocdbt_zarr2", "array_metadatas/process_0"),
    ("ocdbt_zarr2", "manifest.ocdbt"),
    ("ocdbt_zarr2", "d"),
    ("ocdbt_zarr2", "d/*"),
    ("ocdbt_zarr2", "ocdbt.process_0"),
    ("ocdbt_zarr2", "ocdbt.process_0/manifest.ocdbt"),
    ("ocdbt_zarr2", "ocdbt.process_0/d/*"),
    ("plain_zarr2", "params.Dense_0.kernel"),
    ("plain_zarr2", "params.Dense_0.kernel/.zarray"),
    ("plain_zarr2", "params.Dense_0.kernel/0.0"),
    ("plain_zarr3", "params.Dense_0.kernel/zarr.json"),
    ("plain_zarr3", "params.Dense_0.kernel/c"),
]


def part(folder, pattern):
    return sorted(folder.glob(pattern))[0]


@pytest.mark.parametrize(("writer", "pattern"), PARTS)
def test_a_link_that_leads_out_is_refused_wherever_it_is(copy_of, tmp_path, writer, pattern):
    folder = copy_of(writer)
    linked_out(part(folder, pattern), tmp_path)
    diagnostic = refusal(folder)
    assert "M415" == diagnostic.code
    assert f"{part(folder, pattern)}` is a link" in diagnostic.message
    assert "--follow-links" in diagnostic.help


@pytest.mark.sample(2)
@pytest.mark.parametrize(("writer", "pattern"), PARTS)
def test_links_that_lead_out_are_followed_on_request(written, copy_of, tmp_path, writer, pattern):
    folder = copy_of(writer)
    linked_out(part(folder, pattern), tmp_path)
    expected = read(written(writer, "typical"))
    assert expected.keys() == read(folder, follow_links=True).keys()
    (tmp_path / "r.yaml").write_text("migrate: 1\nrules: []\n")
    with migrate.open_checkpoint(folder, follow_links=True) as source:
        migrate.apply(migrate.plan(source, tmp_path / "r.yaml"), source, tmp_path / "new")
    assert [] == [path for path in (tmp_path / "new").rglob("*") if path.is_symlink()]
    shutil.rmtree(tmp_path / "outside")
    found = read(tmp_path / "new")
    assert all(np.array_equal(value, found[path]) for path, value in expected.items())


@pytest.mark.parametrize(("writer", "pattern"), PARTS)
def test_links_inside_a_checkpoint_are_read(written, copy_of, writer, pattern):
    folder = copy_of(writer)
    entry = part(folder, pattern)
    inside = folder / "d" / "moved"
    inside.parent.mkdir(exist_ok=True)
    if pattern == "d":
        pytest.skip("the folder for the moved entry")
    shutil.move(entry, inside)
    entry.symlink_to(os.path.relpath(inside, entry.parent))
    if writer.startswith("plain"):
        (inside.parent / ".zarray").write_text("{}")  # `d` is no folder of a database
    assert read(written(writer, "typical")).keys() == read(folder).keys()


@pytest.mark.parametrize(("writer", "pattern"), PARTS)
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipe_or_socket_is_refused_and_does_not_block(copy_of, monkeypatch, writer, pattern, kind):
    folder = copy_of(writer)
    entry = part(folder, pattern)
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if kind == "pipe":
        os.mkfifo(entry)
    else:
        monkeypatch.chdir(entry.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(entry.name)
    diagnostic = refusal(folder)
    assert "M415" == diagnostic.code
    assert f"is a {kind}" in diagnostic.message


def test_a_device_behind_a_link_is_refused_even_if_links_are_followed(copy_of):
    folder = copy_of()
    (folder / "d" / "zero").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="is a device"):
        read(folder, follow_links=True)


def test_a_source_may_itself_be_a_link(copy_of, tmp_path):
    (tmp_path / "latest").symlink_to(copy_of())
    assert read(tmp_path / "latest")


def test_steps_are_read_inside_their_root_only(written, tmp_path):
    root = tmp_path / "root"
    for step in ("1", "2"):
        shutil.copytree(written("plain_zarr2", "typical"), root / step / "default")
    name = "params.Dense_0.kernel"
    shutil.rmtree(root / "2" / "default" / name)
    (root / "2" / "default" / name).symlink_to(root / "1" / "default" / name)
    assert read(root)
    assert "M415" == refusal(root / "2").code
    shutil.move(root / "1", tmp_path / "outside")
    (root / "1").symlink_to(tmp_path / "outside")
    assert "M415" == refusal(root).code
    with open_reader(root, follow_links=True) as reader:
        assert (1, 2) == reader.abstract().steps


def test_a_step_that_is_its_own_root_is_checked_to_the_bottom(written, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(written("plain_zarr2", "typical"), root / "default")
    (root / "5").symlink_to(".")
    linked_out(root / "default" / "params.Dense_0.kernel" / "0.0", tmp_path)
    assert "M415" == refusal(root / "5").code
    assert "M415" == refusal(root).code


def test_json_items_and_metadata_of_a_root_are_not_read_from_elsewhere(written, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(written("plain_zarr2", "typical"), root / "1" / "default")
    (root / "metadata").mkdir()
    (tmp_path / "secret").write_text('{"password": "x"}')
    (root / "metadata" / "_ROOT_METADATA").symlink_to(tmp_path / "secret")
    assert "M415" == refusal(root).code
    shutil.rmtree(root / "metadata")
    (root / "1" / "info").mkdir()
    (root / "1" / "info" / "metadata").symlink_to(tmp_path / "secret")
    assert "M415" == refusal(root).code
    assert "M415" == refusal(root / "1").code
    assert "M415" == refusal(root / "1" / "info").code


@pytest.mark.parametrize("name", ["model-00001-of-00001.safetensors", "model.safetensors.index.json"])
def test_parts_and_index_of_safetensors_are_not_read_from_elsewhere(tmp_path, name):
    folder = index_of(tmp_path)
    linked_out(folder / name, tmp_path)
    assert "M415" == refusal(folder).code
    assert read(folder, follow_links=True)
    if name.endswith("safetensors"):
        assert "M415" == refusal(folder / "model.safetensors.index.json").code
        assert read(folder / "model.safetensors.index.json", follow_links=True)
    else:
        assert read(folder / name)  # named by the caller


def test_arrays_beside_a_msgpack_file_are_not_read_from_elsewhere(tmp_path):
    file = flax_with_arrays(tmp_path)
    assert 2 == len(read(file))
    chunk = file.with_name("ckpt_gda") / "w" / "0"
    linked_out(chunk, tmp_path)
    assert "M415" == refusal(file).code
    shutil.move(file.with_name("ckpt_gda"), tmp_path / "gda")
    file.with_name("ckpt_gda").symlink_to(tmp_path / "gda")
    assert "M415" == refusal(file).code
    assert 2 == len(read(file, follow_links=True))


def test_a_pipe_among_the_arrays_beside_a_msgpack_file_does_not_block(tmp_path):
    file = flax_with_arrays(tmp_path)
    for name in ("0", ".zarray"):
        entry = file.with_name("ckpt_gda") / "w" / name
        entry.unlink()
        os.mkfifo(entry)
        assert "M415" == refusal(file).code


def test_a_name_that_is_not_utf_8_is_refused_in_a_sentence(copy_of, tmp_path):
    folder = copy_of()
    (folder / os.fsdecode(b"d\xff")).mkdir()
    assert "not UTF-8" in refusal(folder).message
    odd = tmp_path / os.fsdecode(b"odd\xff")
    shutil.copytree(folder, odd)
    assert "not UTF-8" in refusal(odd).message
    (tmp_path / "link").symlink_to(odd)
    assert "not UTF-8" in refusal(tmp_path / "link").message


def test_an_outside_file_does_not_get_into_a_result(copy_of, tmp_path):
    folder = copy_of()
    linked_out(part(folder, "ocdbt.process_0/d/*"), tmp_path)
    with pytest.raises(CheckpointError):
        migrate.open_checkpoint(folder)
