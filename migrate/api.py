"""Everything the command line does, as functions; `migrate` re-exports them one by one, when they are asked for.

    import migrate

    rules = migrate.load_rules("rules.yaml")
    with migrate.open_checkpoint("old/") as checkpoint:
        plan = migrate.plan(checkpoint, rules)
        receipt = migrate.apply(plan, checkpoint, "new/")

Nothing heavy is imported before it is needed: opening a msgpack file never imports JAX.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from migrate.codes import M306, M412, M505
from migrate.errors import (
    CheckpointError,
    Diagnostic,
    ExitCode,
    MigrateError,
    PlanError,
    RefusedError,
    RuleFileError,
    Span,
    StoppedError,
    UsageError,
    VerifyError,
    nearest,
)
from migrate.events import LeafDone, Listener, PhaseDone, PhaseStarted, ignore
from migrate.formats.base import AbstractCheckpoint, Reader, Value, as_array
from migrate.metadata import Metadata
from migrate.planning.diff import Diff
from migrate.planning.diff import diff as diff_trees
from migrate.tree import AbstractTree, KeyPath, format_path, parse_path

if TYPE_CHECKING:
    from migrate.engine.receipt import Receipt
    from migrate.planning.model import Plan
    from migrate.planning.partition import Partition
    from migrate.planning.planner import TemplateLike
    from migrate.rules.model import RuleSet
    from migrate.template import Template

__all__ = [
    "AbstractTree",
    "Checkpoint",
    "CheckpointError",
    "Diagnostic",
    "Diff",
    "ExitCode",
    "Metadata",
    "MigrateError",
    "PlanError",
    "RefusedError",
    "RuleFileError",
    "Span",
    "StoppedError",
    "UsageError",
    "Verified",
    "VerifyError",
    "abstract_template",
    "apply",
    "diff",
    "list_steps",
    "load_rules",
    "open_checkpoint",
    "plan",
    "resume",
    "structure_hash",
    "verify",
]

StrPath = str | os.PathLike[str]
Mesh = tuple[tuple[str, int], ...]


class Checkpoint:
    """An open checkpoint: its tree is known, its values are read one leaf at a time. A context manager.

    Attributes:
      reader: what reads it.
      abstract: everything about it but its values.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.abstract: AbstractCheckpoint = reader.abstract()

    @property
    def tree(self) -> AbstractTree:
        """The abstract tree that rules see; no array byte was read for it."""
        return self.abstract.tree

    def read(self, path: str | KeyPath) -> Value:
        """One leaf's value, by its key path: `"params/Dense_0/kernel"`, or a tuple of segments.

        Raises:
          KeyError: there is no such leaf; the message names the nearest.
          CheckpointError: the file does not hold what its metadata says.
        """
        key_path = parse_path(path) if isinstance(path, str) else tuple(path)
        if key_path not in self.tree.leaves:
            raise KeyError(_no_such_leaf(key_path, self.tree))
        return self.reader.read(key_path)

    def close(self) -> None:
        """Release files; reading is over."""
        self.reader.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_such_leaf(path: KeyPath, tree: AbstractTree) -> str:
    name = format_path(path)
    found = nearest(name, map(format_path, tree.leaves))
    return f"no leaf `{name}`" + (f"; did you mean `{found}`?" if found else "")


def open_checkpoint(
    path: StrPath,
    step: int | Literal["latest"] | None = None,
    item: str | None = None,
    unbox: Literal["auto", "never"] = "auto",
) -> Checkpoint:
    """Open a checkpoint of any format and era; no array byte is read and no device is touched.

    Args:
      path: a file, an item, a step, or a root with steps.
      step: which step of a root; the latest by default.
      item: which pytree of a step; all of them by default.
      unbox: whether key paths lose the level that Flax's boxes add on disk (`auto`).

    Raises:
      CheckpointError: it cannot be read; the diagnostics say why and what to do.
    """
    from migrate.formats.detect import open_reader

    reader = open_reader(path, step, item, unbox)
    try:
        return Checkpoint(reader)
    except BaseException:
        reader.close()
        raise


def list_steps(path: StrPath) -> tuple[int, ...]:
    """The finished steps below a root, in rising order; none where the path is one checkpoint.

    Raises:
      CheckpointError: there is no checkpoint.
    """
    from migrate.formats import detect

    return detect.list_steps(path)


def load_rules(path: StrPath) -> RuleSet:
    """A rule file, or a bundled one by its bare name.

    Raises:
      RuleFileError: with every mistake that is in it.
    """
    from migrate.rules.loader import load_rules as load

    return load(os.fspath(path))


