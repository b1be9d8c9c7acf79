"""Odd paths (backslashes, bytes that are no UTF-8, line breaks) and pipes: they work, or one sentence refuses them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ODD = {
    "backslash": "b\\s",
    "bytes": os.fsdecode(b"o\xff"),
    "line break": "n\nl",
    "escape": "e\x1b[31m",
    "bidi": "x\u202ey",
}


@pytest.fixture(params=ODD.values(), ids=ODD)
def odd(request):
    return request.param


def settled(result):
    """Checks that a command worked or was refused in a sentence, and printed nothing that moves the cursor."""
    assert result.exit_code in (0, 1, 2), result.exception
    assert "M901" not in result.output
    assert not set("\x1b\u202e\r") & set(result.output)
    return result


def test_an_odd_source(run, migrated, odd):
    shutil.copytree(migrated, odd)
    shutil.copy("old.msgpack", f"{odd}.msgpack")
    for path in (odd, f"{odd}.msgpack"):
        for arguments in (["inspect", path], ["diff", path, "old.msgpack"], ["verify", path]):
            settled(run(*arguments))
        json.loads(settled(run("inspect", path, "--json")).stdout)
        settled(run("inspect", path, "--format", "html", "--report", "page.html")).stdout.encode()
        settled(run("inspect", path, "--format", "github"))
        settled(run("apply", "rules.yaml", path, "dst"))


def test_a_source_below_an_odd_directory(run, migrated, odd):
    Path(odd).mkdir()
    shutil.copytree(migrated, Path(odd, "in"))
    found = settled(run("inspect", f"{odd}/in"))
    assert ("\\" in odd or "\udcff" in odd) == (2 == found.exit_code)


@pytest.mark.parametrize("suffix", ["", ".msgpack", ".safetensors"])
def test_an_odd_destination_is_written_as_named_or_nothing_is(run, here, odd, suffix):
    before = {path.name for path in here.iterdir()}
    dry = settled(run("apply", "rules.yaml", "old.msgpack", odd + suffix, "-n"))
    assert before == {path.name for path in here.iterdir()}
    wet = settled(run("apply", "rules.yaml", "old.msgpack", odd + suffix))
    assert dry.exit_code == wet.exit_code
    assert ({odd + suffix} if wet.exit_code == 0 else set()) == {path.name for path in here.iterdir()} - before


def test_an_odd_rule_file(run, odd):
    shutil.copy("rules.yaml", f"{odd}.yaml")
    shutil.copy("broken.yaml", f"{odd}.broken.yaml")
    settled(run("check", f"{odd}.yaml", "old.msgpack"))
    settled(run("check", f"{odd}.broken.yaml", "old.msgpack"))
    settled(run("check", f"{odd}.broken.yaml", "--format", "github"))
    settled(run("apply", f"{odd}.yaml", "old.msgpack", "dst"))
    settled(run("apply", "rules.yaml", "old.msgpack", "dst2", "--mesh", "data=1", "--partition", f"{odd}.yaml"))
    settled(run("suggest", "old.msgpack", "--template", "tiny_model:make", "-o", f"{odd}.new.yaml"))
    settled(run("invert", "rules.yaml", "old.msgpack", "-o", f"{odd}.back.yaml"))
    settled(run("inspect", f"{odd}.absent"))
    settled(run("check", f"{odd}.absent"))
    settled(run(f"--{odd}"))
    settled(run("inspect", "old.msgpack", "--item", odd))
    settled(run("inspect", "old.msgpack", odd))
    settled(run(odd))


def test_the_comment_of_an_inverse_is_one_line_whatever_the_rule_file_is_called(run):
    name = "r\nrules: [evil -> worse]\n#.yaml"
    shutil.copy("rules.yaml", name)
    result = run("invert", name, "old.msgpack")
    assert "\nrules: [evil" not in result.stdout
    assert "r\\nrules: [evil -> worse]" in result.stdout


def command(*arguments, **options):
    """Runs the command in a process of its own, since a hang would block the test."""
    return subprocess.run(
        [sys.executable, "-m", "migrate", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "pipe"],
        ["check", "includes.yaml"],
        ["apply", "pipe", "old.msgpack", "dst"],
        ["apply", "rules.yaml", "pipe", "dst"],
        ["apply", "rules.yaml", "old.msgpack", "dst", "--mesh", "data=1", "--partition", "pipe"],
        ["inspect", "pipe"],
        ["inspect", "model.safetensors.index.json"],
        ["inspect", "steps"],
        ["verify", "pipe"],
        ["diff", "old.msgpack", "pipe"],
        ["diff", "old.msgpack", "--rules", "pipe"],
        ["invert", "pipe", "old.msgpack"],
    ],
    ids=" ".join,
)
def test_a_pipe_in_place_of_a_file_does_not_block(untyped, arguments):
    os.mkfifo("pipe")
    Path("includes.yaml").write_text("migrate: 1\ninclude: [pipe]\nrules: []\n")
    Path("model.safetensors.index.json").write_text('{"weight_map": {"w": "part.safetensors"}}')
    os.mkfifo("part.safetensors")
    Path("steps", "checkpoint_1").mkdir(parents=True)
    os.mkfifo(Path("steps", "checkpoint_2"))
    result = command(*arguments)
    assert result.returncode in (1, 2)
    assert "error[M" in result.stderr + result.stdout
    assert "M901" not in result.stderr


def test_an_included_file_cannot_wait_for_standard_input(here):
    Path("includes.yaml").write_text("migrate: 1\ninclude: [/dev/stdin]\nrules: []\n")
    reading, writing = os.pipe()
    try:
        assert "M004" in command("check", "includes.yaml", stdin=reading).stdout
    finally:
        os.close(reading)
        os.close(writing)


def test_rules_can_come_from_standard_input(untyped):
    with open("rules.yaml", encoding="utf-8") as rules:
        assert 0 == command("check", "/dev/stdin", "old.msgpack", stdin=rules).returncode
    assert 0 == command("check", "/dev/stdin", input=Path("rules.yaml").read_text()).returncode
    assert 1 == command("check", "/dev/stdin", input=Path("broken.yaml").read_text()).returncode


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="there is no /proc/kmsg, or it cannot be read")
@pytest.mark.parametrize("arguments", [["check", "/proc/kmsg"], ["check", "includes.yaml"], ["inspect", "/proc/kmsg"]])
def test_a_file_of_the_kernel_without_a_size_does_not_block(here, arguments):
    Path("includes.yaml").write_text("migrate: 1\ninclude: [/proc/kmsg]\nrules: []\n")
    result = command(*arguments)
    assert result.returncode in (1, 2)
    assert "error[M" in result.stderr + result.stdout
    assert "M901" not in result.stderr
