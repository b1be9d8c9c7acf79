"""`migrate explain`: prints the page of an error code."""

from __future__ import annotations

from inspect import getdoc

import click

from migrate import codes
from migrate.cli import candidates, options
from migrate.cli.console import Console
from migrate.errors import Code, UsageError, did_you_mean
from migrate.report.view import Report


@click.command(
    "explain",
    short_help="Explain an error code.",
    epilog=options.examples("migrate explain M201", "migrate explain"),
    context_settings=options.SETTINGS,
)
@click.argument("code", required=False, shell_complete=lambda ctx, param, incomplete: candidates.codes(incomplete))  # noqa: ARG005
@options.output
def command(console: Console, code: str | None) -> None:
    """Explain the error code CODE; without CODE, list all codes."""
    report = _page(code.upper()) if code else _list()
    console.text(report)
    console.finish([report])


def _list() -> Report:
    pages = {number: page(code) for number, code in sorted(Code.registry.items())}
    titles = {number: text.splitlines()[0] for number, text in pages.items()}
    return Report(
        "explain",
        facts=tuple(titles.items()),
        data={"codes": [{"code": number, "title": title, "page": pages[number]} for number, title in titles.items()]},
    )


def _page(number: str) -> Report:
    if number not in Code.registry:
        digits = number.upper().replace("O", "0").replace("I", "1")
        raise UsageError(
            codes.InvalidUsage.at(
                f"there is no error code `{number}`",
                help=did_you_mean(digits, Code.registry) or "`migrate explain` lists all codes",
            )
        )
    text = page(Code.registry[number])
    title, _, rest = text.partition("\n")
    return Report(
        "explain",
        title=f"{number}: {title}",
        summary=("", *_lines(rest.strip())) if rest else (),
        hang=0,
        data={"code": number, "title": title, "page": text},
    )


def _lines(text: str) -> list[str]:
    """Returns paragraphs, and blank and indented lines, as one line each, which any width can break."""
    lines: list[str] = []
    for line in text.splitlines():
        continued = lines and lines[-1].strip() and line.strip() and not line.startswith((" ", "- "))
        if continued:
            lines[-1] = f"{lines[-1]} {line}"
        else:
            lines.append(line)
    return lines


def page(code: type[Code]) -> str:
    """Returns the text of a code's page."""
    return getdoc(code) or ""
