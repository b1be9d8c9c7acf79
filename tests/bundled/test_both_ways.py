"""One file for both directions: what a bundled file makes of a checkpoint leads back by `--reverse`, bit for bit."""

from dataclasses import dataclass

import numpy as np
import pytest

from migrate.rules.files import bundled_names
from tests.bundled import test_hf, test_t5x
from tests.bundled.migrating import apply, leaves, nested, run, same, save
from tests.bundled.test_linen import CELLS
from tests.families.golden import RULES
from tests.knowledge.test_layers import initialised
from tests.knowledge.twins import TWINS
from tests.oracle import ppo
from tests.oracle.values import FIXTURES, REAL

PUBLISHED = {
    "linen/to-nnx": (REAL / "scico_dncnn6L/ckpt", ""),
    "brax/ppo-to-nnx": (ppo.SOURCE, "fixtures.models.ppo:make_model"),
}
T5X = {"t5x/to-nnx": dict, "t5x/scanned-to-nnx": test_t5x.scanned}
HUGGING_FACE = {
    "hf/gpt2-to-nnx": (test_hf.gpt2_weights, "fixtures.models.gpt2:make_model"),
    "hf/llama-to-nnx": (test_hf.llama_weights, "fixtures.models.llama:make_model"),
}
ELSEWHERE = {"nnx/stack", "nnx/unstack", "nnx/fused-to-qkv", "nnx/qkv-to-fused"}
"""Files for includes, which `test_nnx` reverses."""

FORWARD_ONLY = {"linen/scan-to-list"}
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real checkpoints are not on this machine")


@dataclass(frozen=True)
class Case:
    """A checkpoint on disk, the file and the template that move it, and the leaves that do not come back."""

    rules: str
    source: str
    template: str = ""
    lost: tuple[str, ...] = ()


CASES = [
    Case("linen/train-state-to-nnx", "linen_2022/cnn_flax_msgpack/ckpt", "fixtures.models.bridged:make_state"),
    Case("linen/list-to-scan", "linen_2022/lm_flax_msgpack/ckpt"),
    Case("linen/list-to-scan", "linen_2024/lm_standard_sharded/ckpt"),
    Case(
        "nnx/optimizer-to-current",
        "nnx_2025/lm_optimizer/ckpt",
        "fixtures.models.nnx_lm:make_state",
        ("model/attn/rngs/default/count", "model/attn/rngs/default/key"),
    ),
    Case(
        "nnx/to-current",
        "nnx_mid_2024/lm_optimizer/ckpt",
        "fixtures.models.nnx_lm:make_model_and_optimizer",
    ),
    Case("nnx/optimizer-to-current", "nnx_2024/cnn_optimizer/ckpt", "fixtures.models.cnn:make_state"),
]


def there_and_back(rules, old, tmp_path, template=""):
    """The leaves of the checkpoint that the rules, applied in reverse, make of their own result."""
    new = apply(rules, old, tmp_path / "new", *(["--template", template] if template else []))
    return leaves(apply(rules, new, tmp_path / "back", "--reverse"))


def in_width_of(expected, actual):
    """The same integers in the width that they have in another checkpoint; no rule records that of a cast."""
    return {
        name: value.astype(expected[name].dtype)
        if name in expected and value.ndim == 0 and np.issubdtype(value.dtype, np.integer)
        else value
        for name, value in actual.items()
    }


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rules} {case.source.split('/ckpt')[0]}")
def test_a_checkpoint_of_its_era_leads_back_bit_for_bit(case, tmp_path):
    old = FIXTURES / case.source
    before = leaves(old)
    assert set(case.lost) <= before.keys()
    back = there_and_back(case.rules, old, tmp_path, case.template)
    same({name: value for name, value in before.items() if name not in case.lost}, in_width_of(before, back))


@needs_real
@pytest.mark.parametrize("rules", PUBLISHED)
def test_a_published_checkpoint_leads_back_bit_for_bit(rules, tmp_path):
    source, template = PUBLISHED[rules]
    same(leaves(source), there_and_back(rules, source, tmp_path, template))


