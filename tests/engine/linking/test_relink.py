"""Linked and streamed checkpoints are bit-equal; linking touches no array byte and does not depend on the source.

Covers `linking.link` and `linking.source_values` as well.
"""

import json
import os
import re
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from orbax.checkpoint.experimental import v1

from migrate.dtypes import to_numpy
from migrate.engine import run
from migrate.engine.items import item_of, item_plans
from migrate.engine.linking import copy_chunks
from migrate.engine.linking.link import find_links
from migrate.engine.linking.relink import SOURCE, relink
from migrate.engine.options import ApplyOptions
from migrate.engine.verification.links import check_links
from migrate.errors import CheckpointError, MigrateError, VerifyError
from migrate.events import PhaseStarted
from migrate.formats.zarr.references import read_value, references
from migrate.planning.planner import make_plan
from migrate.planning.relink import copied_tasks
from migrate.rules.loader import parse_rules
from tests.engine.sources import apply_plan, opened, plan_for

LAYERS = 3
DTYPES = {"kernel": "float32", "half": "bfloat16", "four": "int4", "eight": "float8_e4m3fn"}
"""The matrices of a layer."""


def layer(seed):
    """Arrays of one layer; every value differs from the values of other layers, but for those of few bits."""
    values = (np.arange(24).reshape(4, 6) + 100 * seed).astype(np.float32)
    matrices = {name: jnp.asarray(values.astype(to_numpy(dtype))) for name, dtype in DTYPES.items() if dtype != "int4"}
    few = jnp.asarray((np.arange(24).reshape(4, 6) % 8 - seed).astype(to_numpy("int4")))
    return {**matrices, "four": few, "bias": jnp.asarray(np.full(6, seed, np.float32))}


def tree():
    matrix = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"q": matrix, "k": matrix + 50, "row": matrix[:1]}
    return {
        **{f"layer_{i}": layer(i) for i in range(LAYERS)},
        **jax.tree.map(jnp.asarray, arrays),
        "key": jax.random.split(jax.random.key(7), 2),
        "step": 7,
    }


def save(path, content, zarr3):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(content))
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["zarr2", "zarr3"])
def zarr3(request):
    return request.param


