"""The bundled rule files of model families: their names, what they move, and their arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import yaml

from migrate.rules.files import bundled_names, text_of

_TELLS: Mapping[str, tuple[str, str]] = {
    "mistral": ("model_type", "mistral"),
    "llama3-1": ("rope_type", "llama3"),
}
"""By the beginning of a file's name, the field of `config.json` that tells its models from others of the same tree."""

_ROPE = ("rope_parameters", "rope_scaling")
"""The fields of `config.json` that hold its `rope_type`, which older files name `type`."""

_FOLDERS = ("hf/", "maxtext/", "maxtext-tunix/", "bonsai/")
_MODEL = re.compile(r"(?P<library>Hugging Face|MaxText)'s (?P<model>.+?)(?= \(| ↔|\. | for |$)")


@dataclass(frozen=True, slots=True)
class BundledFamily:
    """A bundled rule file of a family.

    Attributes:
      name: its name, such as `hf/qwen3`.
      model: the model that its comment names, such as `Qwen 3`.
      library: the library whose names the source has.
      args: its arguments with their defaults.
    """

    name: str
    model: str
    library: str
    args: Mapping[str, object]

    def default(self, name: str) -> object:
        """Returns the default of an argument, which may be one for models without a `config.json`."""
        value = self.args[name]
        return value.get("default") if isinstance(value, Mapping) else value

    def is_for(self, config: Mapping[str, object]) -> bool | None:
        """Whether a `config.json` is of one of its models; None if no field of the config tells."""
        last = self.name.rpartition("/")[2]
        tell = next((tell for start, tell in _TELLS.items() if last.startswith(start)), None)
        return None if tell is None else tell in _fields(config)


def _fields(config: Mapping[str, object]) -> set[tuple[str, object]]:
    """Returns the fields of a config that tell families apart."""
    ropes = [rope for name in _ROPE if isinstance(rope := config.get(name), Mapping)]
    types = {("rope_type", str(rope.get("rope_type") or rope.get("type"))) for rope in ropes}
    return types | {("model_type", str(config.get("model_type")))}


@lru_cache(maxsize=1)
def bundled_families() -> tuple[BundledFamily, ...]:
    """Returns the bundled families; files that `hf/llama-to-nnx` and others supersede come last."""
    names = [name for name in bundled_names() if name.startswith(_FOLDERS)]
    return tuple(_family(name) for name in sorted(names, key=lambda name: (name.endswith("-to-nnx"), name)))


def _family(name: str) -> BundledFamily:
    text = text_of(name) or ""
    comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    found = _MODEL.search(comment)
    model, library = (found["model"], found["library"]) if found else (name, "")
    return BundledFamily(name, model, library, (yaml.safe_load(text) or {}).get("args") or {})
