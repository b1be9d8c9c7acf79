"""The demonstration of `make demo`: migrates an old Linen checkpoint to an NNX model and compares their outputs;
ends with the report of the migration, which opens in a browser.

The checkpoint was written by Flax 0.6 (fixtures/linen_2022): a transformer as a TrainState with adam, in one msgpack
file.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

ROOT = Path(__file__).parent.parent
CASE = ROOT / "fixtures" / "linen_2022" / "lm_flax_msgpack"
RULES = "fixtures/rules/lm_to_stacked.yaml"
OUT = ROOT / "demo-out"
REPORT = OUT / "report.html"


def migrate(*arguments: str) -> None:
    """Prints and runs a command."""
    print(f"\n$ migrate {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "migrate", *arguments], cwd=ROOT, check=True)


def restored_model() -> nnx.Module:
    """Restores the new model with the migrated weights by plain Orbax."""
    sys.path.insert(0, str(ROOT))
    from fixtures.models.transformer import make_stacked_state

    state = nnx.eval_shape(make_stacked_state)
    abstract = {name: nnx.state(part) for name, part in state.items()}
    print("\n>>> state = ocp.StandardCheckpointer().restore('demo-out/new', abstract_state)", flush=True)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(OUT / "new", abstract)
    return nnx.merge(nnx.graphdef(state["model"]), restored["model"])


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    source = str(CASE.relative_to(ROOT) / "ckpt")
    OUT.mkdir()
    migrate("apply", RULES, source, "demo-out/new", "--report", str(REPORT.relative_to(ROOT)))
    migrate("verify", "demo-out/new", "--source", source, "--rules", RULES)
    model = restored_model()
    model.eval()
    with np.load(CASE / "golden.npz") as golden, jax.default_matmul_precision("highest"):
        difference = np.abs(np.asarray(model(golden["in_tokens"])) - golden["out_logits"]).max()
    print(f"Largest difference between the old model's logits and the new one's: {difference:.1e}")
    print(f"The report of the migration, for a browser: {REPORT.as_uri()}")
    sys.exit(0 if difference < 1e-5 else 1)


if __name__ == "__main__":
    main()
