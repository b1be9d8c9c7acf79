"""Moments follow their params, and the rest of the optimizer's state follows its transforms.

slots              finds the subtrees that mirror the params
names              optax's names for transforms, by the fields of their states
states             the transforms' states, each with its slots and its own leaves
ownership          decides which params each optimizer belongs to
align_states       pairs the states of one optimizer of the source with those of one of the target
pairing            pairs all states, also where optimizers are joined or divided, and copies of the params
flow               the places of the params, and what rules for single leaves decide
algebra            what ops on params mean for moments, or why they have no meaning
adafactor_algebra  the same for adafactor's rows and columns
slot_group         slots of one field that move together
slot_move          moves one slot
counters           moves counts and hyperparameters
adafactor          moves adafactor's three slots together
result             the decisions, and how they are combined
follow             runs all of it
"""

from migrate.planning.moments.follow import follow
from migrate.planning.moments.result import FollowResult
from migrate.planning.moments.slots import source_slots
from migrate.planning.moments.states import TransformState

__all__ = ["FollowResult", "TransformState", "follow", "source_slots"]
