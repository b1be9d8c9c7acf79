"""The `config.json` of a Hugging Face model, which states beside its tensors what shapes do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrate.errors import CheckpointError
from migrate.formats.base import ModelConfig
from migrate.formats.files import is_dir, is_file, read_json_object

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
"""The file that names the model's class, without which `transformers` opens no folder."""


def read_model_config(path: Path) -> ModelConfig:
    """Returns the configuration in a file; one that cannot be read is described in `problem`."""
    try:
        return ModelConfig(path, read_json_object(path))
    except CheckpointError as error:
        return ModelConfig(path, problem=error.diagnostics[0].message)
    except OSError as error:
        return ModelConfig(path, problem=f"`{path}` cannot be read: {error.strerror or error}")


def config_beside(path: Path) -> ModelConfig | None:
    """Returns the configuration in a folder of tensors, or beside a file of them; None if there is none."""
    file = (path if is_dir(path) else path.parent) / CONFIG
    return read_model_config(file) if is_file(file) else None
