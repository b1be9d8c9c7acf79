"""Hugging Face's side: tiny models with random params, as `save_pretrained` writes them, and their outputs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.families.rows import LENGTH, VOCABULARY, Row

transformers.utils.logging.disable_progress_bar()

FILE = "model.safetensors"
BARE = ("hf/gpt2",)
"""The rule files of models that are published without the head's prefix."""

_DEVIATION = 0.3
"""The standard deviation of every param: large enough that a wrong param changes the logits."""


def save(row: Row, folder: Path) -> Path:
    """Saves a model of the row with random params; returns the file."""
    torch.manual_seed(0)
    tied = {"tie_word_embeddings": row.tied} if row.tied or row.other != "nnx" else {}
    config = transformers.AutoConfig.for_model(row.family, **row.config, **tied)
    model = _kind(row).auto.from_config(config)
    with torch.no_grad():
        for param in model.parameters():
            param.normal_(std=_DEVIATION)
    saved = model.base_model if row.rules in BARE else model
    saved.to(getattr(torch, row.dtype)).save_pretrained(folder)
    return folder / FILE


def inputs(row: Row) -> dict[str, np.ndarray]:
    """Returns the inputs of a model by the names of its arguments."""
    rng = np.random.default_rng(0)
    made = {
        "input_ids": rng.integers(3, VOCABULARY, (2, LENGTH)),
        "decoder_input_ids": rng.integers(0, VOCABULARY, (2, LENGTH - 2)),
        "token_type_ids": rng.integers(0, 2, (2, LENGTH)),
        "pixel_values": rng.normal(size=(2, 3, 12, 12)).astype(np.float32),
        "input_features": rng.normal(size=(2, 8, 16)).astype(np.float32),
    }
    return {name: made[name] for name in _kind(row).inputs}


def outputs(row: Row, folder: Path) -> np.ndarray:
    """Returns the outputs of a saved model, computed in float32; several ones are joined."""
    model, _ = load(row, folder)
    with torch.no_grad():
        result = model(**{name: torch.from_numpy(array) for name, array in inputs(row).items()})
    arrays = [result[name].numpy() for name in _kind(row).outputs]
    return arrays[0] if len(arrays) == 1 else np.concatenate([array.ravel() for array in arrays])


def load(row: Row, folder: Path) -> tuple[Any, dict[str, list[Any]]]:
    """Returns the model of a folder, and the names that `from_pretrained` missed, did not expect, or found mismatched.

    The model is loaded in float32: one that is cast later has rounded the frequencies of its rotary embedding.
    """
    model, found = _kind(row).auto.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    names = ("missing_keys", "unexpected_keys", "mismatched_keys")
    return model.eval(), {name: sorted(found[name]) for name in names}


def copy_config(source: Path, folder: Path) -> None:
    """Copies the files beside the params."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.glob("*.json"):
        shutil.copy(file, folder)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a type of model is made, called and read."""

    auto: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("logits",)


_DECODER = _Kind(transformers.AutoModelForCausalLM, ("input_ids",))
_PRETRAINING = _Kind(
    transformers.AutoModelForPreTraining,
    ("input_ids", "token_type_ids"),
    ("prediction_logits", "seq_relationship_logits"),
)
_MODELS = {
    "bert": _Kind(transformers.AutoModelForMaskedLM, ("input_ids", "token_type_ids")),
    "t5": _Kind(transformers.AutoModelForSeq2SeqLM, ("input_ids", "decoder_input_ids")),
    "clip": _Kind(transformers.AutoModel, ("input_ids", "pixel_values"), ("logits_per_image",)),
    "vit": _Kind(transformers.AutoModelForImageClassification, ("pixel_values",)),
    "whisper": _Kind(transformers.AutoModelForSpeechSeq2Seq, ("decoder_input_ids", "input_features")),
}


def _kind(row: Row) -> _Kind:
    return _PRETRAINING if row.variant == "pretraining" else _MODELS.get(row.family, _DECODER)
