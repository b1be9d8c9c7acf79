"""A checkpoint as a report, for `inspect`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from migrate.errors import CheckpointError, Diagnostic, ExitCode
from migrate.formats.reader import AbstractCheckpoint
from migrate.metadata import KEY, Metadata
from migrate.report.amounts import plural, size
from migrate.report.notes import grouped, storage_notes
from migrate.report.of_tree import draw_tree, top_amounts
from migrate.report.picture_of_trees import tree_picture
from migrate.report.view import Report, TextOf, findings, no_text
from migrate.tree import AbstractLeaf, AbstractTree, format_path

MOST_METADATA = 300
"""The most characters of metadata without `-v`."""


def checkpoint_report(
    checkpoint: AbstractCheckpoint, *, verbose: bool = False, depth: int | None = None, text_of: TextOf = no_text
) -> Report:
    """Reports format, origin, steps, items, metadata, structure hash and the tree, with repeated layers as one.

    A checkpoint whose files lack bytes is shown all the same, with its problems and the exit code of unreadable input.

    Args:
      checkpoint: the checkpoint.
      verbose: whether to omit nothing.
      depth: levels of the tree; by default as many as fit on a screen.
      text_of: returns the text of a rule file, for excerpts.
    """
    drawn = draw_tree(checkpoint.tree, depth=depth, verbose=verbose and depth is None)
    notes = [*grouped((*checkpoint.notes, *storage_notes(checkpoint.tree))), *_record(checkpoint.metadata)[1]]
    return Report(
        command="inspect",
        exit_code=ExitCode.FAILED if checkpoint.problems else ExitCode.OK,
        title=str(checkpoint.path),
        facts=tuple(_facts(checkpoint, verbose=verbose)),
        rows=drawn.rows,
        omitted=drawn.omitted,
        findings=findings((*(notes if verbose else map(_brief, notes)), *checkpoint.problems), text_of),
        brief=f"{checkpoint.path}: {checkpoint.format}, {_contents(checkpoint.tree)}",
        data={**_data(checkpoint), "notes": [_note_data(note) for note in notes]},
        picture=lambda: tree_picture(str(checkpoint.path), checkpoint.tree),
    )


def _brief(note: Diagnostic) -> Diagnostic:
    """Returns a note without its key paths; errors and warnings keep theirs."""
    return replace(note, paths=()) if note.severity == "note" else note


def _note_data(note: Diagnostic) -> dict[str, Any]:
    return {"code": note.code, "message": note.message, "count": max(len(note.paths), 1), "paths": list(note.paths)}


def _facts(checkpoint: AbstractCheckpoint, *, verbose: bool) -> Iterable[tuple[str, str]]:
    yield "format", f"{checkpoint.format}, zarr3" if checkpoint.zarr3 else checkpoint.format
    if checkpoint.era:
        yield "origin", checkpoint.era
    if checkpoint.step is not None:
        yield "step", f"{checkpoint.step}{_of_steps(checkpoint.steps)}"
    items = [name for name in (*checkpoint.items, *(f"{name} (JSON)" for name in checkpoint.extras)) if name]
    if items:
        yield "items", ", ".join(items)
    if checkpoint.layouts:
        yield "layouts", ", ".join(f"{name} (--item {name})" for name in checkpoint.layouts)
    yield from _metadata(checkpoint.metadata, verbose=verbose)
    if checkpoint.separator and len(checkpoint.tree.leaves) < sum(map(len, checkpoint.tree.leaves)):
        yield "names", f"split at `{checkpoint.separator}`"
    yield "structure", checkpoint.structure_hash
    yield "contents", _contents(checkpoint.tree)


def _record(metadata: Mapping[str, Any]) -> tuple[Metadata | None, Sequence[Diagnostic]]:
    """Returns migrate's record in the metadata, or None and the reason: a damaged record must not hide the rest."""
    try:
        return Metadata.from_json(metadata), ()
    except CheckpointError as error:
        return None, error.diagnostics


def _of_steps(steps: Sequence[int]) -> str:
    if len(steps) < 2:
        return ""
    listed = ", ".join(map(str, steps)) if len(steps) <= 8 else f"{steps[0]}, {steps[1]}, … {steps[-1]}"
    return f" of {len(steps)}: {listed}"


def _metadata(metadata: Mapping[str, Any], *, verbose: bool) -> Iterable[tuple[str, str]]:
    """Yields the user's metadata and a summary of migrate's record (with `-v` the record itself)."""
    shown = {key: value for key, value in metadata.items() if key != KEY or verbose}
    if shown:
        text = json.dumps(shown, ensure_ascii=False, default=str)
        yield "metadata", text if verbose or len(text) <= MOST_METADATA else f"{text[:MOST_METADATA]}… (-v shows all)"
    record, _ = _record(metadata)
    if record and record.model:
        yield "model", f"{record.model}{'' if record.version is None else f', version {record.version}'}"
    if record and record.history:
        yield "history", ", ".join(f"{migration.rules} ({migration.date[:10]})" for migration in record.history)


def _contents(tree: AbstractTree) -> str:
    kinds: Counter[str] = Counter(leaf.kind for leaf in tree.leaves.values())
    by_dtype = Counter(leaf.aval.dtype for leaf in tree.leaves.values() if leaf.kind == "array" and leaf.aval)
    dtypes = ", ".join(f"{count:,} {dtype}" for dtype, count in by_dtype.most_common())
    nouns = {"scalar": "Python number", "string": "string", "empty": "empty container", "opaque": "unreadable leaf"}
    others = [plural(kinds[kind], noun) for kind, noun in nouns.items() if kinds[kind]]
    others += [f"{kinds['none']:,} None"] if kinds["none"] else []
    parts = [f"{plural(kinds['array'], 'array')} ({dtypes})"] if kinds["array"] else []
    return f"{', '.join(parts + others) or 'no leaves'}; {size(tree.nbytes)}"


def _data(checkpoint: AbstractCheckpoint) -> dict[str, Any]:
    trees = {name: _item_data(tree) for name, tree in checkpoint.items.items()}
    return {
        "path": str(checkpoint.path),
        "format": checkpoint.format,
        "era": checkpoint.era,
        "step": checkpoint.step,
        "steps": list(checkpoint.steps),
        "items": trees | {name: {"kind": "json", "content": content} for name, content in checkpoint.extras.items()},
        "layouts": list(checkpoint.layouts),
        "separator": checkpoint.separator,
        "structure_hash": checkpoint.structure_hash,
        "metadata": checkpoint.metadata,
        "nbytes": checkpoint.tree.nbytes,
        "subtrees": {name: asdict(amount) for name, amount in top_amounts(checkpoint.tree).items()},
        "leaves": [_leaf_data(format_path(path), leaf) for path, leaf in checkpoint.tree.leaves.items()],
    }


def _item_data(tree: AbstractTree) -> dict[str, Any]:
    return {"kind": "pytree", "leaves": len(tree.leaves), "nbytes": tree.nbytes, "structure_hash": tree.structure_hash}


def _leaf_data(path: str, leaf: AbstractLeaf) -> dict[str, Any]:
    chunks = leaf.storage.chunks if leaf.storage else None
    return {
        "path": path,
        "kind": leaf.kind,
        "shape": list(leaf.aval.shape) if leaf.aval else None,
        "dtype": leaf.aval.dtype if leaf.aval else None,
        "nbytes": leaf.nbytes,
        "chunks": list(chunks) if chunks is not None else None,
        **({"inner_chunks": list(leaf.storage.inner)} if leaf.storage and leaf.storage.inner is not None else {}),
        "sharding": str(leaf.sharding) if leaf.sharding else None,
    }
