"""A training script that resumes by `migrate.resume`, in five versions of its code.

    python -m tests.end_to_end.resuming ROOT VERSION END LOG

Trains version VERSION from the newest step of ROOT up to step END, saves every step, and appends its number and loss to
LOG. The rule files are those of `write_rules`, in a folder beside ROOT.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

import migrate
from tests.end_to_end.training import WIDTH, build, train_step

VARIANTS = ("first", "renamed", "stacked", "squeezed", "clipped")
RULES = """
  - "model/inner/** -> model/blocks/0/**"
  - "model/outer/** -> model/head/**"
---
  - {from: "model/blocks/{i}/{leaf}", to: "model/blocks/{leaf}", ops: [{stack: {axis: 0, over: i}}]}
---
  - {from: "model/head/kernel", to: "model/direction", ops: [{squeeze: {axis: 1}}]}
  - "model/head/bias -> model/offset"
--- []
"""


def write_rules(folder, newest):
    """Writes the rule files that lead from version 1 to the newest."""
    folder.mkdir(exist_ok=True)
    for version, rules in enumerate(RULES.split("---")[: newest - 1], start=1):
        guards = f"source: {{model: lm, version: {version}}}\ntarget: {{model: lm, version: {version + 1}}}"
        (folder / f"{version + 1:04}.yaml").write_text(f"migrate: 1\n{guards}\nrules:{rules}")
    return folder


def state_of(variant):
    """What the script saves."""
    model, optimizer = build(variant)
    return {"model": model, "optimizer": optimizer, "rng": jax.random.key(7), "step": 0}


def v1():
    return state_of("first")


def v2():
    return state_of("renamed")


def v3():
    return state_of("stacked")


def v4():
    return state_of("squeezed")


def v5():
    return state_of("clipped")


def spec(version):
    return f"tests.end_to_end.resuming:v{version}"


def record(state, version):
    return migrate.Metadata.of(state, name="lm", version=version, step=state["step"])


def pytree(state):
    """A state as Orbax saves it."""
    return {name: nnx.state(part) if isinstance(part, nnx.Pytree) else part for name, part in state.items()}


def run(state, end, version, manager=None, log=None):
    """Trains up to a step, saves every step, and returns the losses."""
    losses = []
    while state["step"] < end:
        state["rng"], data = jax.random.split(state["rng"])
        x = jax.random.normal(data, (16, WIDTH))
        losses.append(np.float32(train_step(state["model"], state["optimizer"], x, x.sum(-1, keepdims=True))))
        state["step"] += 1
        if log is not None:
            log.write(f"{state['step']} {losses[-1].view(np.uint32)}\n")
            log.flush()
        if manager is not None:
            manager.save(
                state["step"], args=ocp.args.StandardSave(pytree(state)), custom_metadata=record(state, version)
            )
    return losses


def train(root, end, version, rules, log=None):
    """Trains from the newest step of a root; returns the losses."""
    resumed = migrate.resume(root, spec(version), rules)
    state = resumed.state if resumed else state_of(VARIANTS[version - 1])
    options = ocp.CheckpointManagerOptions(max_to_keep=None)
    with ocp.CheckpointManager(Path(root).absolute(), options=options) as manager:
        return run(state, end, version, manager, log)


if __name__ == "__main__":
    place, number = Path(sys.argv[1]), int(sys.argv[2])
    with Path(sys.argv[4]).open("a", encoding="utf-8") as file:
        train(place, int(sys.argv[3]), number, write_rules(place.parent / f"rules{number}", number), file)
