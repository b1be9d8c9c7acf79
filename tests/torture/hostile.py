"""Names, links, pipes, rule files and manifests that an attacker wrote: nothing runs, nothing outside is read."""

import json
import os
import shutil
import unicodedata

from tests.torture.arena import CANARY, snapshot
from tests.torture.framework import Attack, Trial

NAMES = (
    "\x1b]0;owned\x07", "\x1b[2J\x1b[31mred", "a\rb", "a\n::set-env name=X::Y", "a\nerror[M999]: forged", "\u202eevil",
    "\u2066x\u2069", "::error::x", "..", ".", "../../outside/canary", "/etc/passwd", "a/../b", "\x00", "\x7f",
    "\x9b31m", "{i}", "**", "regex", "\\", "a\\/b", "%0A::set-env name=X::Y", "<script>alert(1)</script>",
    "x" * 5000, "", " ",
)  # fmt: skip
COMMANDS = ("inspect", "diff", "apply", "verify", "suggest", "check")


def trials(rng, scale):
    """Yields every attack with every variant; the scale thins them."""
    made = [
        *(
            _trial(f"the key {n!r} in {kind}, {how}", _name, n, kind, how)
            for n in NAMES
            for kind in KINDS
            for how in HOWS
        ),
        *(_trial(f"a link in {name}: {kind}", _link, name, kind) for name in LINKED for kind in LINKS),
        *(_trial(f"a pipe as a file of {name}: {n}", _pipe, name, n) for name in LINKED for n in range(6)),
        *(_trial(f"the rule file {name!r}", _rules, name) for name in RULES),
        *(_trial(f"{command} and code in {name!r}", _code, name, command) for name in CODE for command in COMMANDS),
        *(_trial(f"a manifest that points outside: {name}", _manifest, name) for name in MANIFESTS),
    ]
    rng.shuffle(made)
    yield from made[: max(30, round(len(made) * scale))]


def _trial(shown, attack, *arguments):
    return Trial(shown, lambda arena: attack(arena, *arguments))


def _judge(arena, run, *codes):
    """Returns what a command may not do with hostile input."""
    return run.problem(*(codes or (0, 1, 2))) or unquoted(run.output) or _leak(arena)


def unquoted(output):
    """Returns the first character or line of the output that a terminal or a CI system would obey."""
    for character in output:
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            return f"{character!r} reaches the terminal"
    for line in output.splitlines():
        if line.startswith(("::set-env", "error[M999]")):
            return f"a forged line: {line[:100]!r}"
    return None


def _leak(arena):
    for path in [arena.dst, *arena.dst.rglob("*")] if os.path.lexists(arena.dst) else ():
        if path.is_file() and CANARY in path.read_bytes():
            return f"a file outside SRC is in {path.name}"
    return None


KINDS = ("safetensors", "msgpack", "npz")
HOWS = ("text", "github")


def _name(arena, name, kind, how):
    """A key has a hostile name."""
    arena.src = arena.folder / f"src.{kind}"
    if arena.call(_write_named, kind, name, arena.src).code:
        return None  # the format's own library does not write it
    arena.changed()
    rules = arena.rules({"follow": "off", "rules": ["w -> v", "nothing/here -> x"][: 1 + (how == "github")]})
    for words in (
        ("inspect", arena.src),
        ("diff", arena.src, arena.sources / "small.safetensors"),
        ("check", rules, arena.src),
        ("apply", rules, arena.src, arena.dst),
    ):
        if problem := _judge(arena, arena.migrate(*words, "--format", how)):
            return f"`{words[0]}`: {problem}"
    return None


def _write_named(kind, name, path):
    import numpy as np

    tree = {name: np.ones(3, "float32"), "w": np.zeros(2, "float32")}
    if kind == "safetensors":
        from safetensors.numpy import save_file

        save_file(tree, path)
    elif kind == "npz":
        np.savez(path, **tree)
    else:
        from tests.torture.oracle import flat_msgpack

        path.write_bytes(flat_msgpack(tree))


LINKED = ("ocdbt", "small_zarr", "linen_2022_cnn_orbax_per_array", "manager")
LINKS = ("a data file outside", "the directory outside", "a loop", "/dev/zero", "/etc/passwd", "metadata outside")


