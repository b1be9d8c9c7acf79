"""The shells for which `migrate completion` prints a script, and the answers to their questions.

The scripts are click's; they start `migrate` with `_MIGRATE_COMPLETE` set whenever the user presses Tab. Answers are
read from its stdout, one candidate at a time; nothing is ever printed on stderr, where it would spoil the prompt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

if TYPE_CHECKING:
    from migrate.cli.candidates import Candidates

VARIABLE = "_MIGRATE_COMPLETE"
"""The environment variable in which the scripts ask."""

_PLAIN = re.compile(r"[\w@%+:,./=-]+")
"""The candidates that every shell takes as one word without quotes; names of a checkpoint can be anything."""

_BREAKS = ("=", ":")
"""The characters at which bash ends a word, so that it passes `NAME=VALUE` as three words."""


class _Bash(BashComplete):
    def source(self) -> str:
        return ShellComplete.source(self)  # click's own starts bash to learn its version

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in (*args, incomplete):
            if words and (word in _BREAKS or words[-1].endswith(_BREAKS)):
                words[-1] += word
            else:
                words.append(word)
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> Candidates:
        found = super().get_completions(args, incomplete)
        done = incomplete[: max(map(incomplete.rfind, _BREAKS)) + 1]
        for item in found:
            item.value = item.value.removeprefix(done)
        return [*found, *_paths(found)]


def _paths(found: Candidates) -> Candidates:
    """Returns the paths beside other candidates: bash itself completes a path only where nothing else fits."""
    asked = next((item.value for item in found if item.type == "file"), None)
    if asked is None or len(found) == 1:
        return []
    folder, name = os.path.split(asked)
    if not os.path.isdir(folder or "."):
        return []
    with os.scandir(folder or ".") as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries if entry.name.startswith(name))
    return [CompletionItem(os.path.join(folder, one)) for one in names if name or not one.startswith(".")]


def _with_option(found: Candidates, incomplete: str) -> Candidates:
    """Returns the values of `--option=VALUE` with the option, which zsh and fish have as one word."""
    option, equals, _ = incomplete.partition("=")
    for item in found if equals and option.startswith("--") else ():
        item.value = f"{option}={item.value}"
    return found


class _Zsh(ZshComplete):
    def get_completions(self, args: list[str], incomplete: str) -> Candidates:
        return _with_option(super().get_completions(args, incomplete), incomplete)


class _Fish(FishComplete):
    # click's own script cuts candidates and descriptions at their first comma
    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')

    def get_completions(self, args: list[str], incomplete: str) -> Candidates:
        return _with_option(super().get_completions(args, incomplete), incomplete)


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
"""The shells by name."""


def script(shell: str, group: click.Command) -> str:
    """Returns the script that makes a shell complete `migrate`."""
    return SHELLS[shell](group, {}, "migrate", VARIABLE).source()


def answer(group: click.Command) -> None:
    """Prints the candidates for the words in the environment; prints nothing if there are none, whatever happens."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    shell = os.environ[VARIABLE].partition("_")[0]
    with suppress(Exception):  # a prompt is no place for a message; the command itself reports the mistake
        asked = SHELLS[shell](group, {}, "migrate", VARIABLE)
        args, incomplete = asked.get_completion_args()
        asked.ctx_args["obj"] = tuple(args)
        found = asked.get_completions(args, incomplete)
        plain = [item for item in found if item.type != "plain" or _PLAIN.fullmatch(item.value)]
        click.echo("\n".join(map(asked.format_completion, plain)))
