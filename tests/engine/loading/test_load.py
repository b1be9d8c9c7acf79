"""`migrate.load`: every leaf is that of Orbax's typed restore, or nothing changes; covers `loading.loaded_leaves`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import migrate
from migrate.dtypes import to_numpy
from migrate.engine.loading import jobs, loaded_leaves
from migrate.errors import CheckpointError, MigrateError, PlanError, RefusedError, UsageError
from migrate.template import restore_target
from migrate.template.parts import states_of
from tests.engine.loading import training
from tests.engine.loading.comparing import compared, placed, restored_pytree
from tests.engine.sources import every_kind, save
from tests.matrix import examples, sampled, values_to_run
from tests.oracle.cases import CASES
from tests.planning.versions.chains import SOURCES, random_rules

ROOT = Path(__file__).parents[3]
FIXTURES = [case.name for case in CASES if case.checkpoint.exists()]
NO_RULES = "migrate: 1\nrules: []\n"


@pytest.fixture(scope="module")
def on_eight_devices(request, tmp_path_factory):
    """The rows of each case that runs, of one process with eight devices."""
    work, names = tmp_path_factory.mktemp("eight"), values_to_run(request, "name")
    command = [sys.executable, "-m", "tests.engine.loading.eight_devices", work, *names]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {name: [row for row in rows if row["case"] == name] for name in names}


@pytest.mark.parametrize("name", ["training", *sampled(FIXTURES, every=40)])
def test_every_leaf_equals_the_typed_restore_of_the_migrated_copy_shardings_included(name, on_eight_devices):
    rows = on_eight_devices[name]
    assert len(rows) == (12 if name == "training" else 8)
    assert [] == [row for row in rows if row["differ"] or not row["leaves"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training.save(tmp_path_factory.mktemp("trained"))


@pytest.fixture(params=["usual", "as if all arrays were large"])
def sizes(request, monkeypatch):
    if request.param != "usual":
        monkeypatch.setattr(jobs, "SMALL_BYTES", -1)


def migrated(source, rules, folder, template=None):
    with migrate.open_checkpoint(source) as checkpoint:
        migrate.apply(migrate.plan(checkpoint, rules, template), checkpoint, folder / "new")
    return folder / "new"


@pytest.mark.usefixtures("sizes")
def test_a_training_state_is_the_one_that_orbax_restores_and_takes_a_step(trained, tmp_path):
    source, rules = trained
    abstract = jax.tree.map(lambda leaf: placed(leaf, None), restore_target(training.MODEL))
    expected = restored_pytree(migrated(source, rules, tmp_path, training.MODEL), abstract)
    made = migrate.load(source, rules, training.MODEL)
    assert {"leaves": 22, "differ": []} == compared(expected, states_of(made))
    assert (7, "old", [2**40, 1, -2]) == (made["step"], made["name"], made["big"].tolist())
    gradients = jax.tree.map(jnp.ones_like, nnx.state(made["model"], nnx.Param))
    made["opt"].update(made["model"], gradients)
    assert made["opt"].opt_state[0].count[...] == 2


def every_kind_and_text():
    return {**every_kind(), "text": "x"}


def test_every_kind_of_leaf_is_what_orbax_restores(tmp_path):
    tree = every_kind_and_text()
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", tree)
    (tmp_path / "rules.yaml").write_text(NO_RULES)
    abstract = jax.tree.map(lambda leaf: placed(leaf, None) if isinstance(leaf, jax.Array) else leaf, tree)
    expected = restored_pytree(tmp_path / "old", abstract)
    made = migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into=tree)
    assert {"leaves": len(jax.tree.leaves(tree)), "differ": []} == compared(expected, made)
    assert jax.tree.structure(tree) == jax.tree.structure(made)
    assert made["wide"].flags.writeable
    assert [2**40, -1] == made["wide"].tolist()


def test_a_number_of_numpy_keeps_its_type(tmp_path):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "old", {"n": np.int64(2**40)})
    (tmp_path / "rules.yaml").write_text(NO_RULES)
    made = migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into={"n": np.int64(0)})
    assert (np.int64, 2**40) == (type(made["n"]), made["n"])


def test_an_array_without_elements_is_loaded(tmp_path):
    (tmp_path / "old.msgpack").write_bytes(serialization.to_bytes({"a": np.zeros((0, 3), np.float32)}))
    (tmp_path / "rules.yaml").write_text(NO_RULES)
    into = {"a": jax.ShapeDtypeStruct((0, 3), jnp.float32)}
    made = migrate.load(tmp_path / "old.msgpack", tmp_path / "rules.yaml", into=into)["a"]
    assert (True, (0, 3), jnp.float32) == (isinstance(made, jax.Array), made.shape, made.dtype)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_a_jax_array_of_64_bits_is_refused_where_jax_would_narrow_it(tmp_path):
    save(tmp_path / "old", {"n": np.array([2**40])})
    (tmp_path / "rules.yaml").write_text(NO_RULES)
    with pytest.raises(PlanError) as error:
        migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into={"n": jax.ShapeDtypeStruct((1,), np.int64)})
    (found,) = error.value.diagnostics
    assert ("M701", ("n",)) == (found.code, found.paths)
    assert "int64" in found.message
    assert "int32" in found.message
    made = migrate.load(tmp_path / "old", tmp_path / "rules.yaml", into={"n": np.zeros(1, np.int64)})
    assert 2**40 == made["n"][0]


class Watched(nnx.Module):
    """A model of two params."""

    def __init__(self):
        self.a = nnx.Param(jnp.zeros((4, 4)))
        self.b = nnx.Param(jnp.ones(3))


@pytest.fixture
def pair(tmp_path):
    save(tmp_path / "old", {"a": jnp.arange(16.0).reshape(4, 4), "c": jnp.arange(3.0)})
    rules = tmp_path / "rules.yaml"
    rules.write_text("migrate: 1\nrules: [{from: c, to: b, ops: [{scale: 2}]}]\n")
    return tmp_path / "old", rules


def test_a_live_model_is_updated_in_place_and_keeps_its_variables(pair):
    model = Watched()
    variables = (model.a, model.b)
    assert model is migrate.load(*pair, into=model)
    assert variables == (model.a, model.b)
    assert [[0.0, 2.0, 4.0], 15.0] == [model.b[...].tolist(), float(model.a[3, 3])]


def test_an_abstract_model_becomes_real(pair):
    model = nnx.eval_shape(Watched)
    migrate.load(*pair, into=model)
    assert isinstance(model.a.get_value(), jax.Array)
    assert float(model.a[3, 3]) == 15


def test_a_model_is_not_touched_by_a_load_that_fails_late(pair, monkeypatch):
    model = Watched()
    before = jax.tree.map(np.asarray, nnx.state(model))

    def fails(self):
        raise CheckpointError

    monkeypatch.setattr(loaded_leaves.LoadedLeaves, "require_complete", fails)
    with pytest.raises(CheckpointError):
        migrate.load(*pair, into=model)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, nnx.state(model)))


def test_a_leaf_that_is_never_read_is_a_bug_that_is_reported_and_nothing_is_updated(pair, monkeypatch):
    model = Watched()
    monkeypatch.setattr(loaded_leaves.LoadedLeaves, "place", lambda *_: None)
    with pytest.raises(MigrateError, match="without the right value for `a`"):
        migrate.load(*pair, into=model)
    assert float(model.a[3, 3]) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: jnp.zeros((4, 5)),
        lambda: jnp.zeros((4, 4), jnp.bfloat16),
        lambda: np.zeros((4, 4), np.float64),
        lambda: np.zeros((3, 4)),
    ],
)
def test_a_value_of_another_shape_or_dtype_never_reaches_the_model(pair, monkeypatch, wrong):
    def places(self, found):
        self.values[found.path] = wrong()

    monkeypatch.setattr(loaded_leaves.LoadedLeaves, "place", places)
    with pytest.raises((MigrateError, AttributeError)):
        migrate.load(*pair, into=Watched())


def test_a_leaf_that_keeps_the_models_value_keeps_that_of_the_live_model(pair, tmp_path):
    rules = tmp_path / "keeps.yaml"
    rules.write_text("migrate: 1\nunmatched: {source: drop}\nrules: [{create: {to: b, init: template}}]\n")
    model = Watched()
    model.b.set_value(jnp.full(3, 8.0))
    migrate.load(pair[0], rules, into=model)
    assert [8.0, 8.0, 8.0] == model.b[...].tolist()
    with pytest.raises(PlanError) as error:
        migrate.load(pair[0], rules, into=nnx.eval_shape(Watched))
    assert ["M702"] == [found.code for found in error.value.diagnostics]
    assert "`b`" in str(error.value)
    made = migrate.load(pair[0], rules, f"{__name__}:Watched", into=nnx.eval_shape(Watched))
    assert [1.0, 1.0, 1.0] == made.b[...].tolist()


def test_the_plan_is_strict_and_no_array_is_read_before_it_is_refused(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs.LoadJobs, "of", lambda *_: pytest.fail("an array is read"))
    rules = tmp_path / "none.yaml"
    rules.write_text(NO_RULES)
    with pytest.raises(PlanError) as error:
        migrate.load(pair[0], rules, into=Watched())
    assert {"b", "c"} == {path for found in error.value.diagnostics for path in found.paths}


def test_a_shape_that_differs_is_refused(pair):
    into = {"a": jax.ShapeDtypeStruct((4, 5), jnp.float32), "b": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with pytest.raises(PlanError, match=r"4,4.*4,5|4,5.*4,4"):
        migrate.load(*pair, into=into)


def test_casts_that_would_change_values_are_refused_by_name(tmp_path):
    save(tmp_path / "old", {"a": jnp.array([0.1]), "b": jnp.array([0.3])})
    rules = tmp_path / "rules.yaml"
    rules.write_text('migrate: 1\nrules: [{from: "{x}", to: "{x}", ops: [{cast: {to: bfloat16}}]}]\n')
    into = {name: jax.ShapeDtypeStruct((1,), jnp.bfloat16) for name in "ab"}
    with pytest.raises(RefusedError, match="`cast` on `a`"):
        migrate.load(tmp_path / "old", rules, into=into)


def test_dropped_leaves_that_have_to_be_zero_are_read(tmp_path):
    save(tmp_path / "old", {"a": jnp.ones(2), "b": jnp.ones(2)})
    rules = tmp_path / "rules.yaml"
    rules.write_text("migrate: 1\nrules: [{drop: {from: b, assert: zero}}]\n")
    with pytest.raises(RefusedError, match="`b` is dropped with `assert: zero`"):
        migrate.load(tmp_path / "old", rules, into={"a": jax.ShapeDtypeStruct((2,), jnp.float32)})


def test_code_of_a_rule_file_elsewhere_does_not_run(pair, tmp_path):
    rules = tmp_path / "code.yaml"
    rules.write_text('migrate: 1\nrules: [{from: c, to: b, ops: [{call: {function: "numpy:negative"}}]}]\n')
    with pytest.raises(RefusedError, match="numpy:negative"):
        migrate.load(pair[0], rules, into=Watched())
    made = migrate.load(pair[0], rules, into=Watched(), allow_code=True)
    assert [0.0, -1.0, -2.0] == made.b[...].tolist()
    named = tmp_path / "named.yaml"
    named.write_text(f'migrate: 1\ntarget: {{template: "{training.MODEL}"}}\nrules: []\n')
    with pytest.raises(RefusedError, match=re.escape(training.MODEL)):
        migrate.load(pair[0], named)


def test_without_a_model_there_is_nothing_to_load_into(pair):
    with pytest.raises(UsageError, match="names no template"):
        migrate.load(*pair)


def test_a_budget_below_the_least_is_refused(pair):
    with pytest.raises(UsageError, match="too few"):
        migrate.load(*pair, into=Watched(), max_ram=1000)


def test_a_step_is_chosen_from_a_path_and_not_from_an_open_checkpoint(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(NO_RULES)
    with ocp.CheckpointManager(tmp_path / "root") as manager:
        for step in (1, 2):
            manager.save(step, args=ocp.args.StandardSave({"a": jnp.full(2, float(step))}))
    into = {"a": jax.ShapeDtypeStruct((2,), jnp.float32)}
    assert [1.0, 1.0] == migrate.load(tmp_path / "root", rules, into=into, step=1)["a"].tolist()
    assert [2.0, 2.0] == migrate.load(tmp_path / "root", rules, into=into)["a"].tolist()
    with migrate.open_checkpoint(tmp_path / "root") as checkpoint:
        assert [2.0, 2.0] == migrate.load(checkpoint, rules, into=into)["a"].tolist()
        assert [2.0, 2.0] == checkpoint.read("a").tolist()  # it stays open
        with pytest.raises(UsageError, match="is open already"):
            migrate.load(checkpoint, rules, into=into, step=1)


def test_a_source_that_changes_during_the_load_is_refused(pair, monkeypatch):
    run = jobs.LoadJobs.of

    def changes(self, piece):
        for file in pair[0].rglob("_METADATA"):
            file.write_text(file.read_text() + " ")
        return run(self, piece)

    monkeypatch.setattr(jobs.LoadJobs, "of", changes)
    model = Watched()
    with pytest.raises(RefusedError, match="changed during"):
        migrate.load(*pair, into=model)
    assert float(model.a[3, 3]) == 0


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("ocdbt", [True, False])
def test_a_source_that_loses_a_file_is_an_error_that_names_the_leaf(tmp_path, ocdbt):
    training.save(tmp_path, use_ocdbt=ocdbt)
    place = tmp_path / "old"
    with migrate.open_checkpoint(place) as checkpoint:
        if ocdbt:
            max(place.rglob("d/*"), key=lambda file: file.stat().st_size).unlink()
        else:
            shutil.rmtree(place / "params.layer_2.down.kernel")
        with pytest.raises(CheckpointError) as error:
            migrate.load(checkpoint, tmp_path / "rules.yaml", training.MODEL)
    assert str(place) in str(error.value)
    named = {path for found in error.value.diagnostics for path in found.paths}
    assert any("down" in path for path in named) or "down" in str(error.value)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_rules_give_what_apply_writes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("random")
    shapes = {name: [int(n) for n in text.split(",") if n] for name, text in data.draw(SOURCES).items()}
    numbers = np.random.default_rng(0)
    save(folder / "old", {name: jnp.asarray(numbers.standard_normal(s), jnp.float32) for name, s in shapes.items()})
    with migrate.open_checkpoint(folder / "old") as checkpoint:
        rules = data.draw(random_rules(checkpoint.tree))
        (folder / "rules.yaml").write_text(f"migrate: 1\nrules:\n{rules}\n" if rules else NO_RULES)
        plan = migrate.plan(checkpoint, folder / "rules.yaml")
        if not plan.applicable or not plan.target.leaves:
            return
        migrate.apply(plan, checkpoint, folder / "new")
        avals = {path[0]: leaf.aval for path, leaf in plan.target.leaves.items()}
        into = {name: jnp.asarray(np.zeros(aval.shape, to_numpy(aval.dtype))) for name, aval in avals.items()}
        usual = jobs.SMALL_BYTES
        try:
            jobs.SMALL_BYTES = data.draw(st.sampled_from([usual, -1]))
            made = migrate.load(checkpoint, folder / "rules.yaml", into=into)
        finally:
            jobs.SMALL_BYTES = usual
    with ocp.StandardCheckpointer() as checkpointer:
        expected = checkpointer.restore(folder / "new", jax.tree.map(ocp.utils.to_shape_dtype_struct, into))
    assert [] == compared(expected, made)["differ"]


WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
CALLS = (
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "ftruncate,truncate,mknod,rmdir"
)
LOADING = """
import os, sys
CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "shutil")
def audit(event, arguments):
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not str(arguments[0]).startswith(("/dev/", "/proc/", "/sys/")):
            sys.exit(f"opens {arguments[0]} for writing")
    if event.startswith(CHANGES):
        sys.exit(f"{event}: {arguments}")
