"""Every pair of a checkpoint and a rule file, with the oracle that says what must come out and golden values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.oracle import cnn, dncnn, ppo, transformer, vit_mpc
from tests.oracle.values import FIXTURES, REAL, Leaves


@dataclass(frozen=True)
class Case:
    """One migration.

    Attributes:
      name: what tests are called by.
      checkpoint: what the user would name as the source.
      rules: the rule file; it names its template.
      expected: every leaf of the target but random streams.
      golden: `in_*` and `out_*` of the original model.
    """

    name: str
    checkpoint: Path
    rules: Path
    expected: Callable[[], Leaves]
    golden: Path

    @property
    def real(self) -> bool:
        """Whether the checkpoint is one that others published; it need not be on this machine."""
        return self.checkpoint.is_relative_to(REAL)


def _fixture(folder: str, rules: str, expected: Callable[[], Leaves]) -> Case:
    case = FIXTURES / folder
    name = f"{folder.replace('/', '-')}-{rules}"
    return Case(name, case / "ckpt", FIXTURES / f"rules/{rules}.yaml", expected, case / "golden.npz")


def _real(case: Path, source: Path, rules: str, expected: Callable[[], Leaves]) -> Case:
    return Case(f"real-{rules}", source, FIXTURES / f"rules/{rules}.yaml", expected, case / "golden.npz")


def _lm_cases() -> list[Case]:
    lm_2024 = FIXTURES / "linen_2024/lm_standard_sharded/ckpt"
    scan_2024 = FIXTURES / "linen_2024/lm_scan_manager_sharded/ckpt/100/state"
    folders = {
        "linen_2022/lm_flax_msgpack": ("lm", transformer.SOURCE),
        "linen_2022/lm_flax_orbax": ("lm", transformer.SOURCE),
        "linen_2022/lm_scan_flax_msgpack": ("lm_scan", transformer.SCAN_SOURCE),
        "linen_2022/lm_scan_orbax_per_array": ("lm_scan", transformer.SCAN_SOURCE),
        "linen_2024/lm_standard_sharded": ("lm", lm_2024),
        "linen_2024/lm_scan_manager_sharded": ("lm_scan", scan_2024),
    }
    return [
        _fixture(folder, f"{model}_to_{twin}", partial(transformer.expected_leaves, source, twin))
        for folder, (model, source) in folders.items()
        for twin in ("list", "stacked", "fused")
    ]


CASES = [
    *(
        _fixture(f"linen_2022/cnn_{how}", "cnn", cnn.expected_leaves)
        for how in ("flax_msgpack", "flax_orbax", "orbax_aggregate", "orbax_per_array", "manager")
    ),
    *(
        _fixture(f"linen_2024/{name}", "cnn", partial(cnn.expected_leaves, FIXTURES / "linen_2024/cnn_standard/ckpt"))
        for name in ("cnn_standard", "cnn_pytree_no_ocdbt")
    ),
    _fixture("nnx_2024/cnn_optimizer", "nnx_cnn", cnn.expected_leaves_of_nnx),
    _fixture("nnx_2024/cnn_pure_dict", "nnx_cnn_pure", cnn.expected_leaves_of_pure_dict),
    *_lm_cases(),
    _fixture("linen_2022/lm_manager_items", "lm_items_to_list", transformer.expected_leaves),
    _real(dncnn.CASE, dncnn.SOURCE, "dncnn", dncnn.expected_leaves),
    _real(vit_mpc.CASE, vit_mpc.SOURCE, "vit_mpc_to_list", vit_mpc.expected_leaves),
    _real(vit_mpc.CASE, vit_mpc.SOURCE, "vit_mpc_to_stacked", partial(vit_mpc.expected_leaves, twin="stacked")),
    _real(ppo.CASE, ppo.SOURCE, "ppo", ppo.expected_leaves),
]
