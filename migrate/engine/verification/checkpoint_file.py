"""The file with the custom metadata of a step or an item, replaced by one rename; no other file of Orbax changes.

What migrate records is below `custom_metadata`; Orbax refuses a whole root of steps if there is an unknown key beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from migrate.codes import ChangedValues, InvalidUsage
from migrate.engine.verification.record_file import write_record
from migrate.errors import UsageError, VerifyError
from migrate.formats.digest_record import FILE, DigestRecord, changed_files, either_file, read_record
from migrate.text_files import write_text

_KNOWN_KEYS = frozenset(
    {
        "item_handlers",
        "metrics",
        "performance_metrics",
        "init_timestamp_nsecs",
        "commit_timestamp_nsecs",
        "custom_metadata",
    }
)
"""What Orbax expects in the file; it takes other keys for custom metadata."""
_FIRST_NAME = "custom"
"""The key of custom metadata in Orbax 0.10 to 0.11.9."""


def custom_metadata(file: Path, content: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Returns the key below which the file has custom metadata, and the metadata.

    Raises:
      UsageError: the file has no place for more.
    """
    key = _FIRST_NAME if _FIRST_NAME in content and "custom_metadata" not in content else "custom_metadata"
    unknown = [name for name in content if name not in _KNOWN_KEYS and name != key]
    custom = content.get(key) or {}
    if unknown:
        why = f"it has the unknown key `{unknown[0]}`, and Orbax would refuse both that key and custom metadata"
    elif not isinstance(custom, Mapping):
        why = f"its `{key}` is not a mapping"
    else:
        return key, custom
    advice = "move what you added to the file below `custom_metadata`, which is a mapping"
    raise UsageError(InvalidUsage.at(f"`{file}` has no place for a record: {why}", help=advice))


def replace_recorded(file: Path, text: str) -> None:
    """Replaces the file by one rename.

    Where the directory records digests, that record is replaced before and after: killed between the two, it accepts
    the old and the new file.

    Args:
      file: the file.
      text: its new content.

    Raises:
      CheckpointError: the record of digests is damaged (`DamagedFile`).
      VerifyError: the file differs from its digest (`ChangedValues`).
      OSError: it cannot be written.
    """
    digests = unchanged_digests(file)
    if digests is None or not digests.files:
        write_text(file, text)
        return
    both = either_file(digests, file.name, text)
    write_record(file.parent, both)
    write_text(file, text)
    write_record(file.parent, replace(both, files={**both.files, file.name: both.files[file.name].split()[-1]}))


def unchanged_digests(file: Path) -> DigestRecord | None:
    """Returns the digests that the directory of the file records, after comparing the file with them.

    Raises:
      CheckpointError: the record of digests is damaged (`DamagedFile`).
      VerifyError: the file differs from its digest (`ChangedValues`).
    """
    digests = read_record(file.parent / FILE)
    if digests is not None and file.name in changed_files(digests, file.parent):
        message = f"`{file}` has changed since the digests were recorded"
        raise VerifyError(
            ChangedValues.at(message, help=f"`migrate verify {quote(str(file.parent))}` compares all files")
        )
    return digests
