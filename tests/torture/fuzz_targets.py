"""The parsers that take bytes from outside, each as a function that may only raise `MigrateError`."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
ROOT = Path(__file__).resolve().parents[2]
LONGEST = 1 << 16
"""Bytes of the longest seed."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
      seeds: returns valid inputs, from the directory of prepared checkpoints.
      feed: writes an input into a scratch directory and reads it.
    """

    seeds: Callable[[Path], list[bytes]]
    feed: Callable[[Path, bytes, Path], None]


def seeds_of(name, sources):
    """Returns the seeds of a target and the inputs in its corpus."""
    kept = [file.read_bytes() for file in sorted((CORPUS / name).glob("*")) if file.is_file()]
    return [seed for seed in (*kept, *TARGETS[name].seeds(sources)) if 0 < len(seed) <= LONGEST]


def feed(name, folder, content, sources):
    """Gives an input to a target; returns whether it was accepted. Anything but `MigrateError` is a finding."""
    from migrate.errors import MigrateError

    try:
        TARGETS[name].feed(folder, content, sources)
    except MigrateError:
        return False
    return True


def _rules(folder, content, sources):
    from migrate.rules.loader import parse_rules

    parse_rules(content.decode("utf-8", "replace"), str(folder / "rules.yaml"))


def _rule_seeds(sources):
    files = [*(ROOT / "rules").rglob("*.yaml"), *(ROOT / "fixtures" / "rules").glob("*.yaml")]
    return [file.read_bytes() for file in sorted(files)]


def _plan_file(folder, content, sources):
    from migrate.planning.plan_file.read import read_plan
    from migrate.planning.plan_file.write import plan_text
    from migrate.report.of_plan_file import plan_file_report
    from migrate.rules.files import RuleFile

    file = folder / "plan.json"
    plan = read_plan(content.decode("utf-8", "replace"), RuleFile(str(file), file), str(file))
    plan_file_report(plan, verbose=True)
    plan_text(plan)


def _plan_seeds(sources):
    golden = ROOT / "tests" / "golden"
    return [(golden / "planning" / "plan_file.json").read_bytes()]


def _patterns(folder, content, sources):
    """The first line is a pattern, the second a target pattern, the others are key paths."""
    from migrate.errors import MigrateError
    from migrate.rules.pattern import Pattern
    from migrate.rules.syntax import PatternError
    from migrate.tree import parse_path

    first, second, *paths = [*content.decode("utf-8", "replace").split("\n"), "", ""][:8]
    try:
        pattern, target = Pattern.parse(first), Pattern.parse(second)
        if any(True for _ in pattern.left_side_errors()):
            return
        for path in paths:
            bindings = pattern.match(parse_path(path))
            if bindings is not None:
                target.fill(bindings)
    except (PatternError, ValueError, KeyError, MigrateError):
        return  # the loader reports these with their place


def _pattern_seeds(sources):
    return [
        b"params/Dense_{i}/**\nlayers/{i}/**\nparams/Dense_0/kernel\nparams/Dense_12/a/b",
        b"a/{k:int}/{x:q|k|v}/*\nb/{k//2}/{k%2}/{x}/*\na/3/q/w",
        b"{name:**}/scale\n{name}/weight\na/b/scale",
        b"a\\/b/\\{x\\}\nc\na\\/b/\\{x\\}",
    ]


def _file(suffix):
    def read(folder, content, sources):
        path = folder / f"input{suffix}"
        path.write_bytes(content)
        _read(path)

    return read


def _read(path):
    from migrate.formats.detect import open_reader

    with open_reader(path) as reader:
        tree = reader.abstract().tree
        if sum(leaf.nbytes for leaf in tree.leaves.values()) < 1 << 24:
            reader.read_all()


def _inside(checkpoint, name, mend=lambda content: content):
    """Replaces a file of a checkpoint, and reads the checkpoint."""

    def read(folder, content, sources):
        copy = folder / "checkpoint"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(sources / checkpoint, copy)
        _only(copy, name).write_bytes(mend(content))
        _read(copy)

    return read


def _only(checkpoint, name):
    return sorted(checkpoint.glob(name))[0]


def _content(checkpoint, name):
    return lambda sources: [_only(sources / checkpoint, name).read_bytes()]


def with_checksum(content):
    """Returns a file of an OCDBT database with its length and its checksum corrected, so that the rest is parsed."""
    if len(content) < 20:
        return content
    body = content[:4] + len(content).to_bytes(8, "little") + content[12:-4]
    return body + crc32c(body).to_bytes(4, "little")


def crc32c(content):
    """The Castagnoli checksum."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _row(value):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_row(number) for number in range(256)]


def _stream_seeds(sources):
    import msgpack

    content = (sources / "small.msgpack").read_bytes()
    return [msgpack.packb((["a", "b"], content)) + msgpack.packb((["a", "c"], content))]


def _npy_seeds(sources):
    import zipfile

    with zipfile.ZipFile(sources / "tiny.npz") as archive:
        return [b"".join(archive.read(name) for name in archive.namelist())]


TARGETS = {
    "rules": Target(_rule_seeds, _rules),
    "plan file": Target(_plan_seeds, _plan_file),
    "patterns": Target(_pattern_seeds, _patterns),
    "msgpack": Target(lambda sources: [(sources / "small.msgpack").read_bytes()], _file(".msgpack")),
    "safetensors": Target(lambda sources: [(sources / "small.safetensors").read_bytes()], _file(".safetensors")),
    "stream": Target(_stream_seeds, _file("")),
    "npy": Target(_npy_seeds, _file(".eqx")),
    "npz": Target(lambda sources: [(sources / "tiny.npz").read_bytes()], _file(".npz")),
    "metadata": Target(_content("small", "_METADATA"), _inside("small", "_METADATA")),
    "zarr": Target(_content("small_zarr", "kept.0/.zarray"), _inside("small_zarr", "kept.0/.zarray")),
    "zarr3": Target(_content("zarr3", "kept.0/zarr.json"), _inside("zarr3", "kept.0/zarr.json")),
    "manifest": Target(_content("small", "manifest.ocdbt"), _inside("small", "manifest.ocdbt", with_checksum)),
    "node": Target(_content("small", "d/*"), _inside("small", "d/*", with_checksum)),
    "early-manifest": Target(_content("early", "manifest.ocdbt"), _inside("early", "manifest.ocdbt")),
    "early-node": Target(_content("early", "d/*"), _inside("early", "d/*")),
}
