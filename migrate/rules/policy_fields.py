"""The names of the fields of policies in `[tool.migrate]` of `pyproject.toml`.

Its other fields are defaults of options, which the command line reads; this module is small, so that it starts fast.
"""

from typing import Literal

Level = Literal["error", "warn", "allow"]
LEVELS: tuple[Level, ...] = ("error", "warn", "allow")

Scope = Literal["all", "per-file", "per-leaf"]
TABLES: tuple[Scope, ...] = ("per-file", "per-leaf")

FIELDS = (*LEVELS, *TABLES)
"""All fields of policies."""
