"""Mutated inputs for every parser: in `make torture` at random, in `make fuzz` guided by coverage.

python -m tests.torture.fuzz --minutes 30 --sources FOLDER
"""

import argparse
import importlib.util
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from tests.torture.framework import Attack, Trial
from tests.torture.fuzz_targets import CORPUS, TARGETS, feed, seeds_of

BLOCKS = 25
"""Trials of each target at scale 1."""
INPUTS = 60
"""Inputs of one trial."""
SLOWEST = 20
"""Seconds for one input."""


def trials(rng, scale):
    """Yields blocks of inputs for each target."""
    for number in range(max(len(TARGETS), round(BLOCKS * len(TARGETS) * scale))):
        name, seed = list(TARGETS)[number % len(TARGETS)], rng.randrange(1 << 40)
        shown = f"{INPUTS} inputs of {name}, seed {seed}"
        yield Trial(shown, lambda arena, n=name, s=seed: attack(arena, n, s))


def attack(arena, name, seed):
    """Feeds a block of mutated inputs."""
    run = arena.call(_block, name, seed, arena.sources, arena.folder / "tmp", timeout=120)
    for entry in (arena.folder / "tmp").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return run.problem(0) or run.value


def _block(name, seed, sources, folder):
    rng = random.Random(seed)
    seeds = seeds_of(name, sources)
    for _ in range(INPUTS):
        content = mutated(rng, seeds)
        print(content[:200])
        signal.alarm(SLOWEST)  # the process dies of it, and the log names the input
        try:
            feed(name, folder, content, sources)
        except BaseException:  # noqa: BLE001 (whatever it is, it is a finding)
            return f"{traceback.format_exc()[-600:]} for {content[:200]!r}"
        signal.alarm(0)
    return None


def mutated(rng, seeds):
    """Returns a seed with one to six random changes."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice((1, 2, 4, 8, 30)))
        match rng.randrange(6):
            case 0 if at < len(content):
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8)))
            case 2:
                del content[at:end]
            case 3:
                content[at:at] = content[at:end] * rng.choice((1, 2, 20))
            case 4:
                content[at:end] = rng.choice(TOKENS)
            case 5:
                other = rng.choice(seeds)
                place = rng.randrange(len(other) + 1)
                content[at:end] = other[place : place + rng.choice((4, 20, 100))]
    return bytes(content)


TOKENS = (
    b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""',
    b"99999999999999999999", b"..", b"/", b"\\", b"{i}", b"**", b"->", b"\xc3\x28", b"\xed\xa0\x80", b"[" * 3000,
    b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"&a *a", b"!!python/name:os.system",
)  # fmt: skip


def main(words=None):
    """Runs atheris over the targets, each for its share of the time; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(TARGETS), help="fuzz this target (default: all)")
    parser.add_argument("--minutes", type=float, default=30, help="time for all targets (default: 30)")
    parser.add_argument("--sources", type=Path, help="directory of prepared checkpoints")
    chosen = parser.parse_args(words)
    if importlib.util.find_spec("atheris") is None:
        print("Skipped: atheris is not installed (`.venv/bin/python -m pip install atheris`).")
        return 0
    from tests.torture.sources import prepare

    sources = prepare(chosen.sources or Path(tempfile.mkdtemp(prefix="migrate-fuzz-")) / "sources")
    names = chosen.only or list(TARGETS)
    seconds = max(1, round(60 * chosen.minutes / len(names)))
    codes = {name: _fuzz(name, seconds, sources) for name in names}
    print("\n".join(f"{name}: {'nothing found' if not code else f'exit code {code}'}" for name, code in codes.items()))
    return int(any(codes.values()))


def _fuzz(name, seconds, sources):
    """Runs libFuzzer in a child process, because it ends its process; returns the exit code."""
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="migrate-fuzz-") as scratch:
        child = os.fork()
        if not child:
            _run_atheris(name, seconds, sources, Path(scratch))
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_atheris(name, seconds, sources, scratch):
    import atheris

    with atheris.instrument_imports(include=["migrate"]):
        import migrate.formats.detect
        import migrate.rules.loader  # noqa: F401

    inputs = scratch / "inputs"
    inputs.mkdir()
    for number, seed in enumerate(seeds_of(name, sources)):
        (inputs / str(number)).write_bytes(seed)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-timeout={SLOWEST}", "-rss_limit_mb=3000", "-max_len=16384"]
    options = [*limits, f"-artifact_prefix={CORPUS / name}/", "-print_final_stats=1", "-close_fd_mask=1"]
    work = scratch / "work"
    work.mkdir()
    atheris.Setup(["fuzz", *options, str(inputs)], lambda content: feed(name, work, content, sources) and None)
    atheris.Fuzz()


ATTACK = Attack("fuzz", "mutated inputs of every parser", trials, weight=2)

if __name__ == "__main__":
    sys.exit(main())
