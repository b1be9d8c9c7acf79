"""The public function that verifies a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.api.named_sources import Sources, joined_as_planned
from migrate.checkpoint import Checkpoint, StrPath, open_checkpoint
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM
from migrate.errors import UsageError
from migrate.events import Listener, ignore
from migrate.places.names import place_of
from migrate.tree import KeyPath

if TYPE_CHECKING:
    from migrate.engine.probing.probe import Probed
    from migrate.engine.verification.value_diff import ValueDiff
    from migrate.planning.diff import Diff
    from migrate.planning.model import Plan, Proof
    from migrate.template import Template


@dataclass(frozen=True, slots=True)
class Verified:
    """The extent of a verification that passed.

    Attributes:
      leaves: the number of leaves.
      compared: the number of leaves that were compared with the rules applied to the source; None without a source.
      recorded: the structure hash that the checkpoint records, equal to that of its tree; None if it records none.
      template: the template with an equal tree, if one was given.
      digests: the number of leaves whose values have the digests that the checkpoint records; None with a source.
      undigested: the leaves that were decoded, but for which no digest is recorded; empty with a source.
      probe: the findings of the probe, if one was run.
      proofs: the number of leaves for each kind of proof; empty without a source.
    """

    leaves: int
    compared: int | None = None
    recorded: str | None = None
    template: str | None = None
    probe: Probed | None = None
    digests: int | None = None
    undigested: tuple[KeyPath, ...] = ()
    proofs: Mapping[Proof, int] = field(default_factory=dict)


def verify(
    destination: StrPath,
    *,
    plan: Plan | None = None,
    source: Checkpoint | None = None,
    template: Template | None = None,
    probe: str | None = None,
    tolerance: float | None = None,
    rtol: float | None = None,
    allow_code: bool = False,
    max_ram: int = DEFAULT_RAM,
    jobs: int | None = None,
    listener: Listener = ignore,
    follow_links: bool = False,
    sources: Sources | None = None,
) -> Verified:
    """Check a checkpoint against the structure and the digests that it records, and against what is given.

    Args:
      destination: the checkpoint.
      plan: with `source`, every leaf is compared, bit for bit, with the result of the plan on the source.
      source: the checkpoint that the plan was made for.
      template: the template whose tree the checkpoint must have.
      probe: with `plan` and `source`: `module:function` that compares outputs of the old model and the new.
      tolerance: outputs pass if |old − new| ≤ tolerance + rtol · |old| everywhere, as in `numpy.allclose` (default:
        that of the rule file's probe, or 1e-5).
      rtol: the relative part of that bound, for floats and complex numbers (default: as for `tolerance`).
      allow_code: whether the plan's `call` ops may run if the rule file or the module is not below the current
        directory.
      max_ram: without a source: host bytes of arrays in memory at once (default: 2 GiB).
      jobs: without a source: the number of leaves that are read at once (default: the number of CPUs).
      listener: receives an event for every leaf.
      follow_links: whether links in the destination may lead out of it (default: no).
      sources: the named sources that the plan was made for, open or by path (default: the paths of the plan).

    Raises:
      RefusedError: a `call` op may not run (`CodeNotAllowed`).
      VerifyError: a check failed; the diagnostics name the leaves.
      CheckpointError: the checkpoint cannot be read, or the probe cannot be run or proves nothing.
      UsageError: a probe without source, plan or template.
    """
    from migrate.engine.verification import standalone as alone
    from migrate.engine.workspace.directory import clear_needless
    from migrate.planning.carried_items import without_carried_items
    from migrate.rules.permission import require_permission

    if probe is not None and (plan is None or source is None):
        raise UsageError(InvalidUsage.at("a probe needs the source and the plan", help="give `plan` and `source`"))
    if plan is not None and source is not None:
        model = plan.rules.template_code if probe is not None and plan.rules.planned is not None else ()
        require_permission((*model, *plan.rules.call_code), allow_code=allow_code)
    clear_needless(place_of(destination))
    with open_checkpoint(destination, follow_links=follow_links) as checkpoint:
        recorded = alone.check_record(checkpoint.abstract)
        if template is not None:
            tree = without_carried_items(checkpoint.abstract, template.tree)
            alone.check_template(tree, template, str(destination))
    done = Verified(len(checkpoint.tree.leaves), None, recorded, template.spec if template else None)
    if plan is None or source is None:
        with open_checkpoint(destination, unbox="never", follow_links=follow_links) as stored:
            found = alone.check_values(stored.reader, listener, max_ram=max_ram, jobs=jobs)
        return replace(done, digests=found.compared, undigested=tuple(found.undigested))
    plan = replace(plan, as_step=any(checkpoint.abstract.items))
    with joined_as_planned(source, plan, sources) as whole:
        return _compared(
            done, plan, whole, place_of(destination), probe, (tolerance, rtol), listener, follow_links=follow_links
        )


def diff_values(
    source: Checkpoint,
    target: Checkpoint,
    found: Diff,
    *,
    plan: Plan | None = None,
    max_ram: int = DEFAULT_RAM,
    allow_code: bool = False,
    listener: Listener = ignore,
) -> ValueDiff:
    """Compare the values of the leaves that two checkpoints have in common, bit for bit.

    Args:
      source: the side of the expected values.
      target: the other side.
      found: their difference by key path, from `diff`; with a plan, that of its result.
      plan: the plan whose result on the source is compared instead of the source itself.
      max_ram: host bytes of arrays in memory at once (default: 2 GiB); larger leaves are compared in parts.
      allow_code: whether the plan's `call` ops may run if the rule file or the module is not below the current
        directory.
      listener: receives an event for every leaf.

    Raises:
      RefusedError: a `call` op may not run (`CodeNotAllowed`), or a cast would change a value.
      CheckpointError: a leaf cannot be read.
    """
    from migrate.engine.verification.value_diff import diff_checkpoints, diff_result
    from migrate.planning.box_levels import template_path
    from migrate.rules.permission import require_permission

    both = (*found.same, *dict.fromkeys((*found.shape_mismatch, *found.dtype_mismatch)))
    if plan is not None:
        require_permission(plan.rules.call_code, allow_code=allow_code)
        with joined_as_planned(source, plan) as whole:
            return diff_result(plan, whole.reader, target.reader, both, max_ram=max_ram, listener=listener)
    origins = {template_path(path, leaf.box, target.tree): path for path, leaf in source.tree.leaves.items()}
    pairs = {path: origins[path] for path in both}
    return diff_checkpoints(source.reader, target.reader, pairs, max_ram=max_ram, listener=listener)


def _compared(
    done: Verified,
    plan: Plan,
    source: Checkpoint,
    destination: Path,
    probe: str | None,
    tolerances: tuple[float | None, float | None],
    listener: Listener,
    *,
    follow_links: bool,
) -> Verified:
    """Adds the comparison with the source, and the probe."""
    from migrate.engine.outputs.registry import output_at
    from migrate.engine.probing import probe as probing
    from migrate.planning.proof import count_proofs

    output, chosen = output_at(destination), None
    plan = output.fit(plan)
    if probe is not None:
        chosen = probing.chosen_probe(plan, probe, *tolerances, destination)
    compared = output.check_values(plan, source.reader, destination, listener, follow_links=follow_links)
    proved, probed = probing.prove(plan, chosen, source.reader, destination, all_of_it=False)
    return replace(done, compared=compared, probe=probed, proofs=count_proofs(proved.tasks))
