"""Loads and runs the user's code: resolves `module:attribute` and reports errors in terms of the user's program.

When a template or a probe fails, a diagnostic shows the type and message of the error and the last line of the user's
code that was running, without the frames of this package, JAX and Flax around it.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import pkgutil
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from migrate.codes import InvalidTemplate
from migrate.errors import CheckpointError, Code, MigrateError, did_you_mean
from migrate.template.spec_advice import advise_on_spec

_MODULE_HELP = "write it as `module:callable`; the current directory is on the import path"


def load(spec: str, code: type[Code] = InvalidTemplate) -> Any:
    """Returns the object that `module:attribute` names; the attribute may be dotted.

    The current directory is on the import path.

    Args:
      spec: the name.
      code: the diagnostic for errors.

    Raises:
      CheckpointError: the module or attribute does not exist, or importing it fails (`code`).
    """
    module_name, _, attributes = spec.partition(":")
    if not attributes or "" in module_name.split(".") or "/" in module_name:
        raise CheckpointError(
            code.at(f"`{spec}` is not of the form `module:callable`", help=advise_on_spec(spec) or _MODULE_HELP)
        )
    if module_name not in sys.modules:
        importlib.invalidate_caches()
    with running(spec, code):
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise no_module(spec, error.name, code) from None
        for name in attributes.split("."):
            found = _attribute(spec, found, name, code)
    return found


def bind(
    spec: str, function: Any, args: Mapping[str, Any], offers: Mapping[str, Callable[[], Any]]
) -> Callable[[], Any]:
    """Returns `function` with keyword arguments bound, after checking them against its signature.

    Args:
      spec: the name that the user gave.
      function: the object from `load`.
      args: the keyword arguments.
      offers: factories of values for required parameters that are not in `args`, by parameter name.

    Raises:
      CheckpointError: it cannot be called with these arguments (`InvalidTemplate`).
    """
    if not callable(function):
        raise CheckpointError(
            InvalidTemplate.at(f"`{spec}` is a {type(function).__name__}, not a callable", help=_MODULE_HELP)
        )
    try:
        parameters = _parameters(function)
    except (TypeError, ValueError):  # built-in callables may have no signature
        return lambda: function(**args)
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    problems = [] if any(p.kind is p.VAR_KEYWORD for p in parameters) else _unknown(spec, args, named)
    required = [name for name, p in named.items() if p.default is p.empty and name not in args]
    problems += [
        InvalidTemplate.at(
            f"`{spec}` requires the argument `{name}`", help="set it in the rule file: `target: {args: …}`"
        )
        for name in required
        if name not in offers
    ]
    if problems:
        raise CheckpointError(*problems)
    return lambda: function(**args, **{name: offers[name]() for name in required})


def _parameters(function: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    if inspect.isclass(function):
        # Flax gives every module class the signature `(*args, **kwargs)`; `__init__` has the real one.
        return list(inspect.signature(function.__init__).parameters.values())[1:]
    return list(inspect.signature(function).parameters.values())


def _unknown(spec: str, args: Mapping[str, Any], named: Mapping[str, object]) -> list[Any]:
    takes = ", ".join(f"`{name}`" for name in named) or "none"
    return [
        InvalidTemplate.at(
            f"`{spec}` has no argument `{name}`", help=did_you_mean(name, named) or f"its arguments: {takes}"
        )
        for name in args
        if name not in named
    ]


def refuse_uncallable(spec: str, function: Any, names: Sequence[str] = ()) -> None:
    """Refuses an object that cannot be called with its arrays, before any array is read.

    Args:
      spec: the name of the object.
      function: the object.
      names: the keyword arguments that are passed; none for one array alone.

    Raises:
      CheckpointError: it is not a callable, or its signature does not accept these arguments (`InvalidTemplate`).
    """
    if not callable(function):
        raise CheckpointError(
            InvalidTemplate.at(f"`{spec}` is a {type(function).__name__}, not a callable", help=_MODULE_HELP)
        )
    try:
        inspect.signature(function).bind(*(() if names else (None,)), **dict.fromkeys(names))
    except ValueError:  # built-in callables may have no signature
        return
    except TypeError as error:
        name = spec.rpartition(":")[2].rpartition(".")[2]
        arrays = f"the arrays {', '.join(names)}" if names else "one array"
        message = f"`{spec}` cannot be called with {arrays}: {error}"
        advice = f"define it as `def {name}({', '.join(names) or 'array'}):`"
        raise CheckpointError(InvalidTemplate.at(message, help=advice)) from None


def _no_advice(error: BaseException) -> None:
    """Knows no help for an error."""
    del error


@contextmanager
def running(
    spec: str, code: type[Code] = InvalidTemplate, advise: Callable[[BaseException], str | None] = _no_advice
) -> Iterator[None]:
    """Runs the user's code with the current directory on the import path and its standard output redirected to stderr.

    Several threads may run code at the same time.

    Args:
      spec: the name of the code.
      code: the diagnostic for errors.
      advise: returns the help for an error of the code.

    Raises:
      CheckpointError: the code raised an error; the diagnostic is a `code` with the error and its line.
    """
    try:
        with _SURROUNDINGS:
            yield
    except MigrateError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # any error of the user's code is reported as such
        message = f"`{spec}` failed{_place(error)}: {_describe(error)}"
        raise CheckpointError(code.at(message, help=advise(error))) from None


@contextmanager
def importable_directory() -> Iterator[None]:
    """Puts the current directory at the front of the import path; a deleted directory has no modules."""
    here = current_directory()
    if here is not None:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def current_directory() -> str | None:
    """Returns the current directory; None if it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


