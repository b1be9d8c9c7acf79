"""Defaults of options from `[tool.migrate]` of the nearest `pyproject.toml`, which click uses as its `default_map`.

A default is used as if it were typed, wherever the command line does not give the option. Relative paths are relative
to the file. Options whose effect nobody should overlook have no defaults (`NEVER`), and code that a default names runs
under the conditions of code that a rule file names. Under `[tool.migrate]`, such code is for the commands that require
it; others take it from tables of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Any

import click

from migrate.cli.places import CHECKPOINT, DIRECTORY, FILE
from migrate.codes import ForbiddenDefault, InvalidDefault, UnknownDefault
from migrate.errors import Diagnostic, MigrateError, RefusedError, UsageError, did_you_mean, nearest

if TYPE_CHECKING:
    from migrate.errors import Span
    from migrate.rules.model import CodeReference

NAME = "pyproject.toml"
TABLE = "tool.migrate"

OPTIONS = frozenset({
    "allow-code", "arg", "as", "atol", "color", "compact", "compression", "config", "depth", "digests", "dry-run",
    "families", "files-from", "follow-links", "for", "for-load", "format", "from", "item", "jobs", "json", "keep",
    "keep-period", "layout", "link", "max-ram", "max-shard-size", "mesh", "message", "model", "on", "output",
    "overwrite", "partition", "probe", "probe-budget", "processes", "quiet", "report", "require-proof", "reverse",
    "root", "rtol", "rules", "share", "skip-damaged", "source", "step", "template", "to", "tolerance", "values",
    "verbose", "verify", "version", "write",
})  # fmt: skip
"""The options of all commands, so that an unknown one is found without importing the commands; a test compares them."""

_WRITES = "what a command writes is named where it runs"
_DECIDES = "whether a command writes is decided where it runs"

NEVER: Mapping[str, str] = {
    "allow-code": "it lets code run that is refused otherwise",
    "overwrite": "it replaces files",
    "follow-links": "it reads files outside of a checkpoint",
    "skip-damaged": "it leaves out steps that cannot be read",
    "reverse": "it changes the direction of every rule file",
    "on": "it sends work to other machines, which can run code",
    "dry-run": _DECIDES,
    "write": _DECIDES,
    "digests": _DECIDES,
    "output": _WRITES,
    "report": _WRITES,
    "json": 'it is short for `format = "json"`, which the command line can replace',
}
"""The options without defaults, with the reasons."""

NEVER_OF: Mapping[str, Mapping[str, str]] = {"contract": {"keep": "it drops the other layouts of a step"}}
"""Options without defaults by command, where other commands have an option of this name that may have one."""

CODE = ("template", "probe")
"""The options that name code."""

_PATHS = ("config", "rules", "source", "template")
"""The options without the type of a path whose value can be one."""

_TABLE_LINE = re.compile(rb"""(?m)^[ \t]*\[?[ \t]*["']?tool["']?[ \t]*(?:\.[ \t]*["']?migrate|\](?s:.*)migrate)""")
_SHADOWING = ("NO_COLOR", "FORCE_COLOR")
"""The environment variables that come before a default of `color`."""


@dataclass(frozen=True, slots=True)
class DefaultsFile:
    """A `pyproject.toml` with defaults.

    Attributes:
      path: its absolute path.
      name: its name in messages, relative to the current directory.
      text: its content.
      table: the table `tool.migrate`.
    """

    path: Path
    name: str
    text: str
    table: Mapping[str, Any]

    def span(self, *keys: str) -> Span | None:
        """Returns the location of a key below the table."""
        from migrate.rules.toml_lines import span_of

        return span_of(self.text, self.name, (*TABLE.split("."), *keys))

    def located(self, text: str) -> str:
        """Returns a path of the file as one that is relative to the current directory."""
        folder = os.path.dirname(self.name)
        return text if not folder or os.path.isabs(text) else os.path.join(folder, text)


@dataclass(frozen=True, slots=True)
class CommandDefaults:
    """The defaults of the command that runs.

    Attributes:
      file: the name of the file; empty for none.
      values: the defaults by the names of the parameters, as click takes them.
      keys: the options that have them.
    """

    file: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


def nearest_file() -> Path | None:
    """Returns the nearest `pyproject.toml` with a table `tool.migrate`, in the current directory or above; or None.

    Files without the table are passed over, as ruff does.

    Raises:
      UsageError: a file cannot be read (`InvalidDefault`).
    """
    try:
        here = Path.cwd()
    except OSError:
        return None
    for folder in (here, *here.parents):
        path = os.path.join(folder, NAME)
        if os.path.isfile(path) and _TABLE_LINE.search(_content(path)):
            return Path(path)
    return None


def _content(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(_unreadable(os.path.relpath(path), error.strerror or str(error))) from None


def read_defaults() -> DefaultsFile | None:
    """Returns the defaults of the nearest file; None if there is none.

    Raises:
      UsageError: the file cannot be read (`InvalidDefault`).
    """
    path = nearest_file()
    if path is None:
        return None
    import tomllib

    name = os.path.relpath(path)
    try:
        text = _content(path).decode("utf-8")
        tool = tomllib.loads(text).get("tool", {})
    except ValueError as error:
        from migrate.rules.toml_lines import span_of_error

        raise UsageError(_unreadable(name, str(error), span_of_error(error, name))) from None
    table = tool.get("migrate", {}) if isinstance(tool, Mapping) else {}
    if not isinstance(table, Mapping):
        raise UsageError(_unreadable(name, f"`{TABLE}` is not a table"))
    return DefaultsFile(path, name, text, table)


def _unreadable(name: str, reason: str, span: Span | None = None) -> Diagnostic:
    return InvalidDefault.at(f"{name} cannot be read: {reason}", span=span, help=_advice())


def _advice() -> str:
    """Returns the help for a mistake in the file, with the command that ignores the file."""
    context = click.get_current_context(silent=True)
    words = context.find_root().obj if context else None
    command = join(["migrate", "--isolated", *(words or ("COMMAND",))])
    return f"correct the file, or ignore it: `{command}`"


def defaults_of(file: DefaultsFile, name: str, command: click.Command, commands: Collection[str]) -> CommandDefaults:
    """Returns the defaults of a command.

    Args:
      file: the file.
      name: the name of the command.
      command: the command.
      commands: the names of all commands.

    Raises:
      UsageError: with all mistakes in the file (`UnknownDefault`, `InvalidDefault`, `ForbiddenDefault`).
    """
    from migrate.rules.policy_fields import FIELDS

    checks = _Checks(file, name, command)
    known = (*OPTIONS, *commands, *FIELDS)
    given = {key: value for key, value in file.table.items() if key in known or nearest(key, known) not in FIELDS}
    given = {key: value for key, value in given.items() if key not in FIELDS}  # `migrate check` reads policies
    tables = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    for key, value in given.items():
        if key not in tables:
            checks.check((key,), value, NEVER, commands)
    for key, table in tables.items():
        if key not in commands:
            checks.problems.append(_no_command(file, key, commands))
            continue
        for inner, value in table.items():
            checks.check((key, inner), value, {**NEVER, **NEVER_OF.get(key, {})}, ())
    if checks.problems:
        raise UsageError(*checks.problems)
    return CommandDefaults(file.name, checks.found, tuple(dict.fromkeys(checks.keys)))


class _Checks:
    """Collects the defaults of one command, and the mistakes in the whole file."""

    def __init__(self, file: DefaultsFile, name: str, command: click.Command) -> None:
        self.found: dict[str, Any] = {}
        self.keys: list[str] = []
        self.problems: list[Diagnostic] = []
        self._file, self._name, self._command = file, name, command
        named = ((text, option) for option in command.params for text in option.opts)
        self._options = {text.removeprefix("--"): option for text, option in named if isinstance(option, click.Option)}

    def check(self, keys: tuple[str, ...], value: Any, forbidden: Mapping[str, str], commands: Collection[str]) -> None:
        """Takes a value as a default, if the key is for this command, or records what is wrong with it."""
        *above, key = keys
        if key not in OPTIONS:
            self.problems.append(_unknown(self._file, keys, (*OPTIONS - forbidden.keys(), *commands)))
        elif key in forbidden:
            self.problems.append(_forbidden(self._file, keys, forbidden[key]))
        elif above and above != [self._name]:
            return  # the table of another command, whose options are not known here
        elif not above and (key in NEVER_OF.get(self._name, {}) or self._is_optional_code(key)):
            return
        elif key in self._options:
            self._take(keys, self._options[key], value)
        elif above:
            self.problems.append(_no_option(self._file, keys))

    def _is_optional_code(self, key: str) -> bool:
        """Whether an option names code that the command can do without: then it may be for another kind of target."""
        return key in CODE and key in self._options and not self._options[key].required

    def _take(self, keys: tuple[str, ...], option: click.Option, value: Any) -> None:
        try:
            taken = _value(self._file, keys, option, self._command, value)
        except click.ClickException as error:
            self.problems.append(_invalid(self._file, keys, value, error.message))
        except MigrateError as error:
            self.problems.append(_invalid(self._file, keys, value, error.diagnostics[0].message))
        else:
            if keys[-1] != "color" or not any(map(os.environ.get, _SHADOWING)):
                self.found[option.name or ""] = taken
                self.keys.append(keys[-1])


def _table_of(keys: tuple[str, ...]) -> str:
    return f"`[{'.'.join((TABLE, *keys[:-1]))}]`"


def _unknown(file: DefaultsFile, keys: tuple[str, ...], known: Collection[str]) -> Diagnostic:
    message = f"`{keys[-1]}` in {_table_of(keys)} is not an option"
    command = keys[0] if len(keys) > 1 else "COMMAND"
    advice = did_you_mean(keys[-1], known) or f"`migrate {command} --help` lists the options"
    return UnknownDefault.at(message, span=file.span(*keys), help=advice)


def _no_command(file: DefaultsFile, key: str, commands: Collection[str]) -> Diagnostic:
    if key in OPTIONS:
        return _invalid(file, (key,), None, "it is a table, and the option takes a value")
    advice = did_you_mean(key, commands) or "`migrate --help` lists the commands"
    return UnknownDefault.at(f"`[{TABLE}.{key}]` is the table of no command", span=file.span(key), help=advice)


def _forbidden(file: DefaultsFile, keys: tuple[str, ...], reason: str) -> Diagnostic:
    key = keys[-1]
    message = f"`{key}` in {_table_of(keys)} cannot have a default: {reason}"
    advice = 'write `format = "json"`' if key == "json" else f"remove the line; `--{key}` is for the command line"
    return ForbiddenDefault.at(message, span=file.span(*keys), help=advice)


def _no_option(file: DefaultsFile, keys: tuple[str, ...]) -> Diagnostic:
    command, key = keys
    advice = (
        f"`migrate {command} --help` lists its options; a key of `[{TABLE}]` is for the commands that have the option"
    )
    return UnknownDefault.at(f"`migrate {command}` has no option `--{key}`", span=file.span(*keys), help=advice)


def _invalid(file: DefaultsFile, keys: tuple[str, ...], value: object, reason: str) -> Diagnostic:
    shown = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    place = keys[-1] if value is None else f"{keys[-1]} = {shown}"
    return InvalidDefault.at(
        f"`{place}` in {_table_of(keys)}: {reason}",
        span=file.span(*keys),
        help=_advice(),
    )


def _value(file: DefaultsFile, keys: tuple[str, ...], option: click.Option, command: click.Command, value: Any) -> Any:
    """Returns what click takes as the default, after checking that the option accepts it.

    Raises:
      ClickException, MigrateError: it does not.
    """
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.BadParameter("the option takes no value; write `true` or `false`")
        return value
    if option.multiple != isinstance(value, list):
        raise click.BadParameter("write a list" if option.multiple else "write one value, and no list")
    words = [_word(file, keys[-1], option, one) for one in (value if option.multiple else [value])]
    text: Any = words if option.multiple else words[0]
    option.type_cast_value(click.Context(command), text)
    return _code(file, keys, text) if keys[-1] in CODE else text


def _word(file: DefaultsFile, key: str, option: click.Option, value: object) -> str:
    """Returns a value as it would be typed."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise click.BadParameter("write text or a number")
    text = str(value)
    if "://" in text.lower().replace("file://", ""):
        raise click.BadParameter("URLs are named on the command line, so that no file opens connections")
    is_path = option.type in (CHECKPOINT, FILE, DIRECTORY) and not text.lower().startswith("file:")
    if is_path or (key in _PATHS and os.path.exists(file.path.parent / text)):
        return file.located(text)
    return text


def _code(file: DefaultsFile, keys: tuple[str, ...], spec: str) -> str | Callable[[], str]:
    """Returns the name of code as a function, which click calls where the command line names no other."""
    from migrate.rules.model import CodeReference
    from migrate.rules.recorded_tree import is_recorded_tree

    if is_recorded_tree(spec):
        return spec
    kind: Any = keys[-1]
    return lambda: _permitted(CodeReference(kind, spec, file.name, (str(file.path),), span=file.span(*keys)))


def _permitted(reference: CodeReference) -> str:
    """Returns the name of code, after checking that it may run.

    Raises:
      RefusedError: it may not (`CodeNotAllowed`).
      CheckpointError: it does not exist, or importing it fails.
    """
    from migrate.rules.permission import require_permission

    context = click.get_current_context()
    try:
        require_permission((reference,), allow_code=bool(context.params.get("allow_code")))
    except RefusedError as error:
        if any(option.name == "allow_code" for option in context.command.params):
            raise
        advice = f"read the code; if you trust it, name it yourself: `--{reference.kind} {quote(reference.spec)}`"
        raise RefusedError(*(replace(found, help=advice) for found in error.diagnostics)) from None
    return reference.spec
