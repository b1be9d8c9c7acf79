"""The one gate for code that a rule file names: its template, the functions of `call` ops, and its probe.

Code runs if the caller allows it (`--allow-code`), or if both the rule file and the module are below the current
directory, which is trusted as pytest trusts its root. Names on the command line need no permission: they are not the
rule file's. Every command and every public function that runs a rule file's code calls `require_permission` first.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from migrate.codes import CodeNotAllowed, InconclusiveProbe, InvalidTemplate
from migrate.errors import Code, Diagnostic, RefusedError
from migrate.rules.model import CodeReference
from migrate.template.module_files import (
    NoSuchModuleError,
    is_below_here,
    is_loaded_from_below_here,
    is_module_below_here,
)
from migrate.template.user_code import load, no_module, refuse_uncallable, running

_SHOWN = 200
"""The maximum number of characters of arguments in a message."""


def require_permission(references: Iterable[CodeReference], *, allow_code: bool) -> None:
    """Refuses code that may not run. Imports the modules of the rest, so that mistakes in their names are found.

    Raises:
      RefusedError: code is not allowed (`CodeNotAllowed`); all of it is named, and nothing was imported if a file or
        module is the reason.
      CheckpointError: a module or attribute does not exist, importing it fails, or a `call` names an object that cannot
        be called with its arrays.
    """
    named = tuple(references)
    refused = tuple(refusals(named, allow_code=allow_code))
    if refused:
        raise RefusedError(*refused)
    for reference in named:
        found = load(reference.spec, _code(reference)) if allow_code else _load_from_here(reference)
        if reference.kind == "call":
            refuse_uncallable(reference.spec, found, reference.arrays)


def refusals(references: Iterable[CodeReference], *, allow_code: bool) -> Iterator[Diagnostic]:
    """Yields the references that may not run because of their rule file or module; imports nothing."""
    for reference in () if allow_code else references:
        reason = _reason(reference)
        if reason is not None:
            yield _refusal(reference, reason)


def _reason(reference: CodeReference) -> str | None:
    """Returns why code may not run; None if its rule file and its module, if it exists, are below the directory."""
    if not reference.places:
        return "it was not read from a file"
    if not all(map(is_below_here, reference.places)):
        return f"{reference.file} is not below the current directory"
    module = reference.spec.partition(":")[0]
    try:
        if is_module_below_here(module):
            return None
    except NoSuchModuleError:
        return None
    return f"the module `{module}` is not below the current directory"


def _load_from_here(reference: CodeReference) -> Any:
    """Returns code below the current directory; refuses objects from elsewhere, such as `m:os.system`.

    Raises:
      RefusedError: the object is defined elsewhere (`CodeNotAllowed`).
      CheckpointError: as `require_permission`.
    """
    spec, code = reference.spec, _code(reference)
    module = spec.partition(":")[0]
    try:
        is_module_below_here(module)
    except NoSuchModuleError as error:
        raise no_module(spec, error.name, code, error.search) from None
    with running(spec, code):
        found = load(spec, code)
        home = _home(found)
    if home is not None and not is_loaded_from_below_here(home):
        reason = f"it is defined in `{home}`, which is not below the current directory"
        raise RefusedError(_refusal(reference, reason))
    return found


def _home(found: Any) -> str | None:
    """Returns the name of the module that defines a callable, `sys` if it is unknown; None for other objects."""
    if not callable(found):
        return None
    while isinstance(found, partial):
        found = found.func
    home = getattr(found, "__module__", None)
    return home if isinstance(home, str) else sys.__name__


def _code(reference: CodeReference) -> type[Code]:
    return InconclusiveProbe if reference.kind == "probe" else InvalidTemplate


def _refusal(reference: CodeReference, reason: str) -> Diagnostic:
    where = f" at {reference.span}" if reference.span else f" in {reference.file}"
    named = f"; or name it yourself: `{_option(reference)} {shlex.quote(reference.spec)}`"
    return CodeNotAllowed.at(
        f"`{reference.kind}` would run `{reference.spec}`{_arguments(reference)}{where}, but {reason}",
        span=reference.span,
        help="read the code; if you trust it, add `--allow-code` (in Python: `allow_code=True`)"
        + (named if reference.kind != "call" else ""),
    )


def _option(reference: CodeReference) -> str:
    return "--probe" if reference.kind == "probe" else "--template"


def _arguments(reference: CodeReference) -> str:
    """Returns the arguments as ASCII, because they come from a file that is not trusted."""
    if not reference.args:
        return ""
    text = json.dumps(reference.args, default=str)
    return f" with args {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
