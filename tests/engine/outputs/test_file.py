"""A single file appears whole and verified, or not at all, within the budget, whatever becomes of the process."""

import json
import os
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from migrate.engine import run
from migrate.engine.outputs import file as file_output
from migrate.engine.outputs.registry import OUTPUTS, output_at, output_of
from migrate.engine.workspace import directory as workspace
from migrate.errors import PlanError, RefusedError, StoppedError, UsageError, VerifyError
from migrate.formats.detect import open_reader
from migrate.formats.safetensors.header import DTYPES
from migrate.testing.readers import same_value
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree
from tests.engine import killed
from tests.engine.outputs.conftest import nobody, written
from tests.engine.sources import MIXED_RULES, apply_plan, every_kind, mixed, opened, plan_for, save
from tests.matrix import values_to_run

FORMATS = {row.suffix[1:]: row.load().form for row in OUTPUTS if row.suffix}
SUFFIXES = sorted(FORMATS)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", every_kind())


def applied(source, target, rules="rules: []", **options):
    with opened(source) as reader:
        return apply_plan(plan_for(reader, rules), reader, target, **options)


# --- what is written is read back as it was

ARRAYS = st.tuples(st.sampled_from(sorted(DTYPES.values())), st.lists(st.integers(0, 3), max_size=3).map(tuple))
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
NOTHING = st.sampled_from([None, (), [], {}])
NAMES = st.sampled_from(["a", "b", "c.d", "e/f", "0", "10", "ü", "*", "kernel", "a.b"])
PLAIN = st.one_of(ARRAYS.map(lambda made: made), SCALARS, NOTHING)
TREES = st.recursive(
    PLAIN,
    lambda below: st.one_of(
        st.dictionaries(NAMES, below, min_size=1, max_size=3), st.lists(below, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def flatten(node, path, leaves, values, containers):
    if isinstance(node, tuple) and node and isinstance(node[0], str):
        dtype, shape = node
        values[path] = (
            np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(getattr(ml_dtypes, dtype, None) or dtype)
        )
        leaves[path] = AbstractLeaf("array", AbstractArray(shape, dtype))
    elif node is None:
        leaves[path], values[path] = AbstractLeaf("none"), None
    elif not isinstance(node, bool | int | float) and not node:
        leaves[path], values[path] = AbstractLeaf("empty", container=type(node).__name__), None
    elif isinstance(node, dict | list):
        if isinstance(node, list):
            containers[path] = "list"
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            flatten(child, (*path, str(key)), leaves, values, containers)
    else:
        dtype = {bool: "bool", int: "int64", float: "float64"}[type(node)]
        leaves[path], values[path] = AbstractLeaf("scalar", AbstractArray((), dtype)), node


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(node=st.dictionaries(NAMES, TREES, min_size=1, max_size=3))
def test_reading_what_was_written_gives_back_the_tree_and_its_values(suffix, node, tmp_path_factory):
    leaves, values, containers = {}, {}, {}
    flatten(node, (), leaves, values, containers)
    tree = AbstractTree.build(leaves.items(), containers)
    path = tmp_path_factory.mktemp("law") / f"x.{suffix}"
    assume(not any(problem.is_error for problem in FORMATS[suffix].problems(tree)))
    held = written(FORMATS[suffix], tree, values, path)
    with open_reader(path, unbox="never") as reader:
        found = reader.abstract()
        assert held.signature == found.tree.signature
        assert held.containers == found.tree.containers
        for key, value in reader.read_all().items():
            assert value is None or same_value(np.asarray(values[key]), np.asarray(value)), key
        if suffix == "safetensors":
            assert tree.signature == found.tree.signature
        if suffix == "safetensors" or any(leaf.kind == "array" and leaf.aval.size for leaf in leaves.values()):
            assert {"model": "m"} == found.metadata["migrate"]


# --- what has no place there

WORDS = "{from: key, to: key, ops: [key_data]}"
CURES = {
    "safetensors": {"key": WORDS, "i4": "{drop: i4}"},
    "msgpack": {"key": WORDS},
}
"""For each format, the leaves of `every_kind` that it refuses, each with the rule that cures it."""


def cure(suffix, *others):
    return f"rules: [{', '.join((*CURES[suffix].values(), *others))}]"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_everything_that_has_no_place_is_named_at_once_before_anything_is_read(source, tmp_path, suffix, monkeypatch):
    with opened(source) as reader:
        monkeypatch.setattr(reader, "read", lambda _: pytest.fail("it was read"))
        plan = plan_for(reader)
        with pytest.raises(PlanError) as refusal:
            run.apply(plan, reader, tmp_path / f"new.{suffix}")
    assert CURES[suffix].keys() == {path for d in refusal.value.diagnostics for path in d.paths}
    assert {"M512"} == {d.code for d in refusal.value.diagnostics}
    assert all("drop:" in d.help for d in refusal.value.diagnostics)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("verify", ["digest", "full"])
def test_the_cure_is_the_one_that_was_named(source, tmp_path, suffix, verify):
    receipt = applied(source, tmp_path / f"new.{suffix}", cure(suffix), verify=verify)
    assert receipt.verified_leaves
    with open_reader(tmp_path / f"new.{suffix}") as new, opened(source) as old:
        assert np.array_equal(old.read(("key",))["fry"], new.read(("key",)))
        for path in new.abstract().tree.leaves.keys() - {("key",)}:
            assert same_value(np.asarray(old.read(path)), np.asarray(new.read(path))), path


def test_leaves_without_data_come_back_and_that_only_migrate_knows_them_is_said(source, tmp_path):
    with opened(source) as reader:
        plan = output_of("new.safetensors").fit(plan_for(reader, cure("safetensors")))
        run.apply(plan, reader, tmp_path / "new.safetensors")
    (note,) = [d for d in plan.diagnostics if d.severity == "note"]
    assert ("M512", ("empty", "opt/1")) == (note.code, note.paths)
    with open_reader(tmp_path / "new.safetensors") as reader:
        tree = reader.abstract().tree
    assert "empty dict" == str(tree.leaves["empty",])
    assert ("none", "list") == (tree.leaves["opt", "1"].kind, tree.container(("opt",)))


def test_fitting_twice_is_fitting_once(source):
    for suffix in SUFFIXES:
        with opened(source) as reader:
            once = output_of(f"new.{suffix}").fit(plan_for(reader, cure(suffix)))
        twice = output_of(f"new.{suffix}").fit(once)
        assert (once, once.digest) == (twice, twice.digest)


@pytest.mark.parametrize("name", ["new.npy", "new.pt", "new.H5"])
def test_a_suffix_of_another_format_is_no_name_for_a_directory(source, tmp_path, name):
    with pytest.raises(UsageError, match="files are not written"):
        applied(source, tmp_path / name)


def test_a_file_is_not_compressed(source, tmp_path):
    with pytest.raises(UsageError, match="is not compressed"):
        applied(source, tmp_path / "new.safetensors", cure("safetensors"), compression="zstd:3")


def test_several_items_become_one_tree(source, tmp_path):
    rules = f"{cure('msgpack')}\ntarget: {{layout: items}}"
    applied(source, tmp_path / "new.msgpack", rules)
    with open_reader(tmp_path / "new.msgpack") as reader:
        assert ("params", "kernel") in reader.abstract().tree.leaves


# --- it appears at once, or not at all


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_file_is_replaced_only_when_asked(source, tmp_path, suffix):
    target = tmp_path / f"new.{suffix}"
    applied(source, target, cure(suffix))
    before = target.stat().st_ino
    with pytest.raises(RefusedError):
        applied(source, target, cure(suffix, "{from: nothing, to: nowhere, optional: true}"))
    assert applied(source, target, cure(suffix)).already_done
    assert before == target.stat().st_ino
    applied(source, target, cure(suffix), overwrite=True)
    assert before != target.stat().st_ino
    assert [target] == list(tmp_path.iterdir())
    with open_reader(target) as reader:
        assert 7 == reader.read(("step",))


def test_a_file_that_appears_meanwhile_is_not_replaced(source, tmp_path):
    target = tmp_path / "new.msgpack"
    with pytest.raises(StoppedError):
        applied(source, target, cure("msgpack"), listener=lambda _: target.write_text("mine"))
    assert "mine" == target.read_text()
    target.unlink()
    assert applied(source, target, cure("msgpack")).resumed


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("verify", ["digest", "full"])
def test_a_byte_that_changed_is_found_and_nothing_is_published(tmp_path, suffix, verify, monkeypatch):
    source = save(tmp_path / "old", mixed())

    def corrupt(old, new):
        content = bytearray(old.read_bytes())
        content[len(content) // 2] ^= 1  # in the large array
        new.write_bytes(content)

    monkeypatch.setattr(file_output, "link_file", corrupt)
    with pytest.raises(VerifyError) as failure:
        applied(source, tmp_path / f"new.{suffix}", "rules: [{drop: step}]", verify=verify)
    assert {"M505"} == {d.code for d in failure.value.diagnostics}
    assert ["old"] == [child.name for child in tmp_path.iterdir()]


def test_verification_of_an_existing_file_finds_what_was_never_meant(source, tmp_path):
    target = tmp_path / "new.safetensors"
    applied(source, target, cure("safetensors"))
    output = output_at(target)
    with opened(source) as reader:
        plan = output.fit(plan_for(reader, cure("safetensors", "{drop: lr}")))
        with pytest.raises(VerifyError) as failure:
            output.check_values(plan, reader, target, nobody)
    assert ["`lr`: it is not in the plan"] == [d.message for d in failure.value.diagnostics]


# --- killed, and resumed


@pytest.fixture(scope="module")
def mixed_source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("source") / "old", mixed())


@pytest.fixture(scope="module")
def all_remains(request, mixed_source, tmp_path_factory):
    """A directory for every file and moment that a test needs, with what a kill at that moment left."""
    cases = {f"new.{suffix}": values_to_run(request, "moment", remains=suffix) for suffix in SUFFIXES}
    return killed.leave_remains(mixed_source, tmp_path_factory.mktemp("remains"), cases)


@pytest.fixture(scope="module", params=SUFFIXES)
def remains(request, all_remains):
    """A file's name, and the directories of its moments."""
    name = f"new.{request.param}"
    return name, all_remains / name


@pytest.mark.sample(3)
@pytest.mark.parametrize("moment", killed.FILE_MOMENTS)
def test_the_same_call_completes_what_a_kill_cut_off(remains, mixed_source, moment, tmp_path):
    name, left = remains
    folder = shutil.copytree(left / moment, tmp_path / "copy")
    found = {child.name for child in folder.iterdir()} - {"error"}
    if moment == "cleaning":
        assert name in found
    elif not moment.startswith("after"):
        assert not any(child == name for child in found)
    receipt = applied(mixed_source, folder / name, MIXED_RULES, overwrite=name in found)
    assert [name] == sorted(child.name for child in folder.iterdir() if child.name != "error")
    if moment == "leaf-3":
        assert 3 == receipt.resumed
    applied(mixed_source, tmp_path / name, MIXED_RULES)
    assert without_dates(tmp_path / name) == without_dates(folder / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_published_right_before_a_kill_is_never_written_to_again(tmp_path, mixed_source, suffix, monkeypatch):
    target, before = tmp_path / f"new.{suffix}", tmp_path / "before"
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "_discard", lambda _: None)  # what a kill leaves: DST and its working directory
        applied(mixed_source, target, MIXED_RULES)
    os.link(target, before)
    content = before.read_bytes()
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (left / "LOCK").unlink()
    monkeypatch.setattr(run, "publish", lambda *_, **__: None)
    assert not applied(mixed_source, target, MIXED_RULES, overwrite=True).resumed
    assert content == before.read_bytes()
    assert before.stat().st_mtime_ns == target.stat().st_mtime_ns


def without_dates(path):
    with open_reader(path) as reader:
        found = reader.abstract()
        record = {**found.metadata.get("migrate", {}), "code": ""}  # the working tree may change while tests run
        history = [{**row, "date": ""} for row in record.get("history", ())]
        values = {key: np.asarray(value).tobytes() for key, value in reader.read_all().items()}
    return found.tree, json.dumps({**record, "history": history}), values


# --- memory

MEASURED = """
import re, sys
from pathlib import Path
from migrate.engine import run
from migrate.engine.options import ApplyOptions
from tests.engine.sources import opened, plan_for

def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10

with opened(Path(sys.argv[1])) as reader:
    plan = plan_for(reader, "rules: []")
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    run.apply(plan, reader, Path(sys.argv[2]), ApplyOptions(max_ram=64 << 20, jobs=2))
print(peak() - before)
"""


def megabytes(source, target):
    place = [sys.executable, "-c", MEASURED, str(source), str(target)]
    return int(subprocess.run(place, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.matrix
def test_memory_stays_within_the_budget_even_for_a_leaf_that_is_larger(tmp_path, suffix):
    """Also where the source is such a file, or one of NumPy, whose mapped pages count as memory of the process."""
    rng = np.random.default_rng(0)
    arrays = {"large": rng.normal(size=(2000, 10000)), **{f"part/{i}": rng.normal(size=1 << 20) for i in range(4)}}
    np.savez(tmp_path / "old.npz", **arrays)
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    # MiB, of 185 in all: the budget, and what the libraries take
    taken = [megabytes(tmp_path / "old.npz", one), megabytes(one, two)]
    assert 0 < min(taken) <= max(taken) < 120, taken
    for path in (one, two):
        with open_reader(path) as reader:
            assert same_value(arrays["large"], reader.read(("large",)))
