"""Writes `docs/layers.md` from the table in `migrate.knowledge`: `python -m docs.layers`."""

from pathlib import Path

from migrate.knowledge.layers import LAYERS, WITHOUT_TWIN
from migrate.knowledge.model import Layer, LeafMapping
from migrate.knowledge.naming import COLLECTIONS, LIFTS, TRAINING_STATES
from migrate.tree import format_path

PAGE = Path(__file__).with_name("layers.md")

HEAD = """\
# Layers of Linen and of NNX

How the arrays of a layer are migrated when a Linen model becomes an NNX model. Every row is tested: both layers are
initialized, one is migrated to the other by the command line, and their outputs are equal. `docs/layers.py` writes this
page from the table that migrate itself uses.

`=` means that the arrays keep their names below the layer, so that a single rule renames it:
`params/Dense_0/** -> head/**`. Collections other than `params` are named. NNX has no collections; their arrays are
stored in the module.

| Linen | NNX | arrays | notes |
|---|---|---|---|
"""


def page() -> str:
    """Returns the whole page."""
    rows = "".join(f"| {' or '.join(code(row.linen))} | `{row.nnx}` | {arrays(row)} | {row.note} |\n" for row in LAYERS)
    return HEAD + rows + tail()


def code(words: tuple[str, ...]) -> list[str]:
    return [f"`{word}`" for word in words]


def arrays(row: Layer) -> str:
    moves = [same(row, collection) for collection in row.collections if row.leaves] if row.keeps_names else changed(row)
    children = [f"below `{format_path(a)}` → below `{format_path(b)}`" for a, b in row.children]
    losses = [f"`{format_path(loss.source)}` must be zero and is dropped" for loss in row.losses]
    fresh = [
        f"{', '.join(f'`{format_path(path)}`' for path in one.targets)} created: `{plain(one.init)}`"
        for one in row.fresh
    ]
    return "; ".join([*moves, *children, *losses, *fresh]).replace("|", "\\|")


def same(row: Layer, collection: str) -> str:
    names = [f"`{format_path(leaf.target)}`" for leaf in row.leaves if leaf.collection == collection]
    return f"= {', '.join(names)}{of(collection)}"


def changed(row: Layer) -> list[str]:
    kept = [f"`{format_path(leaf.target)}`" for leaf in row.leaves if leaf.keeps_name]
    return [*([f"= {', '.join(kept)}"] if kept else []), *(move(leaf) for leaf in row.leaves if not leaf.keeps_name)]


def move(leaf: LeafMapping) -> str:
    sources = ", ".join(f"`{format_path(path)}`" for path in leaf.sources)
    ops = " and ".join(f"`{name}: {plain(fields)}`" for op in leaf.ops for name, fields in op.items())
    return f"{sources}{of(leaf.collection)} → `{format_path(leaf.target)}`{' by ' + ops if ops else ''}"


def plain(data: object) -> str:
    """Formats rule-file data as YAML."""
    return str(data).replace("'", "")


def of(collection: str) -> str:
    return "" if collection == "params" else f" of `{collection}`"


def tail() -> str:
    without = ", ".join(code(WITHOUT_TWIN))
    lifts = "".join(f"| `{lift.prefix}` | `{lift.transform}` | {lift.axes or 'none'} |\n" for lift in LIFTS)
    states = "".join(
        f"| {state.name} | {', '.join(code(tuple(state.parts)))} | {', '.join(code(tuple(state.others)))} |\n"
        for state in TRAINING_STATES
    )
    kinds = ", ".join(f"`{collection}` (`nnx.{kind}`)" for collection, kind in COLLECTIONS.items())
    return f"""
NNX has no class for {without}: migrate their arrays to a module of your own.

## Names

Linen names the modules that a compact method creates `Class_k`. It numbers each class separately, in the order of
construction: in `Dense(a)(gelu(Dense(b)(x)))` the outer layer is `Dense_0`. Two layers of equal shape fit either way,
so check the code. Collections: {kinds}.

The name of a lifted class starts with the transformation unless the module has an explicit name, as in
`ScanCheckpointBlock_0`:

| prefix | transformation | axes added to every array |
|---|---|---|
{lifts}
## Training states

The top-level names of common training states:

| state | always | sometimes |
|---|---|---|
{states}"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
