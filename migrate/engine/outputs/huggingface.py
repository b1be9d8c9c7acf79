"""A folder of Hugging Face: safetensors files with an index, beside the model's configuration and tokenizer.

`from_pretrained` of `transformers` reads it: tensors are divided among files in the order of their names, each file is
the one that the format's own library writes, and the configuration is copied from a folder that has it
(`formats.safetensors.model_files`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrate.codes import InvalidUsage, NoModelConfig
from migrate.engine.items import ItemPlan
from migrate.engine.linking.hard_links import link_file
from migrate.engine.linking.new_files import sync_each
from migrate.engine.options import DEFAULT_SHARD, ApplyOptions
from migrate.engine.outputs.file import FileOutput
from migrate.engine.outputs.file_layout import FileLayout, FileRegion, Texts
from migrate.engine.outputs.file_store import FileStore, file_of
from migrate.engine.outputs.safetensors import SafetensorsFile, file_parts, header_metadata, tensor_names
from migrate.errors import Diagnostic, listed
from migrate.formats.files import children, is_dir, is_file
from migrate.formats.model_config import CONFIG
from migrate.formats.parts import INDEX, is_index, is_part
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.formats.safetensors.item import SUFFIX, holds_safetensors
from migrate.formats.safetensors.model_files import is_model_file, model_files
from migrate.planning.model import Plan
from migrate.tree import AbstractTree, KeyPath

WHOLE = f"model{SUFFIX}"
"""The name of the only file with tensors."""

WEIGHT_INDEX = f"{WHOLE}{INDEX}"
"""The name of the index of several."""

_CARRIED = "model_files"
"""The directory of the store with the configuration and tokenizer files."""


class HuggingFaceFiles(SafetensorsFile):
    """The format of the files with tensors, and of their index."""

    name = "safetensors"

    def recognizes(self, file: Path) -> bool:
        return is_dir(file) and holds_safetensors(file)

    def layout(
        self, tree: AbstractTree, metadata: Mapping[str, Any], texts: Texts, shard_bytes: int = DEFAULT_SHARD
    ) -> FileLayout:
        del texts
        names = tensor_names(tree)
        recorded = header_metadata(tree, names, metadata)
        shards = list(_shards(tree, names, shard_bytes))
        if len(shards) < 2:
            return FileLayout.joined({WHOLE: file_parts(tree, names, recorded)})
        titles = [f"model-{number:05}-of-{len(shards):05}{SUFFIX}" for number in range(1, len(shards) + 1)]
        files: dict[str, list[bytes | FileRegion]] = {
            title: file_parts(tree, shard, recorded) for title, shard in zip(titles, shards, strict=True)
        }
        return FileLayout.joined({**files, WEIGHT_INDEX: [_index(tree, dict(zip(titles, shards, strict=True)))]})


def _shards(tree: AbstractTree, names: Mapping[KeyPath, str], limit: int) -> Iterator[dict[KeyPath, str]]:
    """Yields the tensors of each file: as many as fit into `limit` bytes, at least one."""
    shard: dict[KeyPath, str] = {}
    size = 0
    for path, name in names.items():
        nbytes = tree.leaves[path].nbytes
        if shard and size + nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[path] = name
        size += nbytes
    if shard:
        yield shard


def _index(tree: AbstractTree, shards: Mapping[str, Mapping[KeyPath, str]]) -> bytes:
    """Returns the index as `transformers` writes it."""
    avals = [aval for leaf in tree.leaves.values() if (aval := leaf.aval)]
    total = {"total_parameters": sum(aval.size for aval in avals), "total_size": sum(aval.nbytes for aval in avals)}
    names = {name: title for title, shard in shards.items() for name in shard.values()}
    text = json.dumps({"metadata": total, "weight_map": dict(sorted(names.items()))}, indent=2)
    return f"{text}\n".encode()


class HuggingFaceFolder(FileOutput):
    """The output of `layout: huggingface`."""

    def recognizes(self, written: Path) -> bool:
        return self.form.recognizes(written)

    def foreign_entries(self, written: Path) -> Sequence[str]:
        """Returns the entries that are neither files with tensors, nor their index, nor files of the model."""
        super().foreign_entries(written)
        return [child.name for child in children(written) if not _is_own(child)]

    def objections(self, options: ApplyOptions) -> Iterator[Diagnostic]:
        if options.compression not in (None, "none"):
            yield InvalidUsage.at("safetensors files are not compressed", help="remove `--compression`")
        if options.max_shard_size is not None and options.max_shard_size < 1:
            yield InvalidUsage.at(
                f"`--max-shard-size {options.max_shard_size}` is below 1 byte", help="give at least 1"
            )
        folder = options.files_from
        if folder is not None and not model_files(Path(folder)):
            message = f"`{folder}` has no `{CONFIG}` and no other file of a model of Hugging Face"
            yield InvalidUsage.at(message, help="give `--files-from` the folder of the original model")

    def is_written_with(self, found: AbstractCheckpoint, place: Path, options: ApplyOptions) -> bool:
        limit = options.max_shard_size or DEFAULT_SHARD
        leaves = found.tree.leaves
        shards = len(list(_shards(found.tree, {path: "" for path, leaf in leaves.items() if leaf.aval}, limit)))
        files = [child for child in children(place) if child.suffix == SUFFIX]
        kept = model_files(Path(options.files_from)) if options.files_from else []
        return len(files) == max(shards, 1) and all(_is_copied(file, place) for file in kept)

    def settled(self, plan: Plan, place: Path, options: ApplyOptions) -> ApplyOptions:
        """Takes the files of the model from the folder that is replaced, unless they are given or beside the source."""
        if not options.overwrite or model_files(_origin(plan, options)) or not model_files(place):
            return options
        return replace(options, files_from=place)

    def remarks(self, plan: Plan, place: Path, options: ApplyOptions) -> Iterator[Diagnostic]:
        """Notes the files of the model that are kept, or that there is no configuration for `transformers`."""
        files = [file.name for file in model_files(_origin(plan, options))]
        if options.files_from == place:
            message = f"DST keeps files of the model that it replaces: {listed(files, 3)}"
            yield NoModelConfig.at(message, help="for those of another model, add `--files-from DIR` with its folder")
        if CONFIG not in files:
            message = f"DST gets no `{CONFIG}`, without which `transformers` does not open it"
            yield NoModelConfig.at(message, help="add `--files-from DIR` with the folder of the original model")

    @contextmanager
    def open_store(
        self, plan: Plan, reader: Reader, item: ItemPlan, store: Path, options: ApplyOptions
    ) -> Iterator[FileStore]:
        """Copies the files of the model into the store first, so that the commit finds them there."""
        with super().open_store(plan, reader, item, store, options) as opened:
            _carry(model_files(_origin(plan, options)), store / _CARRIED)
            yield opened

    def assemble(self, store: Path, layout: FileLayout, result: Path) -> None:
        """Links the completed files and those of the model into a new directory."""
        result.mkdir()
        for name in layout.sizes:
            link_file(file_of(store, name), result / name)
        for file in children(store / _CARRIED):
            link_file(file, result / file.name)
        sync_each([result])


def _origin(plan: Plan, options: ApplyOptions) -> Path:
    """Returns the folder that has the files of the model."""
    return plan.source.path if options.files_from is None else Path(options.files_from)


def _is_copied(file: Path, folder: Path) -> bool:
    copy = folder / file.name
    return is_file(copy) and copy.read_bytes() == file.read_bytes()


def _is_own(child: Path) -> bool:
    return child.name == WHOLE or is_part(child, SUFFIX) or is_index(child, SUFFIX) or is_model_file(child)


def _carry(files: Sequence[Path], folder: Path) -> None:
    """Copies files durably; a file that is in the folder already is replaced, since a result may share its bytes."""
    folder.mkdir(exist_ok=True)
    for file in children(folder):
        file.unlink()
    for file in files:
        with (folder / file.name).open("xb") as copy:
            copy.write(file.read_bytes())
            copy.flush()
            os.fsync(copy.fileno())


OUTPUT = HuggingFaceFolder(HuggingFaceFiles())
