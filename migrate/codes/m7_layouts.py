"""M72x: several layouts of one state in one step."""

from migrate.errors import Code


class NotExpandable(Code):
    """A second layout cannot be added here.

    `migrate expand` adds an item to a step of a `CheckpointManager` or of Orbax's v1 API, beside the item that it is
    made from. A step whose pytree is stored in the step's own directory has no items, and Orbax would not find another
    one in it; a single file has no steps. `migrate apply RULES SRC NEW` writes a new checkpoint from either. A rule
    file with `target: {layout: items}` makes several items, and one is added.
    """

    number = "M720"


class InvalidItemName(Code):
    """An item cannot have this name.

    The name becomes a directory of the step. It starts with a letter or an underscore, has letters, digits, `_` and `-`
    only, is not a name that Orbax uses itself, and does not read as the number of a step, as `state_2` does. Nor is it
    one that Orbax's v1 API would load by default in place of the old item: that is `state`, otherwise the first name.
    Choose another one with `--as`, such as `state_v2`.
    """

    number = "M721"


class NoLayouts(Code):
    """The step has no other layout of this item.

    `migrate contract STEP --keep NAME` drops the other layouts of the state that NAME is a layout of, as
    `migrate expand` recorded them in the step. Other items of the step are never dropped. `migrate inspect STEP` lists
    the layouts.
    """

    number = "M722"


class DependentLayout(Code):
    """A layout that would be kept needs the files of one that would be dropped.

    An item that `migrate expand` added has names of its own (hard links) for all its data files. Here, links lead from
    the kept item to another place, so that it would lose its data. Replace the links by copies of the files, then run
    `migrate contract` again.
    """

    number = "M723"


class ForeignFiles(Code):
    """A layout that would be dropped has files that are not part of it.

    `migrate contract` deletes the directory of an item. Orbax allows other files in it and ignores them; they would be
    lost. Move them away, then run the command again.
    """

    number = "M724"
