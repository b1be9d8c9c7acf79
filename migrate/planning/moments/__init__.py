"""Moments follow their params, and the rest of the optimizer's state its transforms.

slots      where copies of the params' structure lie
names      what optax calls what has these fields
states     the transforms' states, each with its slots and its own leaves
chain      which state of the target continues which of the source
algebra    what ops mean for moments, or why they mean nothing
factored   the same for adafactor's rows and columns
moves      one slot on its way; `factors` for adafactor's three
follow     all of it
"""

from migrate.planning.moments.follow import follow
from migrate.planning.moments.result import FollowResult
from migrate.planning.moments.slots import source_slots
from migrate.planning.moments.states import TransformState

__all__ = ["FollowResult", "TransformState", "follow", "source_slots"]
