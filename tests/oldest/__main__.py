"""`make oldest`: migrates fixtures with the oldest libraries that `pyproject.toml` allows and with the newest.

Each restores what the other wrote.

    python -m tests.oldest .venv-oldest/bin/python

The interpreter that runs this script has the newest versions; the argument names one that has the oldest.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = ("jax", "flax", "orbax-checkpoint", "tensorstore", "numpy")
LM = ROOT / "fixtures" / "linen_2022" / "lm_flax_msgpack" / "ckpt"
CASES = {
    "linen-to-nnx": (
        ROOT / "fixtures" / "rules" / "lm_to_stacked.yaml",
        LM,
        ["fixtures.models.transformer:make_stacked_state"],
    ),
    "msgpack": ("portable", LM, []),
    "orbax-2022": ("portable", ROOT / "fixtures" / "linen_2022" / "cnn_flax_orbax" / "ckpt", []),
    "nnx-2025": ("portable", ROOT / "fixtures" / "nnx_2025" / "lm_optimizer" / "ckpt", []),
}
"""Each case: the rules, the checkpoint, and the template to restore with, if any."""


COMPLETION = {"_MIGRATE_COMPLETE": "bash_complete", "COMP_WORDS": "migrate app", "COMP_CWORD": "1"}
"""What a shell sets to complete `migrate app`."""


def run(*command: object, **more: str) -> str:
    """Runs a command at the root of the repository, with more variables; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore", **more}
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def versions(python: str) -> str:
    """Returns the versions of the libraries of an environment."""
    code = f"from importlib.metadata import version\nfor name in {LIBRARIES}: print(name, version(name))"
    return ", ".join(run(python, "-c", code).splitlines())


def main() -> None:
    """Runs every case in both environments; exits with 1 if what is restored differs."""
    pythons = {"oldest": str(Path(sys.argv[1]).absolute()), "newest": sys.executable}
    for name, python in pythons.items():
        print(f"{name}: {versions(python)}", flush=True)
        commands = run(python, "-c", "from migrate.cli.main import COMMANDS; print(*COMMANDS)").split()
        for command in commands:
            run(python, "-m", "migrate", command, "--help")
        offered = run(python, "-m", "migrate", **COMPLETION)
        print(f"  {len(commands)} commands explain themselves; `app` is completed: {'apply' in offered}", flush=True)
    differing = []
    with tempfile.TemporaryDirectory() as folder:
        for case, (rules, source, template) in CASES.items():
            digests = {}
            for writer, python in pythons.items():
                written = Path(folder, f"{case}-{writer}")
                run(python, "-m", "migrate", "apply", rules, source, written, "--allow-code")
                for reader, other in pythons.items():
                    run(other, "-m", "migrate", "verify", written)
                    digests[writer, reader] = run(other, ROOT / "tests" / "oldest" / "restore.py", written, *template)
            same = len(set(digests.values())) == 1
            print(f"{case}: {'equal, whichever writes and restores' if same else digests}", flush=True)
            differing += [] if same else [case]
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