def _link(arena, name, kind):
    """A file of SRC is a link that leads out."""
    arena.source(name)
    read = arena.src / "5" if name == "manager" else arena.src
    files = sorted(path for path in read.rglob("*") if path.is_file())
    chosen = max(files, key=lambda path: path.stat().st_size)
    if kind == "metadata outside":
        chosen = next(path for path in files if path.name in ("_METADATA", ".zarray", "checkpoint"))
    elif kind == "the directory outside":
        chosen = max((path for path in files if path.parent != read), key=lambda path: path.stat().st_size).parent
    place = {"a loop": chosen, "/dev/zero": "/dev/zero", "/etc/passwd": "/etc/passwd"}.get(kind)
    if place is None:
        place = arena.folder / "elsewhere"
        shutil.move(chosen, place)
    else:
        chosen.unlink()
    chosen.symlink_to(place)
    arena.changed()
    for words in _commands(arena):
        run = arena.migrate(*words, timeout=30)
        if problem := _judge(arena, run):
            return f"`{words[0]}`: {problem}"
        if words[0] == "apply" and run.code == 0 and kind != "a loop":
            return "`apply` publishes what it read through a link that leads out of SRC"
    return None


def _commands(arena):
    rules = arena.rules({"follow": "off", "rules": []})
    return (("inspect", arena.src, "-q"), ("apply", rules, arena.src, arena.dst, "-q"))


