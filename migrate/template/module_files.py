"""Finds the files that an import would run, without importing the module or its parents.

`importlib.util.find_spec` imports the parents of a module, so only top-level names are looked up with it; below them,
the search paths of the parents are followed by hand, as the import system does.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.machinery import ModuleSpec, NamespaceLoader
from pathlib import Path

from migrate.template.user_code import importable_directory

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class NoSuchModuleError(Exception):
    """No module of this name can be imported.

    Attributes:
      name: the first of the dotted names that is missing.
      search: the directories that were searched for it; None for `sys.path`.
    """

    def __init__(self, name: str, search: Iterable[str] | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.search = None if search is None else list(search)


def is_module_below_here(name: str) -> bool:
    """Returns whether importing a module runs only files below the current directory, its parents' included.

    Namespace packages have no file to run.

    Raises:
      NoSuchModuleError: it does not exist.
    """
    importlib.invalidate_caches()
    search: list[str] | None = None
    below = True
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        if count > 1 and search is None:  # the parent is not a package
            raise NoSuchModuleError(".".join(parts[:count]), ())
        spec, search = _find(".".join(parts[:count]), search)
        below = below and _is_below(spec)
    return below


def is_loaded_from_below_here(name: str) -> bool:
    """Returns whether a module is loaded, from a file below the current directory."""
    return name in sys.modules and _is_below(getattr(sys.modules[name], "__spec__", None))


def is_below_here(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file or directory is below the current directory, symbolic links resolved.

    False for installed packages and the standard library, and where the current directory is `/` or was deleted.
    """
    try:
        here = Path.cwd().resolve()
    except OSError:
        return False
    place = Path(os.path.realpath(path))
    if here == Path(here.anchor) or not place.is_relative_to(here) or not os.path.exists(place):
        return False
    return _INSTALLED.isdisjoint(place.relative_to(here).parts) and not any(
        place.is_relative_to(folder) for folder in _libraries()
    )


def _find(name: str, search: Iterable[str] | None) -> tuple[ModuleSpec | None, list[str] | None]:
    """Returns the spec of a module and its own search path; the spec is None for a loaded module without one."""
    if name in sys.modules:
        loaded = sys.modules[name]
        path = getattr(loaded, "__path__", None)
        return getattr(loaded, "__spec__", None), None if path is None else list(path)
    spec = _top_level(name) if search is None else _below(name, search)
    if spec is None:
        raise NoSuchModuleError(name, search)
    path = spec.submodule_search_locations
    return spec, None if path is None else list(path)


def _top_level(name: str) -> ModuleSpec | None:
    if not name.isidentifier():
        return None
    with importable_directory():
        return importlib.util.find_spec(name)


def _below(name: str, search: Iterable[str]) -> ModuleSpec | None:
    """Returns the spec of a module in its parent's search path, as `importlib.machinery.PathFinder` finds it."""
    if not name.rpartition(".")[2].isidentifier():
        return None
    portions: list[str] = []
    for entry in search:
        finder = pkgutil.get_importer(entry)
        spec = finder.find_spec(name) if finder is not None else None
        if spec is None:
            continue
        if spec.loader is not None:
            return spec
        portions += spec.submodule_search_locations or ()
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _is_below(spec: ModuleSpec | None) -> bool:
    """Returns whether a module is a file below the current directory, or a namespace package."""
    if spec is None:
        return False
    if spec.has_location:
        return spec.origin is not None and os.path.isabs(spec.origin) and is_below_here(spec.origin)
    return spec.submodule_search_locations is not None and isinstance(spec.loader, NamespaceLoader | None)


@cache
def _libraries() -> frozenset[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return frozenset(Path(os.path.realpath(sysconfig.get_path(name))) for name in names)
