"""Imports Orbax while arrays are staged: it takes seconds, and staging mostly waits for TensorStore."""

from __future__ import annotations

import contextlib
import importlib
import threading


def import_ahead() -> threading.Thread:
    """Begins to import what the commit needs; who needs it waits for the thread.

    A failure is none here: the import that matters comes later and raises.
    """
    thread = threading.Thread(target=_import, name="import")
    thread.start()
    return thread


def _import() -> None:
    with contextlib.suppress(Exception):
        importlib.import_module("migrate.engine.commit")
