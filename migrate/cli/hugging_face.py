"""How DST is stored: the option `--layout`, and those of a folder of Hugging Face."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.places import DIRECTORY

layout = click.option(
    "--layout",
    type=click.Choice(["huggingface", "zarr"]),
    help="How DST is stored: as a folder that `transformers` reads, or as plain zarr (default: from the rule file).",
)

FOLDER_OPTIONS = (
    click.option(
        "--max-shard-size",
        type=options.SizeType(1),
        metavar="SIZE",
        help="With the layout huggingface: the most bytes of arrays in one file (default: 5GB).",
    ),
    click.option(
        "--files-from",
        type=DIRECTORY,
        metavar="DIR",
        help="With the layout huggingface: the folder with config.json, tokenizer and generation files to copy "
        "(default: SRC, or with --overwrite the old DST).",
    ),
)
