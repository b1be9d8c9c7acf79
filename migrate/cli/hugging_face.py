"""The options of a run that writes a folder of Hugging Face."""

from __future__ import annotations

import click

from migrate.cli import options
from migrate.cli.places import DIRECTORY

FOLDER_OPTIONS = (
    click.option(
        "--max-shard-size",
        type=options.SizeType(1),
        metavar="SIZE",
        help="With `layout: huggingface`: the most bytes of arrays in one file (default: 5GB).",
    ),
    click.option(
        "--files-from",
        type=DIRECTORY,
        metavar="DIR",
        help="With `layout: huggingface`: the folder with config.json, tokenizer and generation files to copy "
        "(default: SRC).",
    ),
)
