"""The bundled rule files of model families: their names, what they move, and their arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from migrate.rules.files import bundled_names, text_of
from migrate.rules.source import compose, plain

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
    """Returns the bundled families; files that `hf/llama-to-nnx` and others supersede come last.

    A file with sources of its own, such as `hf/lora-merge`, is for any model and cannot be included.
    """
    names = [name for name in bundled_names() if name.startswith(_FOLDERS)]
    ordered = sorted(names, key=lambda name: (name.endswith("-to-nnx"), name))
    return tuple(found for name in ordered if (found := _family(name)) is not None)


def _family(name: str) -> BundledFamily | None:
    text = text_of(name) or ""
    root, _ = compose(text, name)
    fields = plain(root) if root is not None else {}
    if "sources" in fields:
        return None
    comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    found = _MODEL.search(comment)
    model, library = (found["model"], found["library"]) if found else (name, "")
    return BundledFamily(name, model, library, fields.get("args") or {})
