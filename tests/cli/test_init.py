"""`migrate init`: what it writes works at once, in the current directory and in others."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import migrate
from tests.test_architecture import PACKAGE

FIXTURES = PACKAGE.parent / "fixtures"


def written(folder="."):
    return {
        path.name: path.read_text() for path in Path(folder).iterdir() if path.name in ("template.py", "rules.yaml")
    }


@pytest.fixture
def empty(here):
    """The directory without the rule file of other tests."""
    Path("rules.yaml").unlink()
    return here


def test_a_template_and_a_rule_file_are_written(run, empty, golden):
    result = run("init", "old.msgpack")

    assert 0 == result.exit_code, result.stderr
    golden("cli/init.txt", result.stdout)
    golden("cli/init.py.txt", written()["template.py"])
    golden("cli/init.yaml", written()["rules.yaml"])


def test_the_commands_that_it_prints_work(run, empty):
    commands = json.loads(run("init", "old.msgpack", "--json").stdout)["next"]
    first, second = (run(*shlex.split(command)[1:]) for command in commands)

    assert 0 == first.exit_code, first.stderr
    assert "7 keep" in first.stdout
    assert 0 == second.exit_code, second.stderr
    assert "7 leaves" in Path("rules.yaml").read_text()


def shell(command):
    """Runs a pasted line, with this package's `migrate` in front."""
    python = shlex.quote(sys.executable)
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "JAX_PLATFORMS": "cpu"}
    line = f'migrate() {{ {python} -m migrate "$@"; }}; {command}'
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("folder", "spec", "start"),
    [
        ("migrations/first", "migrations.first.template:make_state", "migrate apply migrations/first/rules.yaml"),
        ("to-nnx", "template:make_state", "cd to-nnx && migrate apply rules.yaml"),
        ("json", "template:make_state", "cd json && migrate apply rules.yaml"),  # Python has a package of this name
    ],
)
def test_a_folder_is_made_and_its_commands_are_those_that_can_import_it(run, empty, folder, spec, start):
    result = json.loads(run("init", "old.msgpack", folder, "--json").stdout)

    assert [f"{folder}/template.py", f"{folder}/rules.yaml"] == result["files"]
    assert spec == result["template"]
    assert result["next"][0].startswith(start)
    done = shell(result["next"][0])
    assert 0 == done.returncode, done.stderr
    assert "7 keep" in done.stdout


def test_the_current_directory_by_another_name(run, empty):
    Path("link").symlink_to(empty)
    assert "template:make_state" == json.loads(run("init", "old.msgpack", "link", "--json").stdout)["template"]


@pytest.mark.parametrize("existing", ["template.py", "rules.yaml"])
def test_existing_files_are_refused_and_nothing_is_written(run, empty, existing):
    Path(existing).write_text("mine")
    result = run("init", "old.msgpack")

    assert 2 == result.exit_code
    assert f"`{existing}` exists" in result.stderr
    assert {existing: "mine"} == written()
    assert 0 == run("init", "old.msgpack", "--overwrite").exit_code
    assert "mine" not in written().values()
    assert 2 == len(written())


def test_nothing_is_written_where_a_file_cannot_be(run, empty):
    Path("rules.yaml").mkdir()
    result = run("init", "old.msgpack", "--overwrite")

    assert 2 == result.exit_code
    assert "cannot write `template.py` and `rules.yaml`: Is a directory" in result.stderr
    assert not Path("template.py").exists()


def test_nothing_is_written_for_a_checkpoint_that_cannot_be_read(run, empty):
    assert 2 == run("init", "missing", "there").exit_code
    assert not Path("there").exists()
    assert 2 == run("init", "tiny_model.py").exit_code
    assert {} == written()


def test_a_step_an_item_and_links_are_named_in_the_next_commands(run, empty):
    shutil.copytree(FIXTURES / "linen_2022/lm_manager_items/ckpt", "root")
    result = run("init", "root", "--step", "latest", "--item", "params", "--json")

    assert 0 == result.exit_code, result.stderr
    report = json.loads(result.stdout)
    assert all("root" in line and "--step latest --item params" in line for line in report["next"])
    assert 0 == run(*shlex.split(report["next"][0])[1:]).exit_code


def test_items_of_a_step_are_items_of_the_target(run, empty):
    shutil.copytree(FIXTURES / "linen_2022/lm_manager_items/ckpt", "root")
    result = run("init", "root", "--model", "lm")

    assert 0 == result.exit_code, result.stderr
    rules = migrate.load_rules("rules.yaml")
    assert ("lm", "items") == (rules.target.model, rules.target.layout)
    assert 0 == run("apply", "rules.yaml", "root", "new").exit_code
    with migrate.open_checkpoint("root") as old, migrate.open_checkpoint("new") as new:
        assert set(old.abstract.items) == set(new.abstract.items)
        assert migrate.structure_hash(old) == migrate.structure_hash(new)


def test_a_url_and_a_folder_of_safetensors(run, empty):
    Path("hf").mkdir()
    save_file({"model.embed_tokens.weight": np.ones((4, 2), np.float32)}, "hf/model.safetensors")
    result = run("init", f"file://{empty}/hf")

    assert 0 == result.exit_code, result.stderr
    assert 0 == run("apply", "rules.yaml", "hf", "new", "--dry-run").exit_code


def test_a_name_for_dst_that_is_free(run, empty):
    Path("new").mkdir()
    Path("new2").mkdir()
    assert " new3 --dry-run" in run("init", "old.msgpack", "--json").stdout


def test_the_families_are_named(run, empty):
    result = run("init", str(FIXTURES / "lora/base"), "--json")
    assert "hf/llama" == json.loads(result.stdout)["families"][0]
