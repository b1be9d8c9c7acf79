"""The import graph of the package, read from its source: modules, packages, and circles among them."""

import ast
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


def modules_below(package: Path) -> dict[str, Path]:
    """The files of a package by module name; `__init__.py` has the name of its package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(source: str, modules: Iterable[str], *, typing: bool) -> Iterator[tuple[str, int]]:
    """Yields the modules that a source imports, at its top or inside functions, with the line.

    Args:
      source: the text of a module.
      modules: the names of the package's modules; other imports are skipped.
      typing: whether imports below `if TYPE_CHECKING` count.
    """
    known = set(modules)
    tree = ast.parse(source)
    skipped = set() if typing else {id(inner) for node in ast.walk(tree) for inner in _type_checking(node)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield from ((name, node.lineno) for name in _names(node, known) if name in known)


def _type_checking(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for statement in node.body:
            yield from ast.walk(statement)


def _names(node: ast.AST, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            yield name if name in known else node.module


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
    for node in sorted(graph):
        if node not in seen and (path := _path(graph, node)) is not None:
            component = {other for other in _reachable(graph, node) if node in _reachable(graph, other)}
            seen |= component
            found.append(" -> ".join(path))
    return found


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