def abstract_template(
    spec: str, args: Mapping[str, Any] | None = None, layout: Literal["state", "pure_dict", "items"] = "state"
) -> Template:
    """The tree that a model expects, from the callable that makes it (`module:callable`), without allocating an array.

    Raises:
      CheckpointError: the callable cannot be found or fails (M408).
    """
    from migrate.template import abstract_template as build

    return build(spec, args, layout)


def template_of(rules: RuleSet | None, spec: str | None = None) -> Template | None:
    """The template that the user or else the rule file names; the rule file's arguments and layout hold for both."""
    target = rules.target if rules else None
    chosen = spec or (target.template if target else None)
    if chosen is None:
        return None
    return abstract_template(chosen, target.args if target else None, (target.layout if target else None) or "state")


def plan(
    checkpoint: Checkpoint,
    rules: RuleSet | StrPath,
    template: TemplateLike | str | None = None,
    *,
    mesh: Mesh | str | None = None,
    partition: Partition | StrPath | None = None,
    as_step: bool = False,
    link: Literal["auto", "never"] = "auto",
    max_ram: int | None = None,
    destination: StrPath | None = None,
) -> Plan:
    """Decide what happens to every leaf; nothing is read and nothing is written.

    Args:
      checkpoint: the source.
      rules: a rule set, or its file.
      template: what the target expects, or `module:callable`; by default what the rule file names.
      mesh: axes and sizes, as a value or as `data=-1,model=4`; without it the output suits any devices.
      partition: which key paths are split over which axes, or its file.
      as_step: whether one pytree is written as a step with one item, for a `CheckpointManager` root.
      max_ram: host bytes that `apply` will be given, for the plan to say how much of them it needs.
      link: whether arrays whose bytes do not change are linked (`auto`), or read and written like all others (`never`).
      destination: where it will be written; a single file, as its suffix may ask for, cannot hold everything.

    Returns:
      The plan. A mistake of the user raises nothing here: `plan.applicable` says no, `plan.diagnostics` say why.
    """
    from migrate.engine.outputs import fitted
    from migrate.planning.planner import make_plan

    rule_set = load_rules(rules) if isinstance(rules, str | os.PathLike) else rules
    built = template_of(rule_set, template) if template is None or isinstance(template, str) else template
    axes, table = _placement(mesh, partition)
    made = make_plan(checkpoint.abstract, rule_set, built, mesh=axes, partition=table, link=link == "auto")
    diagnostics = (*made.diagnostics, *getattr(built, "notes", ()))
    made = replace(made, as_step=as_step, max_ram=max_ram, diagnostics=diagnostics)
    return made if destination is None else fitted(made, destination, mesh=axes is not None)


def _placement(mesh: Mesh | str | None, partition: Partition | StrPath | None) -> tuple[Mesh | None, Partition | None]:
    from migrate.planning.partition import load_partition
    from migrate.sharding import parse_mesh

    if mesh is None and partition is not None:
        message = "a partition without a mesh says nothing"
        raise UsageError(M412.at(message, help="name the axes, for example `--mesh data=-1,model=4`"))
    axes = parse_mesh(mesh) if isinstance(mesh, str) else mesh
    return axes, load_partition(partition) if isinstance(partition, str | os.PathLike) else partition


def apply(plan: Plan, checkpoint: Checkpoint, destination: StrPath, **options: Any) -> Receipt:
    """Run a plan: stage, commit, verify, publish.

    Args:
      plan: one that is applicable.
      checkpoint: the source that it was made for.
      destination: where the new checkpoint appears, all at once, when it is complete and verified.
      **options: `overwrite`, `verify`, `max_ram` and all others of `migrate.engine.run.apply`.

    Raises:
      PlanError: the plan is not applicable.
      RefusedError: the destination exists, code is not allowed, a cast or an assertion fails.
      VerifyError: what was written is not what was meant; nothing was published.
      StoppedError: it was stopped; nothing was published, and the same call goes on.
    """
    from migrate.engine.run import apply as run

    return run(plan, checkpoint.reader, Path(destination), **options)


def resume(plan: Plan, checkpoint: Checkpoint, destination: StrPath, **options: Any) -> Receipt:
    """The same as `apply`, for those who expect that an earlier run was killed or stopped.

    Raises:
      UsageError: there is no unfinished run of this plan beside the destination. Otherwise see `apply`.
    """
    from migrate.engine.run import resume as run

    return run(plan, checkpoint.reader, Path(destination), **options)


