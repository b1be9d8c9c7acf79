"""Quantized weights, adapters and functions of several leaves, from a checkpoint to a verified one."""

import sys

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner

import migrate
from migrate.cli.main import migrate as command
from migrate.formats.detect import open_reader
from tests.bundled.migrating import save

RANDOM = np.random.default_rng(5)
FP8, BF16 = ml_dtypes.float8_e4m3fn, ml_dtypes.bfloat16

RULES = """migrate: 1
target: {template: "unlike_target:make"}
rules:
  - from: {value: "layers/{i}/{n}/weight", scale?: "layers/{i}/{n}/weight_scale_inv"}
    to: "blocks/{n}"
    ops: [{dequantize: bfloat16}, {stack: {axis: 0, over: i}}, {cast: template}]
  - {from: {blocks: experts/up_blocks, scales: experts/up_scales}, to: experts/up, ops: [{mxfp4: template}]}
  - from: {base: "head/{n}/weight", a?: "head/{n}/lora_A/weight", b?: "head/{n}/lora_B/weight"}
    to: "head/{n}"
    ops: [{lora: {scale: 0.5, to: template}}, {transpose: [1, 0]}]
  - {from: {ih: rnn/bias_ih, hh: rnn/bias_hh}, to: rnn/bias, ops: [{sum: [ih, hh]}]}
  - {from: {g: norm/g, v: norm/v}, to: norm/w, ops: [{call: {function: "unlike_code:norm", of: [v, g]}}]}
"""
TARGET = """import ml_dtypes
import numpy as np
def make():
    bf16 = ml_dtypes.bfloat16
    return {
        "blocks": {"q": np.zeros((2, 161, 96), "float32"), "k": np.zeros((2, 40, 96), "float32")},
        "experts": {"up": np.zeros((2, 64, 24), bf16)},
        "head": {"a": np.zeros((7, 5), bf16), "b": np.zeros((7, 5), bf16)},
        "rnn": {"bias": np.zeros(9, "float32")},
        "norm": {"w": np.zeros((4, 6), "float32")},
    }
"""
CODE = """import numpy as np
def norm(v, g): return (v * (g / np.linalg.norm(v, axis=1, keepdims=True))).astype("float32")
"""


def checkpoint():
    """The leaves, and what they become by the formulas alone."""
    layers, expected = {}, {}
    for name, rows in (("q", 161), ("k", 40)):
        made = []
        for i in range(2):
            weight, scale = RANDOM.standard_normal((rows, 96)).astype(FP8), RANDOM.random((-(-rows // 128), 1))
            scale = scale.astype(np.float32)
            full = np.float32(weight) * np.repeat(scale, 128 if rows > 128 else rows, 0)[:rows]
            layers.setdefault(str(i), {})[name] = {"weight": weight, "weight_scale_inv": scale}
            made.append(full.astype(BF16).astype(np.float32))
        expected[f"blocks/{name}"] = np.stack(made)
    del layers["1"]["k"]["weight_scale_inv"]
    layers["1"]["k"]["weight"] = RANDOM.standard_normal((40, 96)).astype(BF16)
    expected["blocks/k"][1] = layers["1"]["k"]["weight"].astype(np.float32)
    blocks = RANDOM.integers(0, 256, (2, 24, 2, 16)).astype(np.uint8)
    scales = RANDOM.integers(120, 130, (2, 24, 2)).astype(np.uint8)
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
    table[8] = -0.0
    numbers = np.stack([table[blocks % 16], table[blocks // 16]], -1).reshape(2, 24, 2, 32)
    numbers *= (2.0 ** (scales.astype(np.float64) - 127))[..., None].astype(np.float32)
    expected["experts/up"] = numbers.reshape(2, 24, 64).transpose(0, 2, 1).astype(BF16)
    base = {n: RANDOM.standard_normal((5, 7)).astype(BF16) for n in "ab"}
    a, b = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 7), (5, 3)))
    expected["head/a"] = (base["a"].astype(np.float64) + 0.5 * (b.astype(np.float64) @ a)).T
    expected["head/b"] = base["b"].T
    bias, g, v = (RANDOM.standard_normal(s).astype(np.float32) for s in ((2, 9), (4, 1), (4, 6)))
    expected["rnn/bias"] = bias[0] + bias[1]
    expected["norm/w"] = v * (g / np.linalg.norm(v, axis=1, keepdims=True))
    head = {"a": {"weight": base["a"], "lora_A": {"weight": a}, "lora_B": {"weight": b}}, "b": {"weight": base["b"]}}
    rnn, norm = {"bias_ih": bias[0], "bias_hh": bias[1]}, {"g": g, "v": v}
    experts = {"up_blocks": blocks, "up_scales": scales}
    return {"layers": layers, "experts": experts, "head": head, "rnn": rnn, "norm": norm}, expected


TREE, EXPECTED = checkpoint()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current directory with the rules, their code and the checkpoint `old`."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("unlike_target", TARGET), ("unlike_code", CODE)):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "rules.yaml").write_text(RULES)
    save(tmp_path / "old", TREE)
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(command, list(arguments))
    assert code == result.exit_code, result.output
    return result


def check(found):
    assert set(EXPECTED) == set(found)
    for name, value in EXPECTED.items():
        actual = np.asarray(found[name])
        if name == "head/a":
            np.testing.assert_allclose(actual.astype(np.float64), value, rtol=2**-8)
        else:
            assert (value.shape, value.tobytes()) == (actual.shape, np.ascontiguousarray(actual).tobytes()), name


def values(place):
    with open_reader(place) as reader:
        return {"/".join(path): reader.read(path) for path in reader.abstract().tree.leaves}


@pytest.mark.parametrize("more", [[], ["--max-ram", "64MiB"], ["--processes", "2"]], ids=str)
def test_unlike_leaves_are_combined_and_verified(project, more):
    run("apply", "rules.yaml", "old", "new", "--verify", "full", *more)
    check(values(project / "new"))
    run("verify", "new", "--source", "old", "--rules", "rules.yaml")


def test_a_reviewed_plan_does_the_same(project):
    run("plan", "rules.yaml", "old", "-o", "plan.json")
    run("apply", "plan.json", "old", "new")
    check(values(project / "new"))


def test_a_dry_run_states_what_is_rounded(project):
    shown = run("apply", "rules.yaml", "old", "new", "--dry-run").output
    rows = {row.split()[0]: row for row in shown.replace("\n     ", " ").split("  *  ")}
    assert {"dequantize": True, "lora": True, "sum": True, "mxfp4": False} == {
        name: "lossy" in rows[name] for name in ("dequantize", "lora", "sum", "mxfp4")
    }, shown


def test_a_model_is_loaded_without_a_file(project):
    model = migrate.load("old", "rules.yaml")
    check({f"{top}/{name}": value for top, leaves in model.items() for name, value in leaves.items()})


def test_no_inverse_restores_the_parts(project):
    run("invert", "rules.yaml", "old", "-o", "back.yaml", code=1)
    text = (project / "back.yaml").read_text()
    assert "a weight does not tell the scales and the roundings with which it was quantized" in text
    assert "a merged weight does not tell which part of it was the adapter" in text


def test_a_function_that_takes_other_names_is_refused_before_anything_is_read(project):
    (project / "unlike_code.py").write_text("def norm(array): ...\n")
    shown = run("apply", "rules.yaml", "old", "new", code=2).output
    assert "cannot be called with the arrays v, g" in shown
    assert "define it as `def norm(v, g):`" in shown