@pytest.fixture(scope="module")
def source(zarr3, tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", tree(), zarr3)


@pytest.fixture(scope="module")
def plain_source(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "old"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(path, args=ocp.args.PyTreeSave(tree()))
    return path


RULES = {
    "keep": "[]",
    "rename": '["layer_{i}/** -> layers/{i}/**"]',
    "swap": '["q -> k", "k -> q"]',
    "rename a key": '["key -> rng/key"]',
    "drop": '[drop: "layer_0/**"]',
    "tie": "[{from: q, to: [q, head]}]",
    "stack 0": '[{from: "layer_{i}/{n}", to: "layers/{n}", ops: [{stack: {axis: 0, over: i}}]}]',
    "stack 1": '[{from: "layer_{i}/{n}", to: "layers/{n}", ops: [{stack: {axis: 1, over: i}}]}]',
    "concat": "[{from: [q, k], to: qk, ops: [{concat: {axis: 1}}]}]",
    "expand_dims": "[{from: q, to: q, ops: [{expand_dims: 1}]}]",
    "squeeze": "[{from: row, to: row, ops: [{squeeze: 0}]}]",
    "reshape": "[{from: q, to: q, ops: [{reshape: [2, 12]}]}]",
    "rearrange": '[{from: q, to: q, ops: [{rearrange: {pattern: "d (h k) -> d h k", sizes: {h: 2}}}]}]',
}

COPIED = ("keep", "rename", "tie", "stack 1", "concat", "reshape", "swap")
"""Rules of which some are copied instead of linked."""


def plan_of(reader, rules, link=True):
    text = f"migrate: 1\nfollow: off\nrules: {rules}"
    return make_plan(reader.abstract(), parse_rules(text, "rules.yaml"), None, link=link)


def applied(source, target, rules, link=True):
    with opened(source) as reader:
        plan = plan_of(reader, rules, link)
        run.apply(plan, reader, target)
        return plan


def restored(path):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


def words(leaf):
    is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert words(mine).dtype == words(theirs).dtype
        assert words(mine).shape == words(theirs).shape
        assert words(mine).tobytes() == words(theirs).tobytes()


@pytest.mark.sample(2)
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_linked_and_streamed_checkpoints_are_bit_equal(source, tmp_path, rules):
    plan = applied(source, tmp_path / "linked", rules)
    assert {"relink"} == {task.mode for task in plan.tasks if task.sources != (("step",),)}
    streamed = applied(source, tmp_path / "streamed", rules, link=False)
    assert {"stream"} == {task.mode for task in streamed.tasks}
    found = restored(tmp_path / "linked")
    assert_equal(restored(tmp_path / "streamed"), found)
    assert_equal(found, v1.load(tmp_path / "linked"))


def test_a_stacked_array_is_unstacked_by_links(source, tmp_path):
    stack = '[{from: "layer_{i}/{n}", to: "layers/{n}", ops: [{stack: {axis: 0, over: i}}]}]'
    unstack = '[{from: "layers/{n}", to: "layer_{i}/{n}", ops: [{unstack: {axis: 0, over: i}}]}]'
    applied(source, tmp_path / "stacked", stack)
    plan = applied(tmp_path / "stacked", tmp_path / "again", unstack)
    assert {"relink"} == {task.mode for task in plan.tasks if task.sources != (("step",),)}
    assert_equal(restored(source), restored(tmp_path / "again"))


@pytest.mark.parametrize(
    "rules",
    ["[{from: q, to: q, ops: [transpose]}]", "[{from: q, to: q, ops: [{cast: bfloat16}]}]"],
    ids=["transpose", "cast"],
)
def test_bytes_that_change_are_streamed_beside_linked_ones(source, tmp_path, rules):
    plan = applied(source, tmp_path / "new", rules)
    assert ["stream"] == [task.mode for task in plan.tasks if task.sources == (("q",),)]
    assert "relink" in [task.mode for task in plan.tasks]
    streamed = applied(source, tmp_path / "streamed", rules, link=False)
    assert streamed.digest != plan.digest
    assert_equal(restored(tmp_path / "streamed"), restored(tmp_path / "new"))


def test_the_result_outlives_its_source_a_move_and_a_copy(tmp_path, zarr3):
    source = save(tmp_path / "old", tree(), zarr3)
    before = restored(source)
    applied(source, tmp_path / "new", "[]")
    shutil.rmtree(source)
    (tmp_path / "new").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    shutil.rmtree(tmp_path / "moved")
    assert_equal(before, restored(tmp_path / "copied"))


def test_no_array_byte_is_read_or_written(tmp_path, zarr3):
    big = {f"layer_{i}": jnp.asarray(np.random.default_rng(i).standard_normal(1 << 18, np.float32)) for i in range(4)}
    source = save(tmp_path / "old", big, zarr3)
    with opened(source) as reader:
        plan = plan_of(reader, '["layer_{i} -> layers/{i}"]')
        assert (0, 0, 0) == (plan.bytes_read, plan.bytes_written, plan.peak_host_bytes)
        before = traffic()
        run.apply(plan, reader, tmp_path / "new")
        assert traffic() - before < 100_000  # B-tree nodes and array metadata; the arrays have 4 MiB
    assert sum(leaf.nbytes for leaf in big.values()) > 4_000_000


def traffic():
    """Bytes that TensorStore has read from files and written to files."""
    metrics = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_")
    return sum(value["value"] for metric in metrics for value in metric["values"])


def test_files_of_dropped_arrays_are_not_linked(tmp_path):
    source = save(tmp_path / "old", {"a": jnp.ones(1 << 18), "b": jnp.arange(1 << 18)}, False)
    applied(source, tmp_path / "new", "[drop: b]")
    assert {"a"} == set(restored(tmp_path / "new"))
    assert linked_files(tmp_path / "new") == {entry.file for entry in chunk_entries(tmp_path / "new").values()}


def linked_files(checkpoint):
    """The files of the source's databases below a new checkpoint, relative to it."""
    folders = checkpoint.glob(f"{SOURCE}*")
    return {str(path.relative_to(checkpoint)) for folder in folders for path in folder.rglob("*") if path.is_file()}


def chunk_entries(checkpoint):
    """The references to linked files."""
    return {key: entry for key, entry in references(checkpoint).items() if entry.file.startswith(SOURCE)}


def dead_bytes(source, target, rules):
    with opened(source) as reader:
        return run.apply(plan_of(reader, rules), reader, target).dead_bytes


def test_dead_bytes_are_the_bytes_of_linked_files_that_no_chunk_needs(tmp_path, zarr3):
    source = save(tmp_path / "old", {"a": jnp.arange(5000.0), "b": jnp.arange(3000.0)}, zarr3)
    kept = dead_bytes(source, tmp_path / "kept", "[]")
    size = sum((tmp_path / "kept" / file).stat().st_size for file in linked_files(tmp_path / "kept"))
    assert kept == size - sum(entry.length for entry in chunk_entries(tmp_path / "kept").values())
    assert kept == dead_bytes(source, tmp_path / "tied", "[{from: a, to: [a, tied]}]")


def written_together(source, *keys):
    """References to values after they are written again into one data file; with bad timing, TensorStore makes two."""
    database = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{source}/"}).result()
    for _ in range(50):
        transaction = ts.Transaction()
        for key in keys:
            database.with_transaction(transaction).write(key, database.read(key).result().value).result()
        transaction.commit_async().result()
        found = [references(source)[key] for key in keys]
        if len({reference.file for reference in found}) == 1:
            return found
    raise AssertionError(f"{keys} were never written into one file")


def test_a_dropped_array_in_a_file_that_is_needed_is_dead_bytes(tmp_path):
    source = save(tmp_path / "old", {"a": jnp.arange(5000.0), "b": jnp.arange(3000.0)}, False)
    a, b = written_together(source, "a/0", "b/0")
    size = (source / a.file).stat().st_size
    assert size - a.length - b.length == dead_bytes(source, tmp_path / "kept", "[]")
    assert size - a.length == dead_bytes(source, tmp_path / "dropped", "[drop: b]")


def rewritten(tmp_path):
    """A checkpoint with a large and a small array in one data file, and rules that change the large one."""
    large = jnp.asarray(np.random.default_rng(0).standard_normal((300, 200), np.float32))
    source = save(tmp_path / "old", {"large": large, "small": jnp.arange(3000.0)}, False)
    written_together(source, "large/0.0", "small/0")
    return source, "[{from: large, to: large, ops: [{transpose: [1, 0]}]}, {from: small, to: kept}]"


def test_chunks_are_copied_from_a_file_of_which_little_is_needed(tmp_path):
    source, rules = rewritten(tmp_path)
    assert 0 == dead_bytes(source, tmp_path / "new", rules)

    assert set() == linked_files(tmp_path / "new")
    before, after = references(source)["small/0"], references(tmp_path / "new")["kept/0"]
    assert read_value(before, source) == read_value(after, tmp_path / "new")
    assert np.array_equal(np.arange(3000, dtype=np.float32), restored(tmp_path / "new")["kept"])


def test_the_receipt_counts_chunks_of_files_that_are_not_linked(tmp_path):
    source, rules = rewritten(tmp_path)
    with opened(source) as reader:
        plan = plan_of(reader, rules)
        receipt = run.apply(plan, reader, tmp_path / "new")
    assert (1, 1) == (receipt.linked, receipt.copied)
    assert plan.bytes_read + 12000 == receipt.bytes_read
    assert plan.bytes_written + 12000 == receipt.bytes_written


def test_copied_chunks_are_compared_with_the_source(tmp_path):
    source, rules = rewritten(tmp_path)
    applied(source, tmp_path / "new", rules)
    after = references(tmp_path / "new")["kept/0"]
    with opened(source) as reader:
        plan = plan_of(reader, rules)
        links = find_links(plan, reader, item_of(item_plans(plan)))
        assert 1 == check_links(links, tmp_path / "new")
        with (tmp_path / "new" / after.file).open("r+b") as file:
            file.seek(after.offset + 40)
            file.write(b"?")
        with pytest.raises(VerifyError, match="`kept`: chunk `kept/0` does not have the bytes of `small/0`"):
            check_links(links, tmp_path / "new")


def test_all_that_a_source_has_in_a_file_is_linked_however_little_it_is(tmp_path):
    source, _ = rewritten(tmp_path)
    database = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{source}/"}).result()
    database.write("large/0.0", database.read("large/0.0").result().value).result()  # what it was is dead now
    file = references(source)["small/0"].file
    assert file != references(source)["large/0.0"].file

    assert (source / file).stat().st_size // 2 < dead_bytes(source, tmp_path / "new", "[small -> kept]")
    assert 2 == len(linked_files(tmp_path / "new"))


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", COPIED)
def test_encoded_chunks_are_copied_where_nothing_may_be_shared(source, tmp_path, name):
    with opened(source) as reader:
        plan = plan_of(reader, RULES[name])
        plan = replace(plan, tasks=copied_tasks(plan.tasks))
        assert "relink" not in {task.mode for task in plan.tasks}
        assert 0 == run.apply(plan, reader, tmp_path / "copied").dead_bytes
    assert set() == linked_files(tmp_path / "copied")
    assert set() == inodes(source) & inodes(tmp_path / "copied")
    applied(source, tmp_path / "linked", RULES[name])
    assert_equal(restored(tmp_path / "linked"), restored(tmp_path / "copied"))
    values = [values_of_chunks(tmp_path / folder) for folder in ("linked", "copied")]
    assert values[0] == values[1]


def inodes(checkpoint):
    """The data files of a checkpoint, by which two names of one file are recognized."""
    return {file.stat().st_ino for file in checkpoint.rglob("*") if file.is_file() and file.parent.name == "d"}


def values_of_chunks(checkpoint):
    return {key: read_value(entry, checkpoint) for key, entry in references(checkpoint).items()}


def test_copied_chunks_are_not_decoded_unless_that_is_asked_for(tmp_path):
    source = save(tmp_path / "old", {"a": jnp.arange(5000.0)}, False)
    entry = references(source)["a/0"]
    with (source / entry.file).open("r+b") as file:
        file.seek(entry.offset + entry.length // 2)
        file.write(bytes(200))
    with opened(source) as reader:
        plan = plan_of(reader, "[]")
        plan = replace(plan, tasks=copied_tasks(plan.tasks))
        with pytest.raises(VerifyError):
            run.apply(plan, reader, tmp_path / "decoded", ApplyOptions(verify="decode"))
        run.apply(plan, reader, tmp_path / "copied")
    assert values_of_chunks(source)["a/0"] == values_of_chunks(tmp_path / "copied")["a/0"]


def test_relinking_twice_into_one_store_gives_the_same_arrays(tmp_path, zarr3):
    source = save(tmp_path / "old", {"a": jnp.arange(5000.0), "b": jnp.arange(3000.0)}, zarr3)
    with opened(source) as reader:
        plan = plan_of(reader, "[drop: b]")
        links = find_links(plan, reader, item_of(item_plans(plan)))
    stores = {links[0].item.name: tmp_path / "store"}
    once = relink(links, stores)
    assert linked_files(tmp_path / "store")
    assert once == relink(links, stores)
    check_links(links, tmp_path / "store")


def test_a_missing_chunk_publishes_nothing(tmp_path):
    source = save(tmp_path / "old", {"a": jnp.ones(8)}, False)
    base = {"driver": "file", "path": f"{source}/"}
    database = ts.KvStore.open({"driver": "ocdbt", "base": base}).result()
    database.delete_range(ts.KvStore.KeyRange("a/0", "a/1")).result()
    with opened(source) as reader, pytest.raises(CheckpointError, match="lacks chunks of `a`"):
        run.apply(plan_of(reader, "[]"), reader, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_link_to_other_bytes_fails_verification(source, tmp_path):
    applied(source, tmp_path / "new", '["layer_0/kernel -> layer_1/kernel", "layer_1/kernel -> layer_0/kernel"]')
    with opened(source) as reader:
        plan = plan_of(reader, "[]")
        links = find_links(plan, reader, item_of(item_plans(plan)))
        with pytest.raises(VerifyError) as failure:
            check_links(links, tmp_path / "new")
    assert {"layer_0/kernel", "layer_1/kernel"} == {path for d in failure.value.diagnostics for path in d.paths}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", COPIED)
def test_encoded_chunks_of_plain_zarr_are_copied(plain_source, tmp_path, name):
    plan = applied(plain_source, tmp_path / "copied", RULES[name])
    assert {"copy"} == {task.mode for task in plan.tasks if task.sources != (("step",),)}
    applied(plain_source, tmp_path / "streamed", RULES[name], link=False)
    assert_equal(restored(tmp_path / "streamed"), restored(tmp_path / "copied"))


def test_a_missing_chunk_of_plain_zarr_publishes_nothing(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": jnp.ones(8), "b": jnp.ones(8)}))
    (tmp_path / "old" / "a" / "0").unlink()
    with (
        opened(tmp_path / "old") as reader,
        pytest.raises(CheckpointError, match="0` is missing, and `a` is stored in it"),
    ):
        run.apply(plan_of(reader, "[]"), reader, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("zarr3", [False, True], ids=["zarr2", "zarr3"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_array_metadata_that_tensorstore_refuses_publishes_nothing(tmp_path, zarr3, name):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": jnp.ones(8), "b": jnp.ones((2, 2))}))
    file = tmp_path / "old" / name / ("zarr.json" if zarr3 else ".zarray")
    fields = json.loads(file.read_text())
    file.write_text(json.dumps({**fields, "zarr_format": 5 - fields["zarr_format"]}))
    with pytest.raises(CheckpointError, match=f"`{name}`"):
        applied(tmp_path / "old", tmp_path / "new", "[b -> c]")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["a", "b"])
def test_metadata_of_the_same_encoding_is_opened_for_each_content(tmp_path, name):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=True)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": jnp.ones(8), "b": jnp.ones((2, 2))}))
    file = tmp_path / "old" / name / "zarr.json"
    file.write_text(file.read_text().replace('"regular"', '"regulas"'))
    with pytest.raises(CheckpointError, match=f"`{name}`"):
        applied(tmp_path / "old", tmp_path / "new", "[b -> c]")
    assert not (tmp_path / "new").exists()


def test_a_linked_file_that_ends_before_a_chunk_is_refused_by_the_name_that_it_has_in_the_source(tmp_path, zarr3):
    source = save(tmp_path / "old", {"a": jnp.arange(5000.0), "b": jnp.arange(3000.0)}, zarr3)
    (key,) = [key for key in references(source) if key.startswith("a/") and not key.endswith(("json", "zarray"))]
    file = source / references(source)[key].file
    with opened(source) as reader:
        plan = plan_of(reader, "[]")
        links = find_links(plan, reader, item_of(item_plans(plan)))
        os.truncate(file, references(source)[key].offset + 1)
        with pytest.raises(CheckpointError, match=f"`{re.escape(str(file))}` is damaged: it ends before byte"):
            relink(links, {"": tmp_path / "store"})


def test_every_batch_of_copied_chunks_is_written(plain_source, tmp_path, monkeypatch):
    monkeypatch.setattr(copy_chunks, "COPY_BYTES", 100)
    applied(plain_source, tmp_path / "new", RULES["rename"])
    applied(plain_source, tmp_path / "streamed", RULES["rename"], link=False)
    assert_equal(restored(tmp_path / "streamed"), restored(tmp_path / "new"))


def test_dimension_names_of_the_source_do_not_restrict_the_rank_of_the_target(tmp_path):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=True)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"q": jnp.arange(24.0).reshape(4, 6)}))
    file = tmp_path / "old" / "q" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "dimension_names": ["x", "y"]}))
    plan = applied(tmp_path / "old", tmp_path / "new", "[{from: q, to: q, ops: [{expand_dims: 1}]}]")
    assert ["copy"] == [task.mode for task in plan.tasks]
    assert np.array_equal(np.arange(24.0).reshape(4, 1, 6), restored(tmp_path / "new")["q"])