class _Surroundings:
    """The import path and standard output of the process, changed while at least one thread runs the user's code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._undo.enter_context(importable_directory())
                self._undo.enter_context(redirect_stdout(sys.stderr))
            self._running += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._undo.close()


_SURROUNDINGS = _Surroundings()


def no_module(spec: str, name: str, code: type[Code], search: Iterable[str] | None = None) -> CheckpointError:
    """Returns the error for a module that does not exist.

    Args:
      spec: the name that the user gave.
      name: the missing module, or its missing parent.
      code: the diagnostic.
      search: the directories that could contain it (default: those of its parent, or the current directory).
    """
    parent, _, last = name.rpartition(".")
    if search is None:
        search = getattr(sys.modules.get(parent), "__path__", ()) if parent else filter(None, [current_directory()])
    folders = [str(folder) for folder in search or ()]
    hint = did_you_mean(last, (module.name for module in pkgutil.iter_modules(folders)))
    advice = advise_on_spec(spec) or hint or _MODULE_HELP
    return CheckpointError(code.at(f"`{spec}`: the module `{name}` does not exist", help=advice))


def _attribute(spec: str, owner: Any, name: str, code: type[Code]) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        where = f"`{getattr(owner, '__name__', type(owner).__name__)}`"
        names = [other for other in dir(owner) if not other.startswith("__")]
        raise CheckpointError(
            code.at(f"`{spec}`: {where} has no attribute `{name}`", help=did_you_mean(name, names))
        ) from None


def _describe(error: BaseException) -> str:
    """Returns the error's type and the first line of its message; JAX's and Flax's messages fill a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return _line(error.filename, error.lineno)
    frames = traceback.extract_tb(error.__traceback__)
    return next(
        (_line(frame.filename, frame.lineno or 0) for frame in reversed(frames) if _is_users(frame.filename)), ""
    )


def _line(filename: str, number: int) -> str:
    path, here = Path(filename), current_directory()
    shown = path.relative_to(here) if here is not None and path.is_relative_to(here) else path
    text = linecache.getline(filename, number).strip()
    return f" at {shown}:{number}" + (f", `{text}`" if text else "")


def _is_users(filename: str) -> bool:
    return (
        not filename.startswith("<")
        and not Path(filename).is_relative_to(Path(__file__).parents[1])
        and not is_installed(filename)
    )


def is_installed(filename: str | Path) -> bool:
    """Whether a file belongs to the standard library or an installed package."""
    return any(Path(filename).is_relative_to(folder) for folder in _installation())


@cache
def _installation() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