def _pipe(arena, name, number):
    """A file of SRC is a pipe, which nobody writes to."""
    arena.source(name)
    files = sorted((path for path in arena.src.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    chosen = files[number * (len(files) - 1) // 5]
    chosen.unlink()
    os.mkfifo(chosen)
    arena._before = None  # a snapshot would not change, but opening the pipe would hang
    for words in _commands(arena):
        if problem := _judge(arena, arena.migrate(*words, timeout=20)):
            return f"`{words[0]}` with a pipe as {chosen.name}: {problem}"
    return None


DEEP = "{a: " * 5000 + "1" + "}" * 5000
RULES = {
    "aliases": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "a Python tag": "!!python/object/apply:os.system ['touch ../outside/ran']\n",
    "deep": DEEP,
    "a NUL": "migrate: 1\nrules: [\x00]\n",
    "a huge integer": "migrate: 1\nrules: [{from: a, to: 'b/{k//" + "9" * 5000 + "}'}]\n",
    "a power of patterns": "migrate: 1\nrules: ['" + "**/" * 60 + "x -> y']\n",
    "a slow regex": "migrate: 1\nrules: [{from: {regex: '(x+x+)+y'}, to: v}]\n",
    "another slow regex": "migrate: 1\nrules: [{from: {regex: '(x|xx)*(x|xx)*(x|xx)*$z'}, to: v}]\n",
    "an escape": 'migrate: 1\nrules: ["\\e]0;owned\\a -> x"]\n',
    "a forged line": 'migrate: 1\nrules: ["a\\nerror[M999]: forged -> x"]\n',
    "an include outside": "migrate: 1\ninclude: [../outside/canary]\nrules: []\n",
    "an include of itself": "migrate: 1\ninclude: [rules.yaml]\nrules: []\n",
    "an include of a device": "migrate: 1\ninclude: [/dev/zero]\nrules: []\n",
    "a to that leads out": "migrate: 1\nrules: ['w -> ../../outside/x']\n",
    "many stars": "migrate: 1\nrules: ['" + "*x" * 400 + " -> y']\n",
    "no mapping": "[]", "empty": "", "merge keys": "<<: [1]\n", "a date": "migrate: 2001-01-01\n",
}  # fmt: skip


def _rules(arena, name):
    """A rule file is hostile."""
    arena.src = arena.folder / "src.safetensors"
    arena.call(_write_named, "safetensors", "x" * 3000, arena.src)
    arena.changed()
    rules = arena.rules(RULES[name])
    for words in (("check", rules), ("check", rules, arena.src), ("apply", rules, arena.src, arena.dst)):
        if problem := _judge(arena, arena.migrate(*words, timeout=20)):
            return f"`{words[0]}`: {problem}"
    return None


CODE = {
    "template": {"target": {"template": "os:system", "args": {"command": "touch RAN"}}, "rules": []},
    "call": {
        "follow": "off",
        "rules": [{"from": "step", "to": "step", "ops": [{"call": "tests.torture.hostile:ran"}]}],
    },
    "probe": {"probe": "tests.torture.hostile:ran", "follow": "off", "rules": []},
    "module": {"target": {"template": "evil:make"}, "rules": []},
}


def ran(*arguments):
    """Shows that code ran."""
    with open("RAN", "w"):
        return arguments[0]


def _code(arena, name, command):
    """A rule file outside the current directory names code; no command runs it unasked."""
    source = arena.source("small")
    rules = arena.rules(json.loads(json.dumps(CODE[name]).replace("RAN", str(arena.folder / "RAN"))))
    elsewhere = arena.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "evil.py").write_text("open('RAN', 'w')\ndef make(): pass\n")
    words = {
        "inspect": ("inspect", source),
        "diff": ("diff", source, source, "--rules", rules),
        "apply": ("apply", rules, source, arena.dst),
        "verify": ("verify", source, "--source", source, "--rules", rules),
        "suggest": ("suggest", source, source),
        "check": ("check", rules, source),
    }[command]
    for extra in ((), ("-n",)) if command == "apply" else ((),):
        run = arena.migrate(*words, *extra, cwd=elsewhere if name == "module" and command == "inspect" else None)
        if problem := _judge(arena, run):
            return problem
        places = (arena.folder / "RAN", arena.folder / "cwd" / "RAN", elsewhere / "RAN")
        if any(place.exists() for place in places):
            return f"`{command} {' '.join(extra)}` ran code that the rule file names"
    return None


MANIFESTS = (
    "ocdbt data outside", "safetensors index outside", "safetensors index absolute", "gda path", "placeholder outside",
    "_METADATA outside", "item name outside",
)  # fmt: skip


def _manifest(arena, name):
    """Metadata of SRC names a place outside SRC."""
    outside = arena.folder / "outside"
    arena.src = arena.folder / "src"
    run = arena.call(_write_pointing, name, arena.src, outside)
    if run.code:
        return None  # the library itself refuses to write it
    arena.changed()
    before = snapshot(outside)
    for words in _commands(arena):
        run = arena.migrate(*words, timeout=30)
        if problem := _judge(arena, run):
            return f"`{words[0]}`: {problem}"
        if words[0] == "apply" and run.code == 0:
            return "`apply` publishes what it read outside SRC"
    if before != snapshot(outside):
        return "a file outside SRC changed"
    for path in set(outside.iterdir()) - {outside / "canary"}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def _write_pointing(name, src, outside):
    import numpy as np
    import tensorstore as ts
    from safetensors.numpy import save_file

    src.mkdir()
    if name == "ocdbt data outside":
        store = {"driver": "ocdbt", "base": f"file://{src}/", "path": "w/", "value_data_prefix": "../outside/"}
        store["config"] = {"max_inline_value_bytes": 0}
        ts.open({"driver": "zarr", "kvstore": store}, create=True, dtype="float32", shape=[9]).result().write(
            3
        ).result()
    elif name.startswith("safetensors"):
        save_file({"w": np.ones(3, "float32")}, outside / "part.safetensors")
        place = str(outside / "part.safetensors") if "absolute" in name else "../outside/part.safetensors"
        (src / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": place}}))
    else:
        spec = {"driver": "zarr", "kvstore": f"file://{outside}/w/"}
        ts.open(spec, create=True, dtype="float32", shape=[9]).result().write(3).result()
        from tests.torture.oracle import flat_msgpack

        text = {"gda path": "//GDAPlaceholder:../outside/w"}.get(name, "PLACEHOLDER://../outside/w")
        (src / "checkpoint").write_bytes(flat_msgpack({"w": text}))
        if name == "_METADATA outside":
            keys = [{"key": "..", "key_type": 2}, {"key": "outside/w", "key_type": 2}]
            entry = {"key_metadata": keys, "value_metadata": {"value_type": "jax.Array"}}
            (src / "_METADATA").write_text(json.dumps({"tree_metadata": {"('..', 'outside/w')": entry}}))
        if name == "item name outside":
            (src / "_CHECKPOINT_METADATA").write_text(json.dumps({"item_handlers": {"../outside": "x"}}))


ATTACK = Attack("hostile", "names, links, pipes, rules, code, manifests", trials, weight=3)
