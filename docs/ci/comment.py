"""Prints the comment for a pull request: `comment.py check.json`, with the output of `migrate check RULES/ --json`."""

import json
import sys
from collections.abc import Iterator
from typing import Any


def comment(check: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of the comment, in Markdown."""
    yield "## Versions of the model"
    yield ""
    yield "✅ All released checkpoints can be upgraded." if check["ok"] else "❌ `migrate check` fails."
    yield from table(("version", "rule file", "plan"), [step(one) for one in check.get("steps", ())])
    yield from table(("checkpoints of", "need", "to become"), [path(one) for one in check.get("paths", ())])
    found = [one for one in check["diagnostics"] if one["severity"] != "note"]
    if found:
        yield from ("", "### Findings", "")
        yield from (f"- **{one['severity']}[{one['code']}]** {place(one)}{plain(one['message'])}" for one in found)
    draft = (check.get("template") or {}).get("draft")
    if draft:
        yield from ("", f"### The missing rule file: `{draft['file']}`", "", "````yaml", draft["text"].rstrip(), "````")
        yield from ("", f"`{command(check)}` writes it, with the recorded tree.")


def step(one: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the row of a rule file."""
    if one["plan"] is None:
        return f"{one['from']} → {one['to']}", f"`{one['file']}`", "**does not apply**"
    counts = {
        **one["plan"]["tasks"],
        "drop": one["plan"]["dropped"],
        "create": one["plan"]["created"],
        "config": one["plan"]["config"],
    }
    plan = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{one['from']} → {one['to']}", f"`{one['file']}`", plan


def path(one: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the row of a released version."""
    files = ", ".join(f"`{name}`" for name in one["files"])
    return f"{one['model'] or 'version'} {one['from']}", files, one["to"] if one["planned"] else "**no single plan**"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Returns the lines of a table, or none if it has no rows."""
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return ["", *(f"| {' | '.join(plain(cell) for cell in line)} |" for line in lines)]


def place(one: dict[str, Any]) -> str:
    """Returns the file and line of a finding, if it has them."""
    span = one["span"]
    return f"`{span['file']}:{span['line']}`: " if span else ""


def plain(text: str) -> str:
    """Returns the text on one line; a cell ends at an unquoted bar, and `<` starts HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def command(check: dict[str, Any]) -> str:
    """Returns the command that writes the missing rule file."""
    folder = check["lock"]["file"].rpartition("/")[0]
    return f"migrate check {folder} --template {check['template']['template']} --write -m TEXT"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\n".join(comment(json.load(file))))
