"""The commands that move a checkpoint to the other library and back."""

from __future__ import annotations

from pathlib import Path

import migrate
from migrate.rules.loader import parse_rules
from migrate.rules.recorded_tree import tree_text
from tests.bundled.migrating import run
from tests.families.rows import Row

TREE = "target.tree.json"
"""The name of the recorded tree of a row's model."""


def rule_file(row: Row, folder: Path) -> str:
    """Returns the rule file of a row: the bundled one, or a file that includes it with the row's arguments."""
    path = folder / "rules.yaml"
    given = ", ".join(f"{name}: {value}" for name, value in row.args.items())
    if row.trained:
        include = f"{{file: {row.rules}, to: model, args: {{{given}}}}}"
        step = "{from: step, to: optimizer/step, ops: [{cast: template}]}"
        path.write_text(f"migrate: 1\ninclude: {include}\nrules: [{step}]\n", encoding="utf-8")
        return str(path)
    if not row.args:
        return row.rules
    path.write_text(f"migrate: 1\ninclude: {{file: {row.rules}, args: {{{given}}}}}\nrules: []\n", encoding="utf-8")
    return str(path)


def there(row: Row, source: Path, folder: Path, tree: Path, config: Path | None = None) -> Path:
    """Applies a family's file; returns the new checkpoint.

    Args:
      row: the row.
      source: the checkpoint.
      folder: an empty folder.
      tree: the recorded tree of the other side.
      config: the `config.json` of the model (default: beside the checkpoint).
    """
    new = folder / "new"
    _succeed("apply", rule_file(row, folder), source, new, "--template", tree, *_config(config))
    return new


def back(row: Row, new: Path, folder: Path, config: Path | None = None) -> Path:
    """Leads the new checkpoint back by the same rule file; returns the safetensors file, or the training state.

    Moments need the tree that they lead back to; `config` is the `config.json` of the model.
    """
    file = folder / "back" / ("state" if row.trained else "model.safetensors")
    rules = rule_file(row, folder)
    if row.trained:
        tree = record_tree("tests.families.trained:make", row, folder / "old.tree.json")
        _succeed("apply", rules, "--reverse", new, file, "--template", tree)
    else:
        _succeed("apply", rules, "--reverse", new, file, *_config(config))
    return file


def _config(file: Path | None) -> tuple[str | Path, ...]:
    return () if file is None else ("--config", file)


def record_tree(template: str, row: Row, path: Path) -> Path:
    """Records the tree of a row's model; returns the file."""
    text = f'migrate: 1\ntarget: {{template: "{template}", args: {{row: {row.name}}}}}\nrules: []\n'
    path.write_text(tree_text(migrate.record_template(None, parse_rules(text, "row.yaml"), allow_code=True)))
    return path


def _succeed(*words: str | Path) -> None:
    result = run(*words)
    assert 0 == result.exit_code, f"{' '.join(map(str, words))}\n{result.output}"
