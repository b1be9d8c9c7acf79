"""The metadata of the new checkpoint: what it is, where it came from, and everything that the source kept there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.plan.model import Plan


def new_metadata(plan: Plan) -> Mapping[str, Any]:
    """What Orbax is given as custom metadata."""
    return {}