sys.addaudithook(audit)
import migrate
from tests.engine.loading import training
from migrate.engine.loading import jobs
jobs.SMALL_BYTES = int(sys.argv[3])
print(len(str(migrate.load(sys.argv[1], sys.argv[2], training.MODEL))))
"""
"""A load in a process that ends at the first call of Python that would write."""


@pytest.mark.parametrize("case", sampled([(True, -1), (True, jobs.SMALL_BYTES), (False, -1)], every=3))
def test_a_load_creates_writes_renames_and_links_no_file_and_needs_no_right_to(tmp_path, case):
    ocdbt, small = case
    source, rules = training.save(tmp_path, use_ocdbt=ocdbt)
    before, trace = sorted(tmp_path.rglob("*")), tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", trace] if shutil.which("strace") else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu"}
    environment |= {"TMPDIR": str(tmp_path)}
    load = [*strace, sys.executable, "-c", LOADING, source, rules, str(small)]
    for path in (*source.rglob("*"), source):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = subprocess.run(load, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    finally:
        for path in (source, *source.rglob("*")):
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr[-3000:]
    if strace:
        lines = trace.read_text().splitlines()
        assert any(str(source) in line for line in lines)
        assert [] == [line for line in lines if _writes(line)]
    assert before == sorted(path for path in tmp_path.rglob("*") if path != trace)


def _writes(line):
    """Whether a system call could change the file system; devices and what the kernel shows are no files."""
    call = line.split(maxsplit=1)[-1]
    if call.startswith("<... ") or re.search(r'"/(dev|proc|sys)/', call):  # the first half of a call has its arguments
        return False
    return bool(WRITING.search(call)) if call.startswith("open") else True


def test_a_mesh_of_explicit_axes_serves_as_well(pair):
    mesh = jax.make_mesh((1,), ("x",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    into = {
        "a": jax.ShapeDtypeStruct((4, 4), jnp.float32, sharding=split),
        "b": jax.ShapeDtypeStruct((3,), jnp.float32),
    }
    made = migrate.load(*pair, into=into, mesh=mesh)
    assert [split, mesh] == [made["a"].sharding, made["b"].sharding.mesh]


def test_the_kind_of_memory_of_a_sharding_is_kept(pair):
    kinds = [memory.kind for memory in jax.devices()[0].addressable_memories()]
    for kind in kinds:
        where = jax.sharding.SingleDeviceSharding(jax.devices()[0], memory_kind=kind)
        into = {
            "a": jax.ShapeDtypeStruct((4, 4), jnp.float32, sharding=where),
            "b": jax.ShapeDtypeStruct((3,), jnp.float32, sharding=where),
        }
        assert {kind} == {array.sharding.memory_kind for array in migrate.load(*pair, into=into).values()}
