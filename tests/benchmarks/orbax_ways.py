"""What people do today, each in a process of its own: restore everything with Orbax, change it, save it.

python -m tests.benchmarks.orbax_ways WAY SRC DST
"""

import sys
import warnings


def renamed(params):
    """The blocks below one node."""
    blocks = {name.removeprefix("block_"): node for name, node in params.items() if name != "embed"}
    return {"embed": params["embed"], "blocks": blocks}


def edit(tree, change):
    """The same change to the params and to both moments of adam."""
    adam, rest = tree["opt_state"][0], tree["opt_state"][1:]
    moments = {name: change(adam[name]) for name in ("mu", "nu")}
    return {**tree, "params": change(tree["params"]), "opt_state": [{**adam, **moments}, *rest]}


def rename(source, target):
    """(a): restore, edit the dict, save."""
    import orbax.checkpoint as ocp

    tree = ocp.PyTreeCheckpointer().restore(source)
    ocp.PyTreeCheckpointer().save(target, edit(tree, renamed))


def transpose(source, target):
    """(a) with every matrix transposed and cast."""
    import jax
    import jax.numpy as jnp
    import orbax.checkpoint as ocp

    def turned(params):
        return jax.tree.map(lambda leaf: leaf.T.astype(jnp.bfloat16) if leaf.ndim == 2 else leaf, renamed(params))

    tree = ocp.PyTreeCheckpointer().restore(source)
    ocp.PyTreeCheckpointer().save(target, edit(tree, turned))


def turn(source, target):
    """(a) with every matrix transposed, in float32."""
    import jax
    import orbax.checkpoint as ocp

    def turned(params):
        return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, renamed(params))

    tree = ocp.PyTreeCheckpointer().restore(source)
    ocp.PyTreeCheckpointer().save(target, edit(tree, turned))


def blocks(source, target):
    """(a) for blocks without an optimizer."""
    import orbax.checkpoint as ocp

    tree = ocp.PyTreeCheckpointer().restore(source)
    moved = {"blocks": {name.removeprefix("block_"): node for name, node in tree.items()}}
    ocp.PyTreeCheckpointer().save(target, moved)


def transform(source, target):
    """(b): Orbax's own transformations while it restores, then save."""
    import jax
    import orbax.checkpoint as ocp

    checkpointer = ocp.PyTreeCheckpointer()
    item = edit(jax.tree.map(lambda _: 0, checkpointer.metadata(source).item_metadata.tree), renamed)
    moved = {r"(.*params|.*mu|.*nu)/blocks/(\d+)/(.*)": ocp.Transform(original_key=r"\1/block_\2/\3")}
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(), item)
    tree = checkpointer.restore(source, item=item, transforms=moved, restore_args=restore_args)
    ocp.PyTreeCheckpointer().save(target, tree)


WAYS = {"rename": rename, "transpose": transpose, "transform": transform, "turn": turn, "blocks": blocks}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    WAYS[sys.argv[1]](*sys.argv[2:])