def diff(source: Checkpoint | AbstractTree, target: Checkpoint | Template | AbstractTree) -> Diff:
    """What `target` expects against what `source` holds, by key path, shape and dtype."""
    sides = [side if isinstance(side, AbstractTree) else side.tree for side in (source, target)]
    return diff_trees(*sides)


def structure_hash(tree: AbstractTree | Checkpoint | Template) -> str:
    """`sha256:` and the hash of key paths, shapes and dtypes: equal for checkpoints of one structure."""
    return tree.structure_hash if isinstance(tree, AbstractTree) else tree.tree.structure_hash


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification looked at; what does not hold is raised instead.

    Attributes:
      leaves: how many leaves there are.
      compared: how many were compared with the rules applied to the source again; None without a source.
      recorded: the structure hash that the checkpoint records, and that its tree has; None if it records none.
      template: the template whose tree this is, if one was given.
    """

    leaves: int
    compared: int | None = None
    recorded: str | None = None
    template: str | None = None


def verify(
    destination: StrPath,
    *,
    plan: Plan | None = None,
    source: Checkpoint | None = None,
    template: Template | None = None,
    listener: Listener = ignore,
) -> Verified:
    """Check a checkpoint: its record of its own structure, every leaf, and what else is given to compare with.

    Args:
      destination: the checkpoint.
      plan: with `source`: every leaf is compared, bit for bit, with what the plan makes of the source.
      source: the checkpoint that the plan is for.
      template: the tree has to be this one.
      listener: told about every leaf.

    Raises:
      VerifyError: something does not hold; the diagnostics say what.
      CheckpointError: the checkpoint cannot be read.
    """
    with open_checkpoint(destination) as checkpoint:
        recorded = _check_record(checkpoint)
        if template is not None:
            _check_template(checkpoint, template)
        if plan is None or source is None:
            _read_all(checkpoint, listener)
    compared = None
    if plan is not None and source is not None:
        from migrate.engine.outputs import output_at

        output = output_at(Path(destination))
        plan = output.fit(replace(plan, as_step=any(checkpoint.abstract.items)))
        compared = output.check_values(plan, source.reader, Path(destination), listener)
    return Verified(len(checkpoint.tree.leaves), compared, recorded, template.spec if template else None)


def _check_record(checkpoint: Checkpoint) -> str | None:
    metadata = Metadata.from_json(checkpoint.abstract.metadata)
    recorded = metadata.structure_hash if metadata else None
    if recorded is not None and recorded != checkpoint.tree.structure_hash:
        message = (
            f"{checkpoint.abstract.path} records structure {recorded[:19]}… but has {structure_hash(checkpoint)[:19]}…"
        )
        raise VerifyError(M306.at(message))
    return recorded


def _check_template(checkpoint: Checkpoint, template: Template) -> None:
    found = diff(checkpoint, template)
    sides = {
        "is missing": found.missing,
        "is not in the template": found.unexpected,
        "has another shape or dtype": tuple(dict.fromkeys((*found.shape_mismatch, *found.dtype_mismatch))),
    }
    problems = [_mismatch(how, paths, template.spec) for how, paths in sides.items() if paths]
    if problems:
        raise VerifyError(*problems)


def _mismatch(how: str, paths: tuple[KeyPath, ...], spec: str) -> Diagnostic:
    message = f"{len(paths)} of the leaves that `{spec}` and the checkpoint have: each {how}"
    return M505.at(message, paths=map(format_path, paths), help="`migrate diff DST --template M:F` shows both sides")


def _read_all(checkpoint: Checkpoint, listener: Listener) -> None:
    """Reads every leaf and compares its shape and dtype with what the metadata says."""
    start = time.monotonic()
    listener(PhaseStarted("verify", len(checkpoint.tree.leaves), checkpoint.tree.nbytes))
    for path in checkpoint.tree.leaves:
        _read_one(checkpoint, path)
        listener(LeafDone("verify", path, checkpoint.tree.leaves[path].nbytes))
    listener(PhaseDone("verify", time.monotonic() - start))


def _read_one(checkpoint: Checkpoint, path: KeyPath) -> None:
    from migrate import dtypes

    leaf = checkpoint.tree.leaves[path]
    value = checkpoint.reader.read(path)
    if leaf.kind != "array" or leaf.aval is None:
        return
    array = as_array(value, leaf.kind)
    if array.shape != leaf.aval.shape or dtypes.from_numpy(array.dtype) != leaf.aval.dtype:
        message = f"`{format_path(path)}` is {leaf}, but its data are {array.dtype}{list(array.shape)}"
        raise VerifyError(M306.at(message, paths=[format_path(path)]))
