"""`migrate check` of a folder of rule files: the findings, and the files that `--write` adds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from migrate.cli import options, rule_output
from migrate.cli.console import Console, exit_with
from migrate.garbage import without_collection

if TYPE_CHECKING:
    from migrate.planning.versions.check import FolderCheck
    from migrate.planning.versions.new_version import NewVersion
    from migrate.report.view import Report


def check_folder(console: Console, folder: str, template: str | None, message: str, *, write: bool) -> None:
    """Checks a folder, writes what is missing if requested, and ends the command.

    Args:
      console: the output.
      folder: the folder as on the command line.
      template: as on the command line.
      message: as on the command line.
      write: whether the missing rule file and missing lines of the lock file are written.
    """
    with without_collection():
        report = _report(folder, template, message, write=write)  # the plans are not kept: nothing is left to visit
    console.text(report, findings_to_stdout=True)
    console.finish([report])
    exit_with(report.exit_code)


def _report(folder: str, template: str | None, message: str, *, write: bool) -> Report:
    """Checks a folder and writes what is missing if requested."""
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
    return folder_report(checked, written, template=template, writes=write, text_of=options.text_of)


def _write_version(folder: str, draft: NewVersion) -> list[str]:
    files = {os.path.join(folder, name): text for name, text in {draft.name: draft.text, **draft.trees}.items()}
    for name in files:
        rule_output.refuse_existing(name, overwrite=False)
    for name, text in files.items():
        rule_output.write(name, text)
    return list(files)


def _write_lock(checked: FolderCheck) -> str:
    rule_output.write(checked.lock.path, checked.lock.completed)
    return checked.lock.path
