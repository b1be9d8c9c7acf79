"""Runs an expansion or a contraction in one child process after another and kills each at another moment.

    python killed_layouts.py STEP FOLDER WAY/MOMENT...

WAY is `expand`, `contract-old` or `contract-new`. Leaves the root of each child in the directory WAY/MOMENT of FOLDER,
for `test_expand.py` and `test_contract.py`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from migrate import text_files
from migrate.engine.layouts import contract
from migrate.engine.outputs import step_item, step_metadata
from migrate.engine.verification import checkpoint_file
from migrate.engine.workspace import directory as workspace
from migrate.formats.orbax import layouts
from tests.engine import killed
from tests.engine.killed import after, inside
from tests.engine.two_layouts import STREAMING, expanded


def nth(module, name, number):
    """Options for a run that is killed where a function would be called for the nth time."""
    whole, calls = getattr(module, name), []

    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            killed.kill()
        return whole(*args, **kwargs)

    setattr(module, name, counted)
    return {}


METADATA = {
    "metadata": lambda: inside(step_metadata, "replace_recorded"),
    "digests-1": lambda: nth(checkpoint_file, "write_record", 1),
    "draft": lambda: inside(checkpoint_file, "write_text"),
    "draft-written": lambda: inside(text_files.os, "fsync"),
    "digests-2": lambda: nth(checkpoint_file, "write_record", 2),
}
"""Moments at which the metadata of the step is replaced."""

EXPANDING = {
    **{name: moment for name, moment in killed.MOMENTS.items() if name not in ("disk-full", "after-5")},
    "announcing": lambda: inside(step_item, "add_layout"),
    **{name: moment for name, moment in METADATA.items() if name != "draft-written"},
}
CONTRACTING = {
    "checking": lambda: inside(contract, "_check"),
    "dropping": lambda: nth(contract.os, "rename", 1),
    "dropped": lambda: inside(contract, "_complete"),
    "items": lambda: inside(contract, "remove_items"),
    **METADATA,
    "measuring": lambda: inside(contract, "freed_bytes"),
    "cleaning": lambda: inside(workspace, "_discard"),
    "removing": lambda: nth(workspace.shutil, "rmtree", 2),
    **{f"after-{ms}": lambda ms=ms: after(ms) for ms in (1, 2, 4, 8, 16)},
}


def expand(step, options):
    """Adds a layout of which some arrays are streamed, each durable before the next."""
    killed.staging.BATCH_ARRAYS = 1
    how = options()
    return expanded(step, rules=STREAMING, how=how, jobs=1)


def contract_old(step, options):
    """Drops the new layout."""
    options()
    return contract.contract(step, _origin(step))


def contract_new(step, options):
    """Drops the old layout."""
    options()
    return contract.contract(step, "new")


def _origin(step):
    return layouts.recorded_layouts(step_metadata.require_place(step))["new"].item


WAYS = {
    "expand": (expand, EXPANDING),
    "contract-old": (contract_old, CONTRACTING),
    "contract-new": (contract_new, CONTRACTING),
}


def main(step, folder, *cases):
    for case in cases:
        way, moment = case.split("/")
        call, moments = WAYS[way]
        options, place = moments[moment], Path(folder) / way / moment
        place.mkdir(parents=True)
        root = shutil.copytree(Path(step).parent, place / "run", copy_function=os.link)
        for small in (root / Path(step).name).iterdir():
            if small.is_file():  # its own copy, as everything that may be replaced
                text = small.read_bytes()
                small.unlink()
                small.write_bytes(text)
        child = os.fork()
        if not child:
            try:
                call(root / Path(step).name, options)
            except Exception as error:  # noqa: BLE001 (whatever it is, the test wants to see it)
                (place / "error").write_text(f"{type(error).__name__}: {error}")
            os._exit(0)
        os.waitpid(child, 0)


def leave_roots(step, folder, cases):
    """Leaves in a directory what kills leave of a step's root; `cases` are moments by way. Returns the directory."""
    words = [f"{way}/{moment}" for way, moments in cases.items() for moment in moments]
    subprocess.run([sys.executable, "-W", "ignore", __file__, step, folder, *words], check=True)
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:])
