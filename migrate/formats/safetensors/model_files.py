"""The files of a Hugging Face model beside its tensors: configuration, generation, tokenizer and processor."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from migrate.formats.files import children, is_dir, is_file

CONFIG = "config.json"
"""The file that names the model's class, without which `transformers` opens no folder."""

_NAMES = (
    CONFIG,
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "feature_extractor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "normalizer.json",
    "chat_template*",
    "*.jinja",
    "*.tiktoken",
    "*.spm",
    "*.model",
)
"""Patterns of their names; `*.model` is a SentencePiece model."""


def model_files(folder: Path) -> list[Path]:
    """Returns the files of a model in a folder, sorted; none for any other path."""
    return [child for child in children(folder) if is_model_file(child)] if is_dir(folder) else []


def read_config(path: Path) -> dict[str, Any] | None:
    """Returns the `config.json` in a folder, or beside a file; None if there is none, or if it cannot be read."""
    folder = path if is_dir(path) else path.parent
    file = folder / CONFIG
    if not is_file(file):
        return None
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_model_file(path: Path) -> bool:
    """Whether a path is a file of a model that is not one of its tensors."""
    return any(fnmatchcase(path.name, name) for name in _NAMES) and is_file(path)
