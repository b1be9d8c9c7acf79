"""Public function that loads a checkpoint through a rule file into the memory of devices."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from migrate.api.named_sources import Sources, joined
from migrate.api.plans import load_rules, placement, plan
from migrate.checkpoint import Checkpoint, StrPath, open_checkpoint
from migrate.codes import InvalidUsage
from migrate.engine.options import DEFAULT_RAM
from migrate.errors import PlanError, UsageError

if TYPE_CHECKING:
    from migrate.engine.loading.forecast import Forecast
    from migrate.engine.loading.recipient import Recipient
    from migrate.engine.loading.shardings import MeshLike
    from migrate.planning.model import Plan
    from migrate.rules.model import RuleSet


def load(
    checkpoint: Checkpoint | StrPath,
    rules: RuleSet | StrPath,
    template: str | None = None,
    *,
    mesh: MeshLike | None = None,
    into: Any = None,
    step: int | Literal["latest"] | None = None,
    item: str | None = None,
    max_ram: int = DEFAULT_RAM,
    allow_code: bool = False,
    sources: Sources | None = None,
) -> Any:
    """Return a model with the values of an old checkpoint, on its devices; no file is written.

    Every leaf is the one that Orbax would restore from the result of `apply`. In a job of several processes, all of
    them call it: their plans are compared before an array is read, and none returns before all have succeeded.

    Args:
      checkpoint: an open checkpoint, or its path: a file, an item, a step, or a root with steps.
      rules: a rule set, or its file.
      template: `module:callable`, which makes the model (default: the one that the rule file names).
      mesh: the mesh of the model's annotations, or its axes and sizes as in `data=2,model=4` (default: the mesh of
        `jax.set_mesh`; without one, arrays are placed on one device).
      into: a live or abstract model that gets the values: a module, an optimizer, a state, or a pytree or dict of them.
        Arrays keep their shardings. Modules are updated in place, in one step after everything was read and checked.
      step: which step of a root (default: the latest).
      item: which pytree of a step (default: all of them).
      max_ram: bytes of array data on the host at once, beside the loaded arrays; at least 64 MiB (default: 2 GiB).
      allow_code: whether the rule file's template and `call` ops may run if the file or the module is not below the
        current directory.
      sources: the named sources of the rules, open or by path (default: the paths of the rule file).

    Returns:
      What the callable returns, or `into`: its modules themselves, and new objects for its other parts.

    Raises:
      UsageError: there is no model, an argument is invalid, or a sharding does not fit its array.
      PlanError: the rules do not fit, or a leaf cannot have the value that it should; no array was read.
      RefusedError: code is not allowed, a cast or an assertion fails, or the checkpoint changed meanwhile.
      CheckpointError: the checkpoint cannot be read, or the callable cannot be found or fails.
      MigrateError: memory is exhausted, or another process of the job failed.
    """
    from migrate.engine.loading.agreement import agree
    from migrate.engine.loading.load import load as run
    from migrate.garbage import without_collection

    with ExitStack() as stack:

        def planned() -> tuple[Checkpoint, Recipient, Plan]:
            rule_set = load_rules(rules) if isinstance(rules, str | os.PathLike) else rules
            recipient = recipient_for(rule_set, template, into, allow_code=allow_code)
            with without_collection():
                main = stack.enter_context(_opened(checkpoint, step, item))
                source = stack.enter_context(joined(main, rule_set, sources))
                return source, recipient, plan(source, rule_set, recipient.template, max_ram=max_ram)

        source, recipient, made = agree(planned, lambda found: summary(*found[1:]))
        return run(made, source.reader, recipient, mesh=mesh, max_ram=max_ram, allow_code=allow_code)


def _opened(
    checkpoint: Checkpoint | StrPath, step: int | Literal["latest"] | None, item: str | None
) -> AbstractContextManager[Checkpoint]:
    if not isinstance(checkpoint, Checkpoint):
        return open_checkpoint(checkpoint, step, item)
    if step is not None or item is not None:
        message = "`step` and `item` choose a part of a path, and the checkpoint is open already"
        raise UsageError(InvalidUsage.at(message, help="pass them to `migrate.open_checkpoint`"))
    return nullcontext(checkpoint)


def summary(recipient: Recipient, made: Plan) -> str:
    """Return what has to be equal in all processes that load together: the plan and the model."""
    model = recipient.template.tree.structure_hash.removeprefix("sha256:")[:12]
    return f"plan {made.digest.removeprefix('sha256:')[:12]}, model {model}"


def forecast_load(
    checkpoint: Checkpoint,
    rules: RuleSet,
    made: Plan,
    mesh: str,
    template: str | None = None,
    *,
    allow_code: bool = False,
) -> Forecast:
    """Return what each device of a mesh will decode and keep when `load` carries out a plan; no array is read.

    Args:
      checkpoint: the source of the plan.
      rules: its rules.
      made: the plan.
      mesh: axes and sizes, as in `data=2,model=4`.
      template: as for `load`.
      allow_code: as for `load`.

    Raises:
      UsageError: the mesh cannot be read, or the size of an axis is open (`InvalidSharding`).
      PlanError: a sharding of the model does not fit the mesh (`InvalidSharding`).
    """
    from migrate.engine.loading.forecast import forecast

    placed = plan(checkpoint, rules, template, mesh=mesh, allow_code=allow_code)
    if not placed.applicable:
        raise PlanError(*(found for found in placed.diagnostics if found.is_error))
    axes, _ = placement(mesh, None)
    return forecast(made, placed.target, axes or ())


def recipient_for(rules: RuleSet, template: str | None, into: Any, *, allow_code: bool) -> Recipient:
    """Return the model that gets the values.

    Raises:
      UsageError: neither the arguments nor the rule file name one (`InvalidUsage`), or only its tree is recorded
        (`ModelNeeded`).
      RefusedError: the rule file's template may not run (`CodeNotAllowed`).
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.engine.loading.recipient import INTO, recipient_of_callable, recipient_of_object
    from migrate.rules.permission import require_permission
    from migrate.rules.recorded_tree import require_callable

    target = rules.target
    layout = target.layout or "state"
    if into is not None:
        return recipient_of_object(into, template or INTO, layout)
    spec = template or target.template
    if spec is None:
        message = f"there is no model to load into: `{rules.path}` names no template"
        advice = 'pass `template="module:callable"` or `into=model`, or write `target: {template: …}`'
        raise UsageError(InvalidUsage.at(message, help=advice))
    require_callable(spec, "a load fills")
    if template is None:
        require_permission(rules.template_code, allow_code=allow_code)
    return recipient_of_callable(spec, target.args, layout)
