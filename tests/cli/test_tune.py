"""`migrate tune`, and `--for` of `apply`, `plan` and `inspect`; covers `chunks` as well."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import migrate

SIDE = 512
PARTITION = '- "**/kernel": [null, model]\n- "emb": [data, model]\n'


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint that one device saved, with two chunks that suit no mesh and one array that is small."""
    rng = np.random.default_rng(0)
    tree = {
        "layers": {str(n): {"kernel": rng.standard_normal((SIDE, SIDE), np.float32)} for n in range(2)},
        "emb": rng.standard_normal((SIDE, SIDE), np.float32),
        "bias": np.ones(SIDE, np.float32),
        "step": 7,
    }
    path = tmp_path_factory.mktemp("saved") / "old"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


@pytest.fixture
def work(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "old")
    (tmp_path / "p.yaml").write_text(PARTITION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FOR = ("--for", "data=2,model=4", "--partition", "p.yaml")


def chunks(path):
    with migrate.open_checkpoint(path) as checkpoint:
        return {"/".join(p): leaf.storage.chunks for p, leaf in checkpoint.tree.leaves.items() if leaf.kind == "array"}


def values(path):
    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore(path.absolute()))


def equal(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other))


def test_a_tuned_copy_has_the_same_values_in_chunks_for_the_mesh(run, work):
    result = run("tune", "old", "new", *FOR)
    assert 0 == result.exit_code, result.output
    assert "the worst decodes 4" in result.stdout
    assert "Decoded more than once: `emb` 8× → 1×, `layers/{0..1}/kernel` 4× → 1×." in result.stdout.replace("\n", " ")
    assert {"layers/0/kernel": (512, 128), "layers/1/kernel": (512, 128), "emb": (256, 128), "bias": (512,)} == chunks(
        "new"
    )
    assert equal(values(work / "old"), values(work / "new"))


def moved():
    """The bytes that system calls of this process have read and written so far."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"]), int(counts["wchar"])


def stored(path):
    """The bytes of the chunks of a checkpoint."""
    return sum(file.stat().st_size for file in path.rglob("d/*"))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count bytes")
@pytest.mark.parametrize("loads", [FOR, ("--for", "any")], ids=["mesh", "any"])
def test_every_byte_of_both_checkpoints_is_read_once_and_written_once(run, work, loads):
    assert (
        0 == run("tune", "old", "first", *loads, "--link", "never").exit_code
    )  # which imports what the next one needs
    before = moved()
    assert 0 == run("tune", "old", "new", *loads, "--link", "never").exit_code
    read, written = (now - then for now, then in zip(moved(), before, strict=True))
    small = 200_000  # metadata, indexes, the journal
    assert stored(work / "old") + stored(work / "new") <= read + small
    assert read <= stored(work / "old") + stored(work / "new") + small
    assert written <= stored(work / "new") + small


def test_a_copy_that_is_tuned_already_is_linked(run, work):
    assert 0 == run("tune", "old", "new", *FOR).exit_code
    result = run("tune", "new", "again", *FOR, "--json")
    assert {"relink"} == {task["mode"] for task in json.loads(result.stdout)["tasks"] if task["targets"] != ["step"]}
    assert chunks("new") == chunks("again")


def test_the_same_command_again_is_done_already(run, work):
    assert 0 == run("tune", "old", "new", *FOR).exit_code
    assert json.loads(run("tune", "old", "new", *FOR, "--json").stdout)["already_done"]
    other = run("tune", "old", "new", "--for", "data=2,model=2", "--partition", "p.yaml")
    assert "M501" in other.output


@pytest.mark.parametrize("option", [("--link", "never"), ("--compact",)])
def test_a_copy_that_shares_no_file_has_the_chunks_for_the_mesh_too(run, work, option):
    assert 0 == run("tune", "old", "linked", *FOR).exit_code
    result = run("tune", "old", "new", *FOR, *option)
    assert 0 == result.exit_code, result.output
    assert (256, 128) == chunks("new")["emb"]
    assert chunks("linked") == chunks("new")
    assert equal(values(work / "old"), values(work / "new"))


def test_without_a_mesh_every_mesh_is_served(run, work):
    result = run("tune", "old", "new", "--json")
    (load,) = json.loads(result.stdout)["reads"]
    assert load["mesh"] is None
    assert load["leaves"]["emb"]["today"] > 100
    assert load["leaves"]["emb"]["after"] <= 8
    assert "M560" in {one["code"] for one in json.loads(result.stdout)["diagnostics"]}


def test_a_dry_run_writes_nothing_and_has_the_figures_of_each_mesh(run, work):
    result = run("tune", "old", "new", *FOR, "--for", "data=1,model=8", "-n", "--json")
    first, second = json.loads(result.stdout)["reads"]
    assert ({"data": 2, "model": 4}, 8) == (first["mesh"], first["devices"])
    assert ({"data": 1, "model": 8}, 8) == (second["mesh"], second["devices"])
    assert {"today": 8.0, "after": 1.0} == first["leaves"]["emb"] == second["leaves"]["emb"]
    assert not (work / "new").exists()


def test_the_last_sentence_of_a_dry_run_stays_the_last(run, work):
    assert "Nothing was written." == run("tune", "old", "new", *FOR, "-n").stdout.strip().splitlines()[-1]


MODEL = """
import jax.numpy as jnp
from flax import nnx


