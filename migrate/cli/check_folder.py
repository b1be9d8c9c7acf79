"""`migrate check` of a folder of rule files: the findings, and the files that `--write` adds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.cli import options, rule_output
from migrate.cli.console import Console, exit_with
from migrate.codes import WriteFailed
from migrate.errors import UsageError

if TYPE_CHECKING:
    from migrate.planning.versions.check import FolderCheck
    from migrate.planning.versions.new_version import NewVersion


def check_folder(console: Console, folder: str, template: str | None, message: str, *, write: bool) -> None:
    """Checks a folder, writes what is missing if requested, and ends the command.

    Args:
      console: the output.
      folder: the folder as on the command line.
      template: as on the command line.
      message: as on the command line.
      write: whether the missing rule file and missing lines of the lock file are written.
    """
    from migrate import api
    from migrate.report.of_check import folder_report

    checked = api.check_versions(folder, template, message=message)
    written: list[str] = []
    if write and checked.is_writable:
        if checked.model is not None and checked.model.draft is not None:
            written += _write_version(folder, checked.model.draft)
            checked = api.check_versions(folder, template, message=message)
        if checked.lock.missing and checked.is_writable:
            written.append(_write_lock(checked))
            checked = api.check_versions(folder, template, message=message)
    report = folder_report(checked, written, template=template, writes=write, text_of=options.text_of)
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)


def _write_version(folder: str, draft: NewVersion) -> list[str]:
    files = {os.path.join(folder, name): text for name, text in {draft.name: draft.text, **draft.trees}.items()}
    for name in files:
        rule_output.refuse_existing(name, overwrite=False)
    for name, text in files.items():
        _replace(name, text)
    return list(files)


def _write_lock(checked: FolderCheck) -> str:
    _replace(checked.lock.path, checked.lock.completed)
    return checked.lock.path


def _replace(name: str, text: str) -> None:
    """Writes a file by one rename, so that a reader finds the old content or the new.

    Raises:
      UsageError: it cannot be written (`WriteFailed`).
    """
    draft = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=Path(name).parent, prefix=f".{Path(name).name}.", delete=False
        ) as stream:
            draft = stream.name
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(draft, _mode(name))
        os.replace(draft, name)
    except OSError as error:
        if draft is not None and os.path.lexists(draft):
            os.unlink(draft)
        raise UsageError(WriteFailed.at(f"cannot write `{name}`: {error.strerror}")) from error


def _mode(name: str) -> int:
    """Returns the permissions of a file that exists, or those of a new one."""
    if os.path.exists(name):
        return os.stat(name).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
