"""`--overwrite` replaces one checkpoint of the kind that is written, and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

import migrate


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def make_thesis(place, migrated):
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")


def make_checkpoint_and_thesis(place, migrated):
    shutil.copytree(migrated, place)
    (place / "thesis.tex").write_text("years of work")


def make_root(place, migrated):
    for step in range(4):
        shutil.copytree(migrated, place / str(step) / "default")


def make_project(place, migrated):
    for name in ("run_a", "run_b", "run_c", "run_d"):
        shutil.copytree(migrated, place / name / "checkpoint")


def make_hidden_file(place, migrated):
    shutil.copytree(migrated, place)
    (place / "d" / "thesis.tex").write_text("years of work")


def make_hidden_directory(place, migrated):
    shutil.copytree(migrated, place)
    (place / "array_metadatas" / "process_0").unlink()
    (place / "array_metadatas" / "process_0").mkdir()
    (place / "array_metadatas" / "process_0" / "thesis.tex").write_text("years of work")


def make_directory_named_like_a_parameter(place, migrated):
    shutil.copytree(migrated, place)
    (place / "layers.0.kernel").mkdir()
    (place / "layers.0.kernel" / "thesis.tex").write_text("years of work")


def make_file_named_like_a_marker(place, migrated):
    place.mkdir()
    (place / "checkpoint").write_text("years of work")


def make_step_and_thesis(place, migrated):
    shutil.copytree(migrated, place / "default")
    (place / "notes").mkdir()
    (place / "notes" / "thesis.tex").write_text("years of work")


def make_step_that_holds_a_checkpoint_in_its_item(place, migrated):
    shutil.copytree(migrated, place / "default")
    shutil.copytree(migrated, place / "default" / "backup")


def make_file(place, migrated):
    place.write_text("years of work")


def make_other_format(place, migrated):
    shutil.copy("old.msgpack", place)


def make_empty(place, migrated):
    place.mkdir()


REFUSED = [value for name, value in list(globals().items()) if name.startswith("make_")]


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__.removeprefix("make_"))
def test_more_than_a_checkpoint_is_refused_and_stays_as_it_is(run, here, migrated, make):
    place = here / "dst"
    make(place, migrated)
    before = contents(here)
    named = next((path.relative_to(place) for path in place.rglob("thesis.tex")), None) if place.is_dir() else None
    for arguments in (["--dry-run"], []):
        result = run("apply", "rules.yaml", "old.msgpack", "dst", "--overwrite", *arguments)
        assert 1 == result.exit_code, result.stderr
        assert "error[M501]" in result.stderr
        assert named is None or str(named) in result.stderr or named.parts[0] in result.stderr
        assert before == contents(here)


@pytest.mark.parametrize("as_step", [False, True], ids=["item", "step"])
def test_a_checkpoint_is_replaced_whatever_wrote_it(run, here, migrated, as_step):
    shutil.copytree(migrated, here / "dst" / "default" if as_step else here / "dst")
    (here / "dst" / "commit_success.txt").write_text("")
    assert 0 == run("apply", "rules.yaml", "old.msgpack", "dst", "--overwrite").exit_code
    assert contents(here / "dst").keys() <= contents(here / migrated).keys() | {"d"} or (here / "dst" / "d").is_dir()


@pytest.mark.parametrize("suffix", [".safetensors", ".msgpack"])
def test_a_file_is_replaced_by_one_of_its_format_only(run, here, suffix):
    name = f"new{suffix}"
    assert 0 == run("apply", "rules.yaml", "old.msgpack", name).exit_code
    assert 0 == run("apply", "rules.yaml", "old.msgpack", name, "--overwrite").exit_code
    Path(name).write_text("\\documentclass{book} % a thesis")
    for arguments in (["--dry-run"], []):
        assert 1 == run("apply", "rules.yaml", "old.msgpack", name, "--overwrite", *arguments).exit_code
    assert Path(name).read_text().endswith("a thesis")
    Path(name).unlink()
    Path(name).mkdir()
    Path(name, "thesis.tex").write_text("years of work")
    assert 1 == run("apply", "rules.yaml", "old.msgpack", name, "--overwrite").exit_code
    assert Path(name, "thesis.tex").exists()


def test_a_pipe_is_not_replaced_and_does_not_block(run, here):
    os.mkfifo(here / "dst")
    os.mkfifo(here / "dst.msgpack")
    assert 1 == run("apply", "rules.yaml", "old.msgpack", "dst", "--overwrite").exit_code
    assert 1 == run("apply", "rules.yaml", "old.msgpack", "dst.msgpack", "--overwrite").exit_code


def test_what_appears_in_dst_during_the_run_is_not_deleted(run, here, migrated):
    def write_a_thesis(event):
        Path(migrated, "thesis.tex").write_text("years of work")

    with migrate.open_checkpoint("old.msgpack") as source:
        plan = migrate.plan(source, "rules.yaml")
        with pytest.raises(migrate.StoppedError, match=r"thesis\.tex"):
            migrate.apply(plan, source, migrated, overwrite=True, listener=write_a_thesis)
        assert "years of work" == Path(migrated, "thesis.tex").read_text()
        Path(migrated, "thesis.tex").unlink()
        migrate.apply(plan, source, migrated, overwrite=True)
