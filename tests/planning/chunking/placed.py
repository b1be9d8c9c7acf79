"""Plans whose source has chunks and saved shardings, in short notation."""

from dataclasses import replace
from pathlib import Path

from migrate.errors import Span
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.planner import make_plan
from migrate.rules.loader import parse_rules
from migrate.rules.partition_file import Partition, PartitionEntry
from migrate.rules.pattern import Pattern
from migrate.tree import AbstractTree, Sharding, Storage, parse_path
from tests.planning.trees import Template, leaf

EIGHT = (("x", 8),)
SPAN = Span("p.yaml", 1, 1, 1, 2)


def stored(text, chunks, inner=None, spec=None, *, mesh=EIGHT, driver="zarr2"):
    """A leaf such as `4,6` in chunks of a database, saved with a sharding."""
    storage = Storage(driver, chunks, "zstd:1", None, inner, "<f4", database=True)
    return replace(leaf(text), storage=storage, sharding=Sharding(mesh, spec) if spec is not None else None)


def plan_of(leaves, rules="rules: []", *, template=None, annotations=None, mesh=None, zarr3=False):
    """The plan for leaves of `stored`; `annotations` has the specs of the template."""
    tree = AbstractTree.build((parse_path(path), each) for path, each in leaves.items())
    source = AbstractCheckpoint(Path("old"), "test", {"": tree}, zarr3=zarr3, locates_chunks=True)
    model = None
    if template is not None:
        model = Template(template)
        model.tree = AbstractTree.build(
            (path, replace(each, sharding=Sharding((), annotations[path[-1]]) if path[-1] in annotations else None))
            for path, each in model.tree.leaves.items()
        )
    return make_plan(source, parse_rules(f"migrate: 1\n{rules}", "rules.yaml"), model, mesh=mesh)


def partition(**specs):
    """A partition file with one line for each pattern."""
    return Partition("p.yaml", tuple(PartitionEntry(Pattern.parse(text), spec, SPAN) for text, spec in specs.items()))
