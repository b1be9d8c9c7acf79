"""`migrate completion`: prints the script that completes commands, options and their values in a shell."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.shells import SHELLS, script


@click.command(
    "completion",
    short_help="Print the completion script of a shell.",
    epilog=options.examples(
        'eval "$(migrate completion bash)"    # in ~/.bashrc',
        'eval "$(migrate completion zsh)"     # in ~/.zshrc, after compinit',
        "migrate completion fish > ~/.config/fish/completions/migrate.fish",
    ),
    context_settings=options.SETTINGS,
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete `migrate`: bash from 4.4 on, zsh or fish.

    It completes commands, options, bundled rule files, the steps and items of a checkpoint, and the arguments of RULES
    with key paths of SRC as values. Only metadata on this machine is read, and JAX is not imported.
    """
    click.echo(script(shell, ctx.find_root().command), nl=False)
