"""The arguments of a rule file: names with defaults, for which an including file may give other values.

`args: {encoder: encoder}` declares them. `${encoder}` in any field stands for the value, before the field is read. In a
file without `args:`, `${` has no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from migrate.codes import InvalidArgument, InvalidInclude, UnboundCapture
from migrate.errors import Diagnostic, did_you_mean
from migrate.rules.argument_values import declared_arguments
from migrate.rules.model import Include
from migrate.rules.source import ListNode, MapNode, Node, ScalarNode, Value

_USE = re.compile(r"\$\{([^{}]*)\}")


def fill_arguments(root: MapNode, given: Mapping[str, Value], findings: list[Diagnostic]) -> MapNode:
    """Returns the root of a rule file with the values in place of `${name}`; unknown names are added to `findings`.

    Args:
      root: the root mapping of the file.
      given: the values of the call or the model; the file's own `args:` has those of all others.
      findings: the findings about the file.
    """
    if not isinstance(root.get("args"), MapNode):
        return root
    values = {one.name: one.default for one in declared_arguments(root).values()} | dict(given)

    def fill(node: ScalarNode) -> ScalarNode:
        for match in _USE.finditer(node.text) if isinstance(node.value, str) else ():
            if match[1] not in values:
                span = node.span_of(match.start(), len(match[0]))
                message = f"`{match[0]}` is not an argument of this file"
                known = ", ".join(f"`{name}`" for name in values) or "none"
                findings.append(
                    UnboundCapture.at(
                        message, span=span, label=did_you_mean(match[1], values), help=f"its arguments: {known}"
                    )
                )
        return _filled(node, values)

    entries = tuple((key, node if key.text == "args" else _mapped(node, fill)) for key, node in root.entries)
    return MapNode(entries, root.span, root.size)


def given_arguments(
    root: MapNode, given: Mapping[str, Value], file: str, findings: list[Diagnostic]
) -> dict[str, Value]:
    """Returns the arguments that a call gives, in the types of the defaults of the file.

    Unknown names, and text in place of an integer, are added to `findings`.
    """
    defaults = {one.name: one.default for one in declared_arguments(root).values()}
    known = ", ".join(f"`{name}`" for name in defaults) or "none"
    found: dict[str, Value] = {}
    for name, value in given.items():
        if name not in defaults:
            message = f"`{file}` has no argument `{name}`"
            label = did_you_mean(name, defaults)
            findings.append(InvalidArgument.at(message, label=label, help=f"its arguments: {known}"))
        elif isinstance(defaults[name], int) and not re.fullmatch(r"-?[0-9]+", str(value)):
            findings.append(InvalidArgument.at(f"the argument `{name}` of `{file}` is an integer, not `{value}`"))
        else:
            found[name] = int(str(value)) if isinstance(defaults[name], int) else str(value)
    return found


def changed_arguments(root: MapNode, given: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the given arguments that have other values than the defaults of the file."""
    declared = declared_arguments(root)
    return {name: value for name, value in given.items() if value != declared[name].default}


def unknown_arguments(include: Include, root: MapNode) -> Iterator[Diagnostic]:
    """Yields a diagnostic for each argument of an include that the included file does not declare."""
    declared = root.get("args")
    names = [key.text for key, _ in declared.entries] if isinstance(declared, MapNode) else []
    known = ", ".join(f"`{name}`" for name in names) or "none"
    for name in include.args:
        if name not in names:
            yield InvalidInclude.at(
                f"`{include.file}` has no argument `{name}`",
                span=include.span,
                label=did_you_mean(name, names),
                help=f"its arguments: {known}",
            )


def _mapped(node: Node, change: Callable[[ScalarNode], ScalarNode]) -> Node:
    if isinstance(node, ScalarNode):
        return change(node)
    if isinstance(node, ListNode):
        return ListNode(tuple(_mapped(item, change) for item in node.items), node.span, node.size)
    return MapNode(tuple((key, _mapped(value, change)) for key, value in node.entries), node.span, node.size)


def _filled(node: ScalarNode, values: Mapping[str, Value]) -> ScalarNode:
    """Returns a scalar with its uses filled in; one that is nothing but a use takes the type of the value."""
    if not isinstance(node.value, str) or not _USE.search(node.text):
        return node
    whole = _USE.fullmatch(node.text)
    text = _USE.sub(lambda match: str(values.get(match[1], match[1])), node.text)
    return ScalarNode(values.get(whole[1], text) if whole else text, text, node.span, node.quoted)
