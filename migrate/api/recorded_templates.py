"""Recorded trees in place of models: `migrate template` writes them, and all that take a template read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrate.codes import InvalidUsage, OtherRecordedCall
from migrate.errors import UsageError
from migrate.rules.model import Target
from migrate.rules.recorded_tree import RecordedTree, TracedCall, read_tree, require_callable

if TYPE_CHECKING:
    from migrate.rules.model import RuleSet
    from migrate.template import Layout, Template


def record_template(
    template: str | None = None,
    rules: RuleSet | None = None,
    layout: Layout | None = None,
    *,
    allow_code: bool = False,
) -> RecordedTree:
    """Trace the callable that makes a model and return what stands for it in a file; no array is allocated.

    Args:
      template: `module:callable` (default: the one that the rule file names).
      rules: the rule set that gives the callable its arguments.
      layout: the layout of the checkpoint (default: that of the rule file, or `state`).
      allow_code: whether the rule file's template may run if the file or the module is not below the current directory.

    Raises:
      UsageError: no callable is named (`InvalidUsage`), or a recorded tree in place of one (`ModelNeeded`).
      RefusedError: the rule file's template may not run (`CodeNotAllowed`).
      CheckpointError: the callable cannot be found or fails (`InvalidTemplate`).
    """
    from migrate.rules.permission import require_permission
    from migrate.template import abstract_template

    target = rules.target if rules else Target()
    spec = template or target.template
    if spec is None:
        where = f"`{rules.path}` names no template" if rules else "no model is named"
        raise UsageError(InvalidUsage.at(where, help="`migrate template module:callable -o NAME.tree.json`"))
    require_callable(spec, "a tree is recorded from")
    if rules is not None and template is None:
        require_permission(rules.template_code, allow_code=allow_code)
    chosen = layout or target.layout or "state"
    made = abstract_template(spec, target.args, chosen)
    call = TracedCall(spec, dict(target.args), chosen, made.facts, made.variables)
    return RecordedTree(spec, target.model, None, made.tree, made.transforms, made.x64, call)


def recorded_template(spec: str, args: Mapping[str, Any] | None = None, layout: Layout | None = None) -> Template:
    """Return the template that a file records; neither JAX nor the model is imported.

    Args:
      spec: the file.
      args: the arguments that the template must have been recorded with (default: any).
      layout: the layout that it must have been recorded with (default: any).

    Raises:
      RuleFileError: the file cannot be read or is invalid (`InvalidRecordedTree`).
      UsageError: it was recorded with other arguments or another layout (`OtherRecordedCall`).
    """
    from migrate.template import Template

    recorded = read_tree(Path(spec))
    problems = list(_differences(recorded.call, args, layout)) if recorded.call else []
    if problems and recorded.call:
        message = f"{spec} was recorded from `{recorded.call.template}` with {' and '.join(problems)}"
        advice = f"`migrate template --rules RULES -o {spec} --overwrite` records what the rule file asks for"
        raise UsageError(OtherRecordedCall.at(message, help=advice))
    call = recorded.call or TracedCall(spec)
    made = Template(spec, recorded.tree, transforms=recorded.transforms, x64=recorded.x64)
    return replace(made, variables=call.variables, facts=call.facts)


def target_fields(spec: str) -> dict[str, Any]:
    """Return the fields of `target:` in the draft of a rule file: the call that a recorded tree comes from."""
    from migrate.planning.rule_text.write import Word

    call = read_tree(Path(spec)).call
    if call is None:
        return {}
    fields: dict[str, Any] = {"template": call.template}
    fields |= {"args": dict(call.args)} if call.args else {}
    return fields | ({} if call.layout == "state" else {"layout": Word(call.layout)})


def _differences(call: TracedCall, args: Mapping[str, Any] | None, layout: Layout | None) -> Iterator[str]:
    if args and dict(args) != dict(call.args):
        yield f"the arguments {dict(call.args)}, not {dict(args)}"
    if layout is not None and layout != call.layout:
        yield f"`layout: {call.layout}`, not `{layout}`"
