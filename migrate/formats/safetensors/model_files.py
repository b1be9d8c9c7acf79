"""The files of a Hugging Face model beside its tensors: configuration, generation, tokenizer and processor."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from migrate.codes import IgnoredFiles
from migrate.errors import Diagnostic, listed
from migrate.formats.files import children, is_dir, is_file
from migrate.formats.model_config import CONFIG

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


def model_file_notes(folder: Path) -> list[Diagnostic]:
    """Returns a note that lists the files of a model in a folder, which have no arrays."""
    names = [file.name for file in model_files(folder)]
    if not names:
        return []
    message = (
        f"`{folder}` also has files of the model, which only DST in Hugging Face's layout gets: {listed(names, 3)}"
    )
    return [IgnoredFiles.at(message, paths=names)]


def is_model_file(path: Path) -> bool:
    """Whether a path is a file of a model that is not one of its tensors."""
    return any(fnmatchcase(path.name, name) for name in _NAMES) and is_file(path)
