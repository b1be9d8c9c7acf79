"""Ops of unlike arrays against values that the owners of the formats computed, and formulas that share no code."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from migrate.ops.dequantize import Dequantize
from migrate.ops.lora import Lora
from migrate.ops.mxfp4 import Mxfp4
from migrate.ops.sum import Product, Sum
from tests.oracle.values import FIXTURES

HERE = FIXTURES / "unlike"
PUBLISHED = dict(np.load(HERE / "published.npz"))
FP8 = ml_dtypes.float8_e4m3fn
RANDOM = np.random.default_rng(7)


def made(op, *arrays):
    (result,) = op.apply(*arrays)
    return result


def same_bits(expected, actual):
    assert (expected.shape, expected.dtype) == (actual.shape, actual.dtype)
    assert expected.tobytes() == actual.tobytes()


def test_blocks_of_fp8_are_multiplied_as_transformers_does_it():
    weight = PUBLISHED["fp8_weight"].view(FP8)
    same_bits(PUBLISHED["fp8_rows"], made(Dequantize(), weight, PUBLISHED["fp8_scale"])[100:156:5, 100:300:7].copy())


def test_the_last_block_of_fp8_may_be_cut():
    weight, scale = RANDOM.standard_normal((300, 200)).astype(FP8), RANDOM.random((3, 2)).astype(np.float32)
    expected = np.empty((300, 200), np.float32)
    for row in range(300):
        for column in range(200):
            expected[row, column] = np.float32(weight[row, column]) * scale[row // 128, column // 128]
    same_bits(expected, made(Dequantize(block=128), weight, scale))
    same_bits(expected.astype(ml_dtypes.bfloat16), made(Dequantize("bfloat16", 128), weight, scale))


def test_a_cut_block_needs_no_number_where_the_shapes_allow_one_power_of_two():
    weight, scale = RANDOM.standard_normal((576, 300)).astype(FP8), RANDOM.random((5, 1)).astype(np.float32)
    expected = weight.astype(np.float32) * np.repeat(scale, 128, axis=0)[:576]
    same_bits(expected, made(Dequantize(), weight, scale))


def test_int8_has_a_scale_for_each_row():
    value, scale = RANDOM.integers(-128, 128, (6, 9), np.int8), RANDOM.random((6, 1)).astype(np.float32)
    same_bits(np.stack([np.float32(row) * by for row, by in zip(value, scale[:, 0], strict=True)]),
              made(Dequantize(), value, scale))  # fmt: skip


@pytest.mark.parametrize("name", ["int8", "minmax", "fp8"])
def test_arrays_of_qwix_are_what_qwix_makes_of_them(name):
    value = PUBLISHED[f"qwix_{name}_value"]
    more = [
        PUBLISHED[f"qwix_{name}_{field}"] for field in ("scale", "zero_point") if f"qwix_{name}_{field}" in PUBLISHED
    ]
    result = made(Dequantize(), value.view(FP8) if name == "fp8" else value, *more)
    same_bits(PUBLISHED[f"qwix_{name}_result"], result)


def test_mxfp4_is_what_transformers_makes_of_it():
    blocks, scales = PUBLISHED["mxfp4_blocks"], PUBLISHED["mxfp4_scales"]
    same_bits(PUBLISHED["mxfp4_bits"].view(ml_dtypes.bfloat16), made(Mxfp4(), blocks, scales))
    expected = np.empty((3, 64, 6), np.float32)
    for expert, group, byte, out in np.ndindex(3, 2, 16, 6):
        packed, power = int(blocks[expert, out, group, byte]), 2.0 ** (int(scales[expert, out, group]) - 127)
        for position, bits in enumerate((packed % 16, packed // 16)):
            size = (0, 0.5, 1, 1.5, 2, 3, 4, 6)[bits % 8] * power
            expected[expert, 32 * group + 2 * byte + position, out] = -size if bits > 7 else size
    same_bits(expected, made(Mxfp4("float32"), blocks, scales))


@pytest.mark.parametrize("name", ["q_proj", "c_attn"])
def test_an_adapter_is_merged_as_peft_does_it(name):
    folder = HERE / "adapter"
    config = json.loads((folder / name / "adapter_config.json").read_text())
    base, merged = (load_file(folder / f"{one}.safetensors")[f"{name}.weight"] for one in ("base", "merged"))
    parts = load_file(folder / name / "adapter_model.safetensors")
    a, b = (parts[f"base_model.model.{name}.lora_{which}.weight"] for which in "AB")
    if config["fan_in_fan_out"]:
        a, b = b.T, a.T
    result = made(Lora(config["lora_alpha"] / config["r"]), base, a, b)
    assert not np.array_equal(base, merged)
    assert np.abs(result - merged).max() <= 1e-6 * np.abs(merged).max()


def test_an_adapter_of_heads_is_merged_axis_by_axis():
    base, a, b = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((5, 2, 3), (4, 2, 3), (5, 4)))
    expected = base.astype(np.float64) + 0.5 * np.einsum("dr,rnh->dnh", b.astype(np.float64), a.astype(np.float64))
    np.testing.assert_allclose(made(Lora(0.5), base, a, b), expected, rtol=1e-6, atol=1e-6)
    rounded = made(Lora(0.5, "bfloat16"), base, a, b).astype(np.float64)
    np.testing.assert_allclose(rounded, expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(("op", "numpy"), [(Sum(), np.add), (Product(), np.multiply)])
def test_sums_and_products_are_rounded_once(op, numpy):
    arrays = [RANDOM.standard_normal((7, 5)).astype(ml_dtypes.bfloat16) for _ in range(3)]
    wide = [array.astype(np.float32) for array in arrays]
    same_bits(numpy(numpy(wide[0], wide[1]), wide[2]).astype(ml_dtypes.bfloat16), made(op, *arrays))


def test_the_published_values_stay_small():
    assert sum(path.stat().st_size for path in Path(HERE).rglob("*") if path.is_file()) < 200_000
