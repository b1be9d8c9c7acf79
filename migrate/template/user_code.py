"""Code that the user names: `module:attribute` becomes an object, and what it raises is told in the user's own terms.

A template or a probe is the user's program. When it fails, the error that matters is theirs: its type, its message,
and the last line of theirs that was running; not the frames of this package, of JAX or of Flax around it.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from migrate.codes import InvalidTemplate
from migrate.errors import CheckpointError, Code, MigrateError, did_you_mean

_MODULE_HELP = "name it as `module:callable`; the current directory is importable"


def load(spec: str, code: type[Code] = InvalidTemplate) -> Any:
    """The object that `module:attribute` names; the attribute may be dotted, and the current directory is importable.

    Args:
      spec: the name.
      code: what kind of mistake it is when it cannot be had.

    Raises:
      CheckpointError: there is no such module or attribute, or importing it fails (`code`).
    """
    module_name, _, attributes = spec.partition(":")
    if not module_name or not attributes:
        raise CheckpointError(code.at(f"`{spec}` is not of the form `module:callable`", help=_MODULE_HELP))
    with running(spec, code):
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise _no_module(spec, error.name, code) from None
        for name in attributes.split("."):
            found = _attribute(spec, found, name, code)
    return found


def bind(
    spec: str, function: Any, args: Mapping[str, Any], offers: Mapping[str, Callable[[], Any]]
) -> Callable[[], Any]:
    """A call of `function` with keyword arguments, checked against its signature before anything runs.

    Args:
      spec: how the user named it.
      function: what `load` found.
      args: the keyword arguments.
      offers: makers of values for parameters that `args` leaves open, by parameter name.

    Raises:
      CheckpointError: it cannot be called, or not with these arguments (M408).
    """
    if not callable(function):
        raise CheckpointError(
            InvalidTemplate.at(f"`{spec}` is a {type(function).__name__}, not a callable", help=_MODULE_HELP)
        )
    try:
        parameters = _parameters(function)
    except (TypeError, ValueError):  # Built-in callables may have no signature.
        return lambda: function(**args)
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    problems = [] if any(p.kind is p.VAR_KEYWORD for p in parameters) else _unknown(spec, args, named)
    required = [name for name, p in named.items() if p.default is p.empty and name not in args]
    problems += [
        InvalidTemplate.at(
            f"`{spec}` needs the argument `{name}`", help="give it in the rule file's `target: {args: …}`"
        )
        for name in required
        if name not in offers
    ]
    if problems:
        raise CheckpointError(*problems)
    return lambda: function(**args, **{name: offers[name]() for name in required})


def _parameters(function: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    if inspect.isclass(function):
        # Flax gives every module class one signature, `(*args, **kwargs)`; its initialiser tells the truth.
        return list(inspect.signature(function.__init__).parameters.values())[1:]
    return list(inspect.signature(function).parameters.values())


def _unknown(spec: str, args: Mapping[str, Any], named: Mapping[str, object]) -> list[Any]:
    takes = ", ".join(f"`{name}`" for name in named) or "none"
    return [
        InvalidTemplate.at(
            f"`{spec}` takes no argument `{name}`", help=did_you_mean(name, named) or f"its arguments: {takes}"
        )
        for name in args
        if name not in named
    ]


@contextmanager
def running(spec: str, code: type[Code] = InvalidTemplate) -> Iterator[None]:
    """Runs the user's code: the current directory is importable, what it prints goes to stderr, its errors are `code`.

    Raises:
      CheckpointError: with what it raised and its line.
    """
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        with redirect_stdout(sys.stderr):
            yield
    except MigrateError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the user's code raises is reported as theirs
        raise CheckpointError(code.at(f"`{spec}` failed{_place(error)}: {_describe(error)}")) from None
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _no_module(spec: str, name: str, code: type[Code]) -> CheckpointError:
    parent, _, last = name.rpartition(".")
    search = getattr(sys.modules.get(parent), "__path__", None) if parent else [str(Path.cwd())]
    hint = did_you_mean(last, (module.name for module in pkgutil.iter_modules(search)))
    return CheckpointError(code.at(f"`{spec}`: there is no module `{name}`", help=hint or _MODULE_HELP))


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
    """The error's type and the first line of its message; JAX's and Flax's go on for a page."""
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
    path = Path(filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    text = linecache.getline(filename, number).strip()
    return f" at {shown}:{number}" + (f", `{text}`" if text else "")


def _is_users(filename: str) -> bool:
    return (
        not filename.startswith("<")
        and not Path(filename).is_relative_to(Path(__file__).parents[1])
        and not _installed(filename)
    )


def _installed(filename: str) -> bool:
    return any(Path(filename).is_relative_to(folder) for folder in _installation())


@cache
def _installation() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
