"""A way to write single files without a plan."""

import numpy as np

from migrate.engine.outputs.file_store import FileStore, file_of, remember


def nobody(*_):
    """Hears of everything and does nothing."""


def written(form, tree, values, path):
    """A file of a tree and its values, without a plan."""
    held = form.held(tree, boxes=False)
    texts = {key: value for key, value in values.items() if tree.leaves[key].kind == "string"}
    layout = form.layout(held, {"migrate": {"model": "m"}}, texts)
    store = path.with_name(f"{path.name}.store")
    remember(store, {}, layout.sizes)
    with FileStore(store, layout, form.encoded) as opened_store:
        for key, leaf in held.leaves.items():
            if leaf.is_numeric:
                opened_store.write(key, leaf, np.asarray(values[key]), codec=None, done=nobody)
        opened_store.finish(layout.fixed)
    file_of(store).replace(path)
    return held
