"""`migrate schema`: prints the JSON Schema of rule files, for editors."""

from __future__ import annotations

import json

import click

from migrate.cli import options


@click.command(
    "schema",
    short_help="Print the JSON Schema of rule files.",
    epilog=options.examples("migrate schema > migrate.schema.json"),
    context_settings=options.SETTINGS,
)
def command() -> None:
    """Print the JSON Schema of rule files.

    Editors use it for completion. Rule files that migrate writes begin with a line that names the published schema; for
    the one of this version, run `migrate schema > migrate.schema.json`, and start a rule file with
    `# yaml-language-server: $schema=migrate.schema.json`.
    """
    from migrate.rules.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
