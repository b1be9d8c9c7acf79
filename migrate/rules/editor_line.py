"""The comment in a rule file that tells editors where the JSON Schema of the rule language is published.

The YAML language server, which most editors run for YAML, reads it: it completes fields and ops, shows what a field
means, and marks a misspelled one.
"""

SCHEMA_FILE = "docs/reference/migrate.schema.json"
"""The published schema, relative to the repository: the output of `migrate schema`."""

SCHEMA_URL = f"https://github.com/migrate-jax/migrate/raw/main/{SCHEMA_FILE}"
"""Its address. A URL, because rule files are copied and installed without the repository around them."""

EDITOR_LINE = f"# yaml-language-server: $schema={SCHEMA_URL}"
"""The first line of every bundled rule file, and of every rule file that a command writes."""