@pytest.mark.parametrize(("ocdbt", "mode"), [(True, "relink"), (False, "copy")])
def test_an_array_without_dimensions_is_linked(tmp_path, zarr3, ocdbt, mode):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": jnp.float32(3)}))
    plan = applied(tmp_path / "old", tmp_path / "new", "[a -> b]")
    assert [mode] == [task.mode for task in plan.tasks]
    assert 3 == restored(tmp_path / "new")["b"]


def replaced(file):
    file.write_bytes(b"something else" * 40)


@pytest.mark.parametrize("change", [replaced, lambda file: file.write_bytes(b"")], ids=["replaced", "emptied"])
@pytest.mark.parametrize("ocdbt", [True, False])
def test_metadata_that_is_replaced_during_a_relink_is_one_sentence_about_the_source(tmp_path, change, ocdbt):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt)) as checkpointer:
        checkpointer.save(tmp_path / "old", args=ocp.args.PyTreeSave({"a": np.ones((4, 4))}))
    file = tmp_path / "old" / ("manifest.ocdbt" if ocdbt else "a/.zarray")
    before = file.read_bytes()

    def listener(event):
        if isinstance(event, PhaseStarted) and event.phase == "commit":
            change(file)

    with opened(tmp_path / "old") as reader, pytest.raises(MigrateError) as refusal:
        apply_plan(plan_for(reader), reader, tmp_path / "new", listener=listener)
    assert str(tmp_path / "old") in refusal.value.diagnostics[0].message
    assert not (tmp_path / "new").exists()
    file.write_bytes(before)
    with opened(tmp_path / "old") as reader:
        apply_plan(plan_for(reader), reader, tmp_path / "new")
