"""Digests of the Python code that a model consists of: its classes, and what they use of their own package.

Only syntax is digested, so comments, docstrings, blank lines and line breaks do not matter. Modules are found by path
and parsed; none is imported. Packages whose versions are recorded, such as Flax, have no digests.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrate.template.user_code import is_installed

_FRAMEWORKS = frozenset({"flax", "jax", "jaxlib", "optax", "orbax", "chex", "numpy", "migrate"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def source_digests(classes: Iterable[type]) -> dict[str, str]:
    """Returns `sha256:` of the used definitions of each module, by module name.

    Args:
      classes: the classes of a model; those of frameworks and of the standard library are left out, bases are added.
    """
    bases = {base for cls in classes for base in cls.__mro__ if is_own_class(base)}
    used: dict[str, str] = {}
    for root in sorted({_root_of(cls) for cls in bases if _file_of(cls)}):
        walk = _Walk(root)
        for cls in bases:
            if _file_of(cls) and _root_of(cls) == root:
                walk.add(_module_name(cls), cls.__qualname__.partition(".")[0])
        used.update(walk.digests())
    for cls in sorted(bases, key=lambda cls: cls.__qualname__):
        if not _file_of(cls) and (text := _text_of(cls)):
            used[f"{cls.__module__}.{cls.__qualname__}"] = _digest(ast.parse(text).body)
    return dict(sorted(used.items()))


def is_own_class(cls: type) -> bool:
    """Whether a class belongs to the user: not to a framework or the standard library."""
    top = cls.__module__.partition(".")[0]
    return top == "__main__" or (top not in _FRAMEWORKS and top not in sys.stdlib_module_names)


@dataclass(frozen=True, order=True)
class _Root:
    """The directory below which the modules of one package are found, and the package; "" for modules of no package."""

    folder: Path
    package: str

    def file(self, module: str) -> Path | None:
        """Returns the file of a module of this package; None for every other module."""
        if self.package and module.partition(".")[0] != self.package:
            return None
        place = self.folder.joinpath(*module.split("."))
        files = (place.with_suffix(".py"), place / "__init__.py")
        return next((file for file in files if file.is_file() and not (not self.package and is_installed(file))), None)


def _file_of(cls: type) -> str | None:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file if file and file.endswith(".py") else None


def _module_name(cls: type) -> str:
    """Returns the name of a class's module; that of a program that runs is the name under which it is imported."""
    if cls.__module__ != "__main__":
        return cls.__module__
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name.removesuffix(".__main__") if spec else Path(_file_of(cls) or "").stem


def _root_of(cls: type) -> _Root:
    file, name = Path(_file_of(cls) or "").resolve(), _module_name(cls)
    depth = name.count(".") + (file.name == "__init__.py")
    is_packaged = "." in name or file.name == "__init__.py"
    return _Root(file.parents[depth], name.partition(".")[0] if is_packaged or is_installed(file) else "")


def _text_of(cls: type) -> str | None:
    """Returns the text of a class that was typed in, as in a notebook."""
    try:
        return textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        return None


@dataclass
class _Code:
    """One parsed module.

    Attributes:
      name: its name.
      package: the package that relative imports start from.
      body: its statements.
      used: the positions of the statements that the model uses.
      bound: the positions of the statements that bind each name.
      imports: for each imported name, the module and the name in it; None for the module itself.
    """

    name: str
    package: str
    body: list[ast.stmt]
    used: set[int] = field(default_factory=set)
    bound: dict[str, set[int]] = field(default_factory=dict)
    imports: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, file: Path) -> _Code | None:
        try:
            body = ast.parse(file.read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            return None
        code = cls(name, name if file.name == "__init__.py" else name.rpartition(".")[0], body)
        for at, statement in enumerate(body):
            for bound in _bound(statement):
                code.bound.setdefault(bound, set()).add(at)
            for bound, module, attribute in code.imported(statement):
                code.imports.setdefault(bound, []).append((module, attribute))
        return code

    def imported(self, statement: ast.AST) -> Iterator[tuple[str, str, str | None]]:
        """Yields the name, the module and the name in the module of each import in a statement."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.asname or alias.name.partition(".")[0], alias.name, None
            elif isinstance(node, ast.ImportFrom):
                above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1] if node.level else []
                module = ".".join(filter(None, (*above, node.module or "")))
                for alias in node.names:
                    yield alias.asname or alias.name, module, alias.name


class _Walk:
    """Collects the statements that definitions of one package use, directly or not."""

    def __init__(self, root: _Root) -> None:
        self._root = root
        self._codes: dict[str, _Code | None] = {}
        self._pending: list[tuple[str, str | None]] = []
        self._seen: set[tuple[str, str | None]] = set()

    def add(self, module: str, name: str | None) -> None:
        """Adds a name of a module, or the whole module for None, and what it uses."""
        self._pending.append((module, name))
        while self._pending:
            wanted = self._pending.pop()
            if wanted not in self._seen:
                self._seen.add(wanted)
                self._use(*wanted)

    def _use(self, module: str, name: str | None) -> None:
        code = self._code(module)
        if code is None:
            return
        places = set(range(len(code.body))) if name is None else code.bound.get(name, set())
        for at in places - code.used:
            self._follow(code, code.body[at])
        code.used |= places
        imports = code.imports.get(name, []) if name else []
        stars = code.imports.get("*", []) if name and not places and not imports else []
        for source, attribute in imports:
            self._import(source, attribute)
        self._pending += [(source, name) for source, _ in stars]

    def _code(self, module: str) -> _Code | None:
        if module not in self._codes:
            file = self._root.file(module) if module else None
            self._codes[module] = _Code.parse(module, file) if file else None
        return self._codes[module]

    def _import(self, module: str, name: str | None) -> None:
        """Adds what an import refers to: a submodule, a name of a module, or the module."""
        submodule = f"{module}.{name}".lstrip(".")
        is_name = name not in (None, "*") and not self._root.file(submodule)
        self._pending.append((module if is_name or name in (None, "*") else submodule, name if is_name else None))

    def _follow(self, code: _Code, statement: ast.stmt) -> None:
        for _, module, name in code.imported(statement):
            self._import(module, name)
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        self._pending += [(code.name, name) for name in used]

    def digests(self) -> dict[str, str]:
        """Returns the digest of each module's used statements."""
        codes = [code for code in self._codes.values() if code and code.used]
        return {code.name: _digest([code.body[at] for at in sorted(code.used)]) for code in codes}


def _bound(statement: ast.stmt) -> set[str]:
    """Returns the names that a statement of a module binds or changes, imports left out."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(getattr(node, "ctx", None), ast.Store):
            inner: Any = node
            while isinstance(inner, ast.Attribute | ast.Subscript | ast.Starred):
                inner = inner.value
            names |= {inner.id} if isinstance(inner, ast.Name) else set()
    return names


def _digest(statements: list[ast.stmt]) -> str:
    text = json.dumps([_canonical(statement) for statement in statements], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _canonical(node: object) -> Any:
    """Returns syntax as JSON that is the same in every version of Python: empty fields are left out."""
    if isinstance(node, list):
        return [_canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str) else repr(node)
    fields: Mapping[str, Any] = {name: value for name, value in ast.iter_fields(node) if name not in _IGNORED}
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields = {**fields, "body": fields["body"][1:]}
    kept = {name: _canonical(value) for name, value in fields.items() if value is not None and value != []}
    if isinstance(node, ast.Constant):
        kept = {"value": f"{type(node.value).__name__} {node.value!r}"}
    return [type(node).__name__, kept]
