"""Optax's names for the transforms of an optimizer, by the fields of their states.

On disk a state is a node whose children are the fields of a named tuple; the tuple's name is lost. Some transforms
share their fields with others (`scale_by_adam` with those of lamb, radam or adabelief): the name is then that of the
best known, and decisions by this name must be valid for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

NAMES: Mapping[frozenset[str], str] = {
    frozenset(fields.split()): name
    for fields, name in (
        ("count mu nu", "scale_by_adam"),
        ("count mu nu nu_max", "scale_by_amsgrad"),
        ("count mu", "scale_by_lion"),
        ("nu", "scale_by_rms"),
        ("count nu", "scale_by_rms"),
        ("mu nu", "scale_by_stddev"),
        ("trace", "trace"),
        ("sum_of_squares", "scale_by_rss"),
        ("count v v_col v_row", "scale_by_factored_rms"),
        ("count ema", "ema"),
        ("e_g e_x", "scale_by_adadelta"),
        ("g m n t v", "scale_by_adan"),
        ("count mu ns_coeffs", "scale_by_muon"),
        ("count", "scale_by_schedule"),
        ("prev_updates step_sizes", "scale_by_rprop"),
        ("count grad_acc", "apply_every"),
        ("count rng_key", "add_noise"),
        ("acc_grads gradient_step mini_step", "MultiSteps"),
        ("count hyperparams", "inject_hyperparams"),
        ("count hyperparams hyperparams_states", "inject_hyperparams"),
        ("last_finite notfinite_count total_notfinite", "apply_if_finite"),
        ("b1 max_lr step_count weight_sum z", "schedule_free"),
        ("steps_since_sync", "lookahead"),
    )
}
"""Transforms, by those fields of their states that hold data."""

FIELDS = frozenset(field for fields in NAMES for field in fields)
"""All fields of these transforms."""

PARAM_STATES = "param_states"
"""The node of `flax.optim` below which each param has its moments."""

FLAX_OPTIM: Mapping[str, str] = {
    "grad_ema": "mu",
    "grad_sq_ema": "nu",
    "momentum": "trace",
    "G": "sum_of_squares",
    "v": "nu",
    "mg": "mu",
    "step": "count",
}
"""Optax's names for the fields of `flax.optim`."""

NESTED_STATES = frozenset({"inner_state", "inner_states", "inner_opt_state", "base_optimizer_state", "fast_state"})
"""Fields in which wrappers (`masked`, `multi_transform`, `inject_hyperparams`, `MultiSteps`) keep other states."""

MAPPING_FIELDS = frozenset({"hyperparams", "hyperparams_states"})
"""Fields that are mappings; their whole content belongs to the state that has the field."""

NONZERO: Mapping[str, str] = {
    "scale_by_rss": "adagrad starts at `initial_accumulator_value` (0.1 by default)",
    "scale_by_rprop": "rprop starts at the learning rate",
    "schedule_free": "`z` starts at the params",
}
"""Transforms whose moments do not all start at zero, with their initial values."""

SCHEDULED = frozenset({"gradient_step"})
"""Counts beside moments that drive a schedule; they continue where the moments start fresh."""

GRADIENT_POWERS: Mapping[str, int] = {
    "mu": 1,
    "trace": 1,
    "acc_grads": 1,
    "nu": 2,
    "nu_max": 2,
    "sum_of_squares": 2,
}
"""Fields of moments that are sums or means of a power of the gradients, with that power."""

_ADAM = "the first updates of fresh moments are up to 3.16 × the learning rate"
CORRECTED: Mapping[str, str] = {
    "scale_by_adam": _ADAM,
    "scale_by_amsgrad": _ADAM,
    "scale_by_adan": "the first updates of fresh moments are not those of a fresh optimizer",
}
"""Transforms that correct the bias of their moments by their count, with the effect of an old count on fresh ones."""

FACTORED = "scale_by_factored_rms"
"""The transform behind adafactor, which keeps row and column means instead of a moment."""

PER_TENSOR: Mapping[str, str] = {
    "scale_by_trust_ratio": "lamb and lars scale the update of each tensor by the tensor's own norm",
    "lamb": "lamb scales the update of each tensor by the tensor's own norm",
    "lars": "lars scales the update of each tensor by the tensor's own norm",
    "scale_by_param_block_norm": "the update of each tensor is scaled by the tensor's own norm",
    "scale_by_param_block_rms": "the update of each tensor is scaled by the tensor's own mean square",
    "clip_by_block_rms": "the update of each tensor is clipped by its own mean square",
    "adaptive_grad_clip": "the gradient of each tensor is clipped by norms of its own",
    "scale_by_novograd": "novograd keeps one second moment for each tensor",
    "novograd": "novograd keeps one second moment for each tensor",
    "scale_by_muon": "muon orthogonalizes each tensor as one matrix",
    "muon": "muon orthogonalizes each tensor as one matrix",
    "adafactor": "adafactor keeps means over the rows and columns of each tensor",
    FACTORED: "adafactor keeps means over the rows and columns of each tensor",
}
"""Transforms that treat a tensor as a whole: their result changes when tensors are joined or cut."""


def name_of(fields: Collection[str]) -> str | None:
    """Returns optax's name of the transform whose state has these fields with data, or None if it is unknown."""
    return NAMES.get(frozenset(fields))
