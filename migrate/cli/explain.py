"""`migrate explain`: the page of an error code."""

from __future__ import annotations

from inspect import getdoc

import click

from migrate import codes
from migrate.cli import options
from migrate.cli.console import Console
from migrate.errors import Code, UsageError, did_you_mean
from migrate.report.view import Report


@click.command("explain", short_help="The page of an error code.", context_settings=options.SETTINGS)
@click.argument("code", required=False)
@options.speaking
def command(console: Console, code: str | None) -> None:
    """Explain an error code; without one, list them all."""
    report = _page(code.upper()) if code else _list()
    console.text(report)
    console.finish([report])


def _list() -> Report:
    pages = {name: page(Code.registry[name]) for name in codes.__all__}
    titles = {name: text.splitlines()[0] for name, text in pages.items()}
    return Report(
        "explain",
        facts=tuple(titles.items()),
        data={"codes": [{"code": name, "title": title, "page": pages[name]} for name, title in titles.items()]},
    )


def _page(name: str) -> Report:
    if name not in Code.registry:
        raise UsageError(
            codes.M412.at(
                f"there is no code `{name}`",
                help=did_you_mean(name, Code.registry) or "`migrate explain` lists all codes",
            )
        )
    text = page(Code.registry[name])
    title, _, rest = text.partition("\n")
    return Report(
        "explain",
        title=f"{name}: {title}",
        summary=("", *rest.strip().splitlines()) if rest else (),
        data={"code": name, "title": title, "page": text},
    )


def page(code: type[Code]) -> str:
    """The text of a code's page."""
    return getdoc(code) or ""
