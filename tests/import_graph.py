"""The import graph of the package, read from its source: modules, packages, and circles among them."""

import ast
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

Graph = Mapping[str, set[str]]


def modules_below(package: Path) -> dict[str, Path]:
    """The files of a package by module name; `__init__.py` has the name of its package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


class Outline(NamedTuple):
    """A module as it is written: its docstring, the classes at its top, and its imports in the order of its lines.

    An import is the module, the name that is taken from it or None, the line, and whether only type checkers run it.
    """

    docstring: str | None
    classes: tuple[str, ...]
    imports: tuple[tuple[str, str | None, int, bool], ...]


@cache
def outline(source: str) -> Outline:
    """Returns the outline of a module; hundreds of syntax trees would need much memory."""
    tree = ast.parse(source)
    classes = tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    return Outline(ast.get_docstring(tree), classes, tuple(_imports(tree.body, typing=False)))


def _below(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the statements in a statement, of functions and classes too."""
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        yield from getattr(node, name, ())


def _imports(body: Iterable[ast.AST], *, typing: bool) -> Iterator[tuple[str, str | None, int, bool]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name, node.lineno, typing) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imports(node.body, typing=True)
            yield from _imports(node.orelse, typing=typing)
        else:
            yield from _imports(_below(node), typing=typing)


def imported(source: str, modules: Container[str], *, typing: bool) -> Iterator[tuple[str, int]]:
    """Yields the modules that a source imports, at its top or inside functions, with the line.

    Args:
      source: the text of a module.
      modules: the names of the package's modules; other imports are skipped.
      typing: whether imports below `if TYPE_CHECKING` count.
    """
    for module, name, line, is_typing in outline(source).imports:
        found = module if name is None or f"{module}.{name}" not in modules else f"{module}.{name}"
        if found in modules and (typing or not is_typing):
            yield found, line


def import_graph(sources: Mapping[str, str], *, typing: bool) -> dict[str, set[str]]:
    """The modules that each module imports, from the sources by module name."""
    return {
        module: {name for name, _ in imported(source, sources, typing=typing)} - {module}
        for module, source in sources.items()
    }


def between_children(graph: Graph, package: str) -> dict[str, set[str]]:
    """The imports among the modules and packages right below a package."""

    def child(module: str) -> str | None:
        return ".".join(module.split(".")[: package.count(".") + 2]) if module.startswith(f"{package}.") else None

    found: dict[str, set[str]] = {}
    for module, names in graph.items():
        if (own := child(module)) is not None:
            found.setdefault(own, set()).update({other for name in names if (other := child(name))} - {own})
    return found


def circles(graph: Graph) -> list[str]:
    """One circle of each strongly connected component, as `a -> b -> a`."""
    found, seen = [], set[str]()
    for node in sorted(_leading_into_circles(graph)):
        if node not in seen and (path := _path(graph, node)) is not None:
            component = {other for other in _reachable(graph, node) if node in _reachable(graph, other)}
            seen |= component
            found.append(" -> ".join(path))
    return found


def _leading_into_circles(graph: Graph) -> set[str]:
    """The nodes that are left when those that lead to no other are taken away again and again."""
    left = set(graph)
    while ends := {node for node in left if left.isdisjoint(graph[node])}:
        left -= ends
    return left


def _path(graph: Graph, node: str) -> list[str] | None:
    """A shortest path from a node back to itself."""
    paths = deque([[node]])
    visited = set[str]()
    while paths:
        path = paths.popleft()
        for name in sorted(graph.get(path[-1], ())):
            if name == node:
                return [*path, node]
            if name not in visited:
                visited.add(name)
                paths.append([*path, name])
    return None


def _reachable(graph: Graph, node: str) -> set[str]:
    pending, found = [node], set[str]()
    while pending:
        for name in graph.get(pending.pop(), ()):
            if name not in found:
                found.add(name)
                pending.append(name)
    return found