class Annotated(nnx.Module):
    def __init__(self):
        self.emb = nnx.Param(jnp.zeros((512, 512)), sharding_names=("data", "model"))


def make():
    return Annotated()
"""


def test_the_annotations_of_a_template_are_specs(run, work, monkeypatch):
    monkeypatch.syspath_prepend(work)
    (work / "annotated_model.py").write_text(MODEL)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(work / "emb", {"emb": np.ones((SIDE, SIDE), np.float32)})
    result = run("tune", "emb", "new", "--template", "annotated_model:make", "--for", "data=2,model=4")
    assert 0 == result.exit_code, result.output
    assert {"emb": (256, 128)} == chunks("new")


def test_apply_chooses_chunks_in_the_same_run(run, work):
    (work / "r.yaml").write_text('migrate: 1\nrules: ["layers/{i}/kernel -> blocks/{i}/kernel"]\n')
    result = run("apply", "r.yaml", "old", "new", *FOR)
    assert 0 == result.exit_code, result.output
    assert (512, 128) == chunks("new")["blocks/0/kernel"]


def test_the_dry_run_of_apply_with_a_mesh_has_the_figures_of_that_mesh(run, work):
    mesh = ("--mesh", "data=2,model=4", "--partition", "p.yaml")
    (load,) = json.loads(run("apply", "portable", "old", "new", *mesh, "-n", "--json").stdout)["reads"]
    assert ({"data": 2, "model": 4}, {"today": 8.0, "after": 1.0}) == (load["mesh"], load["leaves"]["emb"])
    assert "reads" not in json.loads(run("apply", "portable", "old", "new", "-n", "--json").stdout)


def test_a_plan_file_has_the_chunks(run, work):
    assert 0 == run("plan", "portable", "old", *FOR, "-o", "plan.json").exit_code
    assert [[256, 128]] == json.loads((work / "plan.json").read_text())["target"]["chunks"]["emb"]
    assert 0 == run("apply", "plan.json", "old", "new").exit_code
    assert (256, 128) == chunks("new")["emb"]


def test_inspect_has_the_figures_today_and_after_tune(run, work):
    result = run("inspect", "old", *FOR, "--json")
    (load,) = json.loads(result.stdout)["reads"]
    assert {"today": 4.0, "after": 1.0} == load["leaves"]["layers/0/kernel"]
    text = run("inspect", "old", *FOR).stdout
    assert "Read by data=2,model=4, 8 devices: the worst decodes" in text
    assert "Read by" not in run("inspect", "old").stdout


@pytest.mark.parametrize("command", [("inspect", "old"), ("tune", "old", "new", "-n")])
def test_a_mesh_over_which_nothing_is_divided_is_refused(run, work, command):
    result = run(*command, "--for", "data=2,model=4")
    assert 1 == result.exit_code
    assert "error[M561]: no array is divided over `data=2,model=4`" in result.output


def test_a_single_file_has_no_chunks(run, work):
    result = run("tune", "old", "new.safetensors")
    assert 2 == result.exit_code
    assert "`new.safetensors` is a single file, which has no chunks" in result.output


@pytest.mark.parametrize("command", [("inspect", "old"), ("tune", "old", "new"), ("inspect", "old", "--for", "any")])
def test_a_partition_needs_a_mesh(run, work, command):
    result = run(*command, "--partition", "p.yaml")
    assert 2 == result.exit_code
    assert "a partition needs a mesh" in result.output


def test_any_stands_alone(run, work):
    result = run("tune", "old", "new", *FOR, "--for", "any")
    assert 2 == result.exit_code
    assert "`--for any` stands for every mesh up to 16×16" in result.output


def test_a_partition_that_matches_nothing_is_an_error(run, work):
    (work / "p.yaml").write_text("- nothing: [data]\n- emb: [data]\n")
    result = run("tune", "old", "new", *FOR)
    assert 1 == result.exit_code
    assert "`nothing` matches no array" in result.output


def test_the_steps_of_a_root_are_tuned(run, work):
    (work / "root").mkdir()
    for step in (1, 2):
        shutil.copytree(work / "old", work / "root" / str(step) / "default")
    result = run("tune", "root", "new", *FOR, "--step", "all")
    assert 0 == result.exit_code, result.output
    assert [(256, 128)] * 2 == [chunks(work / "new" / step / "default")["emb"] for step in ("1", "2")]


def test_an_upgrade_takes_a_partition_for_the_loads_alone(run, work):
    (work / "rules").mkdir()
    guards = "source: {model: m, version: 1}\ntarget: {model: m, version: 2}\n"
    (work / "rules/0002.yaml").write_text(f'migrate: 1\n{guards}rules: ["layers/** -> blocks/**"]\n')
    result = run("upgrade", "rules", "old", "new", "--from", "1", *FOR)
    assert 0 == result.exit_code, result.output
    assert ((512, 128), (256, 128)) == (chunks("new")["blocks/0/kernel"], chunks("new")["emb"])
