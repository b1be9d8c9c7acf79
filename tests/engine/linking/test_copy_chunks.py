"""Encoded chunks are copied by several threads, from a source that is read once."""

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from migrate.engine.items import item_of, item_plans
from migrate.engine.linking import copy_chunks
from migrate.engine.linking.link import find_links
from migrate.engine.linking.relink import relink
from migrate.engine.verification.links import check_links
from migrate.errors import CheckpointError, VerifyError
from migrate.formats.zarr.references import references
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from tests.engine.sources import opened

RANDOM = np.random.default_rng(0)
LARGE = RANDOM.standard_normal((1100, 1000), np.float32)  # beyond the bytes of a group
TREE = {"large": LARGE, **{f"w{i}": RANDOM.standard_normal((100, 200), np.float32) for i in range(40)}}


@pytest.fixture
def source(tmp_path):
    """Plain zarr: each chunk is a file."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({k: jnp.asarray(v) for k, v in TREE.items()}))
    return tmp_path / "old"


@pytest.fixture(params=["ocdbt", "zarr"])
def copied(request, source, tmp_path):
    """Links whose chunks were copied into a store, and the store."""
    links = links_of(source, request.param)
    assert {len(TREE)} == {len(links), len(relink(links, {links[0].item.name: tmp_path / "store"}).arrays)}
    return links, tmp_path / "store"


def links_of(source, layout):
    target = "target: {layout: zarr}" if layout == "zarr" else ""
    rules = parse_rules(f"migrate: 1\n{target}\nrules: [large -> moved]", "rules.yaml")
    with opened(source) as reader:
        plan = make_plan(reader.abstract(), rules, None)
        return find_links(plan, reader, item_of(item_plans(plan)))


def characters_read():
    """The bytes that system calls of this process have read so far."""
    with open("/proc/self/io") as file:
        return int(dict(line.split(": ") for line in file)["rchar"])


def test_the_verification_compares_with_what_was_read_and_does_not_read_the_source_again(source, copied):
    links, store = copied
    before = characters_read()
    assert len(TREE) == check_links(links, store)
    stored = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    assert stored * 0.9 < characters_read() - before < stored * 1.2
    for chunk in [*source.glob("w*/0.0"), source / "large" / "0.0"]:
        chunk.unlink()
    assert len(TREE) == check_links(links, store)


def test_a_process_that_did_not_copy_the_chunks_compares_them_with_the_source(source, copied):
    links, store = copied
    found = links_of(source, "zarr" if links[0].item.plain else "ocdbt")
    assert len(TREE) == check_links(found, store)
    (source / "w7" / "0.0").write_bytes(b"other")
    with pytest.raises(VerifyError, match=r"`w7`: chunk `w7/0\.0`"):
        check_links(found, store)


@pytest.mark.parametrize("name", ["w7", "moved"])
def test_a_copy_that_is_damaged_in_the_target_is_found(copied, name):
    links, store = copied
    file, at = store / name / "0.0", 40
    if not links[0].item.plain:
        entry = references(store)[f"{name}/0.0"]
        file, at = store / entry.file, entry.offset + 40
    with file.open("r+b") as content:
        content.seek(at)
        content.write(b"?!")
    with pytest.raises(VerifyError, match=rf"`{name}`: chunk `{name}/0\.0`"):
        check_links(links, store)


@pytest.mark.parametrize("layout", ["ocdbt", "zarr"])
@pytest.mark.parametrize("name", ["w7", "large"])
def test_a_chunk_that_is_cut_off_ends_the_copying(source, tmp_path, layout, name):
    file = source / name / "0.0"
    file.write_bytes(file.read_bytes()[:-1])
    links = links_of(source, layout)
    with pytest.raises(CheckpointError, match=name):
        relink(links, {links[0].item.name: tmp_path / "store"})


def test_large_arrays_are_in_no_group_and_groups_keep_the_order_and_their_limits(source, monkeypatch):
    links = links_of(source, "zarr")
    monkeypatch.setattr(copy_chunks, "_GROUP_ARRAYS", 3)
    groups, large = copy_chunks._groups(links)
    assert [link for link in links if link.path != ("moved",)] == [link for group in groups for link in group]
    assert (["moved"], 3) == ([link.name for link in large], max(map(len, groups)))
    monkeypatch.setattr(copy_chunks, "_GROUP_BYTES", 2 * 80_000)
    assert {2} == set(map(len, copy_chunks._groups(link for link in links if link.path != ("moved",))[0]))