def test_running_averages_lead_back_to_their_collection(tmp_path):
    layer = {name: np.arange(2, dtype=np.float32) + number for number, name in enumerate(("mean", "var", "scale"))}
    params = {"norm": {"scale": layer["scale"]}, "head": {"kernel": np.ones((2, 2), np.float32)}}
    stats = {"norm": {"mean": layer["mean"], "var": layer["var"]}}
    old = save(tmp_path / "old", {"params": params, "batch_stats": stats})
    same(leaves(old), there_and_back("linen/to-nnx", old, tmp_path))


@pytest.mark.parametrize("name", CELLS)
def test_cells_lead_back_bit_for_bit_but_for_a_bias_that_nnx_lacks(name, tmp_path):
    cell = initialised(TWINS[CELLS[name]])["params"]
    old = save(tmp_path / "old", {"params": {"a": {"cell": cell}, "b": cell, "head": np.ones(2, np.float32)}})
    before = {path: value for path, value in leaves(old).items() if not path.endswith("/hn/bias")}
    same(before, there_and_back(name, old, tmp_path))


@pytest.mark.parametrize(("rules", "form"), T5X.items())
@pytest.mark.parametrize("tree", [test_t5x.in_orbax, test_t5x.in_its_own_format])
def test_params_of_t5x_lead_back_to_their_target(rules, form, tree, tmp_path):
    saved = form(test_t5x.target())
    state = {"step": np.int32(1000), "param_states": nested(test_t5x.adafactor(saved))}
    old = save(tmp_path / "old", tree(nested(saved), state))
    expected = {f"target/{name}": value for name, value in saved.items()}
    same(expected, there_and_back(rules, old, tmp_path, test_t5x.TEMPLATE))


def test_layers_that_t5x_scanned_may_be_named_layers(tmp_path):
    arrays = {"decoder/layers/mlp/wi/kernel": (4, 3, 5), "decoder/decoder_norm/scale": (4,)}
    old = save(tmp_path / "old", {"target": nested({name: test_t5x.normal(*size) for name, size in arrays.items()})})
    found = leaves(apply("t5x/scanned-to-nnx", old, tmp_path / "new"))
    assert {(4, 5)} == {found[f"decoder/layers/{i}/mlp/wi/kernel"].shape for i in range(3)}


@pytest.mark.parametrize("rules", HUGGING_FACE)
def test_a_file_of_hugging_face_leads_back_bit_for_bit(rules, tmp_path):
    weights, template = HUGGING_FACE[rules]
    old = test_hf.in_safetensors(tmp_path / "old", weights())
    new = apply(rules, old, tmp_path / "new", "--template", template)
    back = apply(rules, new, tmp_path / "back.safetensors", "--reverse")
    same(leaves(old), leaves(back))


def test_other_names_of_blocks_are_an_argument(tmp_path):
    stages = {f"Stage_{i}": {"w": np.full(2, i, np.float32)} for i in range(3)}
    old = save(tmp_path / "old", {"params": {**stages, "Dense_0": np.ones(2, np.float32)}})
    new = apply("linen/list-to-scan", old, tmp_path / "new", "--arg", "blocks=Stage")
    assert {"params/ScanStage_0/w", "params/Dense_0"} == set(leaves(new))
    back = apply("linen/list-to-scan", new, tmp_path / "back", "--reverse", "--arg", "blocks=Stage")
    same(leaves(old), leaves(back))


def test_a_scan_of_any_name_is_refused_in_reverse(tmp_path):
    old = save(tmp_path / "old", {"params": {"Block_0": np.ones(2, np.float32)}})
    result = run("apply", "linen/scan-to-list", old, tmp_path / "new", "--reverse")
    assert 1 == result.exit_code
    assert "error[M215]" in result.output
    assert "marked `reverse: false`" in result.output


def test_every_older_file_is_reversed_by_a_test():
    families = {file.relative_to(RULES).with_suffix("").as_posix() for file in RULES.rglob("*.yaml")}
    reversed_here = {case.rules for case in CASES} | PUBLISHED.keys() | CELLS.keys() | T5X.keys() | HUGGING_FACE.keys()
    older = {name for name in bundled_names() if name not in families and name != "portable"}
    assert older | HUGGING_FACE.keys() == reversed_here | ELSEWHERE | FORWARD_ONLY
