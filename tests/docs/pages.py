"""Pages of the documentation as programs: the files that a page writes, the commands that it runs, and their output.

A page states them as its reader sees them:

- A code block in Python or YAML whose first line is a comment with a file name, such as `# my_model.py`, is that file.
- A `console` block has commands after `$ `, further lines of one after `> `, and the output below. In the output, `…`
  stands for any text within a line, and a line `…` for any lines.
- `<!-- setup: COMMAND -->` is a command that the reader has done already; `$ROOT` is the repository.
- `<!-- exit: 1 -->` above a block states the exit code of its last command; every other command has to succeed.
- `<!-- not run: REASON -->` above a block keeps it out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

_PART = re.compile(
    r"^<!-- (?P<word>setup|exit|not run): (?P<value>.*?) -->$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.(?:py|yaml|yml|toml|sh))(?:\n|$)")
_VARYING = (
    (re.compile(r"\b\d+(\.\d+)? (ms|s|min)\b"), "0 s"),
    (re.compile(r"\b\d+(\.\d+)? [kMG]?B/s\b"), "0 B/s"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "0" * 12),  # digests
    (re.compile(r"\b20\d\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?"), "2026-01-01"),
    (re.compile(r"^  (probe|stage|commit|verify) +(\d.*|…)\n", re.M), ""),  # progress
)
"""What differs from run to run, and what stands for it in a comparison."""


@dataclass
class Command:
    """A command with the output that the page shows; None where the page shows none of it, as for a setup."""

    text: str
    output: str | None
    exit_code: int = 0


@dataclass
class Page:
    """A page as a program, in order."""

    path: Path
    steps: list[Command | tuple[str, str]] = field(default_factory=list)
    """Commands, and files as (name, text)."""

    @property
    def commands(self) -> list[Command]:
        """Its commands, setups included."""
        return [step for step in self.steps if isinstance(step, Command)]


def read_page(path: Path) -> Page:
    """Reads the program of a page."""
    page = Page(path)
    skipped, exit_code = False, 0
    for part in _PART.finditer(path.read_text(encoding="utf-8")):
        if part["word"] == "setup":
            page.steps.append(Command(part["value"], None))
        elif part["word"] == "exit":
            exit_code = int(part["value"])
        elif part["word"] == "not run":
            skipped = True
        else:
            if not skipped:
                page.steps += _steps(part["language"], part["text"], exit_code)
            skipped, exit_code = False, 0
    return page


def _steps(language: str, text: str, exit_code: int) -> list[Command | tuple[str, str]]:
    if language == "console":
        commands = _commands(text)
        if commands:
            commands[-1].exit_code = exit_code
        return [*commands]
    named = _FILE.match(text) if language in ("python", "yaml", "toml", "sh") else None
    return [(named["name"], text)] if named else []


def _commands(text: str) -> list[Command]:
    commands: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ "), ""))
        elif line.startswith("> ") and commands and not commands[-1].output:
            commands[-1].text += "\n" + line.removeprefix("> ")
        elif commands:
            commands[-1].output = (commands[-1].output or "") + line + "\n"
    return commands


def run_page(page: Page, folder: Path) -> list[tuple[Command, str, int]]:
    """Runs a page in an empty folder, in one shell.

    Returns:
      Each command with its output, both streams together, and its exit code.
    """
    mark = "@@ the command has ended @@"
    script = ["set +e", "exec 2>&1"]
    for number, step in enumerate(page.steps):
        if isinstance(step, Command):
            script += [f"{step.text}\n__code=$?", f"printf '%s %s\\n' '{mark}' $__code"]
        else:
            name, text = step
            (folder / f".{number}").write_text(text, encoding="utf-8")
            script.append(f"mkdir -p \"$(dirname '{name}')\" && mv '{folder / f'.{number}'}' '{name}'")
    done = subprocess.run(
        ["/bin/bash", "-c", "\n".join(script)],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    outputs = re.split(rf"{mark} (\d+)\n", done.stdout)
    ran = list(zip(page.commands, outputs[0::2], map(int, outputs[1::2]), strict=False))
    assert len(ran) == len(page.commands), f"the shell stopped early:\n{done.stdout}\n{done.stderr}"
    return ran


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}",
        "ROOT": str(ROOT),
        "HOME": str(folder),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONWARNINGS": "ignore",
    }


def agrees(shown: str, printed: str) -> bool:
    """Whether the output that a page shows is what a command printed, but for times, rates, dates and `…`."""
    pattern = "".join(_line_pattern(line) for line in _stable(shown.rstrip()).splitlines())
    text = "".join(line.rstrip() + "\n" for line in _stable(printed.rstrip()).splitlines())
    return re.fullmatch(pattern, text) is not None


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    return r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"\n"


def _stable(text: str) -> str:
    for varying, fixed in _VARYING:
        text = varying.sub(fixed, text)
    return text


def rewritten(page: Page, ran: list[tuple[Command, str, int]]) -> str:
    """The text of a page in which every output that no longer agrees is replaced by what was printed."""
    text, end = page.path.read_text(encoding="utf-8"), 0
    for command, printed, _ in ran:
        if command.output is None:
            continue
        head = "$ " + command.text.replace("\n", "\n> ") + "\n"
        start = text.index(head + command.output, end) + len(head)
        end = start + len(command.output)
        if not agrees(command.output, printed):
            shown = printed.rstrip() + "\n" * bool(printed.strip())
            text, end = text[:start] + shown + text[end:], start + len(shown)
    return text
