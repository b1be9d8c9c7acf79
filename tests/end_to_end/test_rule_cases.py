"""Rules for old checkpoints: a source for targets of two dtypes, adapters that a function merges, quantized weights."""

import sys

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner

from migrate.cli.main import migrate
from migrate.formats.detect import open_reader
from tests.bundled.migrating import save


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes files into the current directory."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            monkeypatch.delitem(sys.modules, name.removesuffix("_dot_py"), raising=False)
            (tmp_path / name.replace("_dot_", ".")).write_text(text)
        return tmp_path

    return write


def run(*arguments):
    return CliRunner().invoke(migrate, list(arguments))


def values(place):
    with open_reader(place) as reader:
        return {"/".join(path): np.asarray(reader.read(path)) for path in reader.abstract().tree.leaves}


@pytest.mark.parametrize("ram", [[], ["--max-ram", "64MiB"]])
def test_one_source_goes_to_two_targets_of_two_dtypes_and_shapes(project, ram):
    folder = project(
        case_target_dot_py="import numpy as np\ndef make():\n"
        "    return {'step': np.zeros((), 'uint32'), 'count': np.zeros((1, 1), 'int64')}\n",
        rules_dot_yaml='migrate: 1\ntarget: {template: "case_target:make"}\nrules:\n'
        "  - {from: iteration, to: [step, count], ops: [{cast: template}, {reshape: template}]}\n",
    )
    save(folder / "old", {"iteration": np.int32(7)})
    done = run("apply", "rules.yaml", "old", "new", "--verify", "full", *ram)
    assert 0 == done.exit_code, done.output
    found = values(folder / "new")
    assert ({"step": "uint32", "count": "int64"}, {"step": (), "count": (1, 1)}) == (
        {name: str(value.dtype) for name, value in found.items()},
        {name: value.shape for name, value in found.items()},
    )
    assert [7, 7] == [int(value.item()) for value in found.values()]
    assert 0 == run("invert", "rules.yaml", "old", "-o", "back.yaml").exit_code
    assert 0 == run("apply", "back.yaml", "new", "again").exit_code
    assert (7, "int32") == (
        int(values(folder / "again")["iteration"]),
        str(values(folder / "again")["iteration"].dtype),
    )


LORA = """migrate: 1
target: {template: "lora_target:make"}
rules:
  - from: ["q/kernel", "q/lora_a", "q/lora_b"]
    to: q/kernel
    ops: [{reshape: [-1]}, {concat: {axis: 0}}, {call: {function: "FUNCTION", shape: template}}]
"""
TARGET = "import numpy as np\ndef make(): return {'q': {'kernel': np.zeros((4, 3), 'float32')}}\n"
MERGE = """import numpy as np
def fold(flat):
    w, a, b = np.split(flat, [12, 20])
    return w.reshape(4, 3) + a.reshape(4, 2) @ b.reshape(2, 3)
def two(a, b): ...
"""


def test_adapters_are_merged_by_a_function_beside_the_rules(project):
    folder = project(lora_target_dot_py=TARGET, lora_merge_dot_py=MERGE)
    (folder / "rules.yaml").write_text(LORA.replace("FUNCTION", "lora_merge:fold"))
    old = {name: np.arange(np.prod(s), dtype=np.float32).reshape(s) for name, s in
           {"kernel": (4, 3), "lora_a": (4, 2), "lora_b": (2, 3)}.items()}  # fmt: skip
    save(folder / "old", {"q": old})
    done = run("apply", "rules.yaml", "old", "new", "--verify", "full")
    assert 0 == done.exit_code, done.output
    np.testing.assert_array_equal(old["kernel"] + old["lora_a"] @ old["lora_b"], values(folder / "new")["q/kernel"])


@pytest.mark.parametrize(
    ("function", "message", "advice"),
    [
        ("lora_mrge:fold", "the module `lora_mrge` does not exist", "did you mean `lora_merge`?"),
        ("lora_merge:flod", "has no attribute `flod`", "did you mean `fold`?"),
        ("lora_merge:two", "cannot be called with one array", "define it as `def two(array):`"),
        ("lora_merge:np", "is a module, not a callable", "`module:callable`"),
    ],
)
def test_a_dry_run_sees_what_apply_would_refuse_of_a_call(project, function, message, advice):
    folder = project(lora_target_dot_py=TARGET, lora_merge_dot_py=MERGE)
    (folder / "rules.yaml").write_text(LORA.replace("FUNCTION", function))
    shapes = {"kernel": (4, 3), "lora_a": (4, 2), "lora_b": (2, 3)}
    save(folder / "old", {"q": {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}})
    results = [run("apply", "rules.yaml", "old", "new", *more) for more in (["--dry-run"], [])]
    for result in results:
        text = " ".join(result.output.split())
        assert (message in text, advice in text) == (True, True), text
    assert not (folder / "new").exists()


def test_no_plan_calls_a_weight_without_its_scale_proved(project):
    folder = project(
        rules_dot_yaml="migrate: 1\nrules:\n  - {from: l/kernel, to: m/kernel, ops: [{cast: float32}]}\n"
        "  - drop: l/kernel_scale_inv\n"
    )
    kernel = np.ones((8, 4), ml_dtypes.float8_e4m3fn)
    save(folder / "old", {"l": {"kernel": kernel, "kernel_scale_inv": np.ones((1, 4), np.float32)}})
    shown = run("apply", "rules.yaml", "old", "new", "--dry-run")
    assert "error[M214]: `l/kernel` (float8_e4m3fn[8,4]) is used without `l/kernel_scale_inv`" in shown.output
    assert "Leaves: 1 unproved" in shown.output


HEADS = """migrate: 1
target: {template: "heads_target:make"}
args: {head_dim: 4}
rules:
  - from: "l/{i}/{p:q|k}_proj/weight"
    to: "layers/{p}"
    ops: [{rearrange: "(n h) d -> d n h"}, {scale: "1/sqrt(${head_dim})"}, {stack: {axis: 1, over: i}}]
  - {from: "l/{i}/norm/weight", to: "norms/{i}", ops: [{add: 1}, {cast: template}]}
"""
HEADS_TARGET = """import ml_dtypes, numpy as np
def make():
    layers = {'q': np.zeros((6, 2, 3, 4), ml_dtypes.bfloat16), 'k': np.zeros((6, 2, 1, 4), ml_dtypes.bfloat16)}
    return {'layers': layers, 'norms': [np.zeros(6, 'float32') for _ in range(2)]}
"""


def test_heads_from_the_template_and_numbers_from_arguments_go_there_and_back(project):
    folder = project(heads_target_dot_py=HEADS_TARGET, rules_dot_yaml=HEADS)
    random, half = np.random.default_rng(0), ml_dtypes.bfloat16
    old = [
        {
            "q_proj": {"weight": random.standard_normal((12, 6)).astype(half)},
            "k_proj": {"weight": random.standard_normal((4, 6)).astype(half)},
            "norm": {"weight": (random.standard_normal(6) / 8).astype(half)},
        }
        for _ in range(2)
    ]
    save(folder / "old", {"l": old})
    shown = " ".join(run("apply", "rules.yaml", "old", "new", "--dry-run", "-v").output.split())
    assert "lossy: the inverse does not restore 96 of 128 numbers of bfloat16 from 0.25 to 0.5" in shown
    assert "warning[M325]: `add` rounds to bfloat16, and only then the values are cast to float32" in shown
    assert "(n h) = 3 × 4" in shown

    done = run("apply", "rules.yaml", "old", "new", "--verify", "full")

    assert 0 == done.exit_code, done.output
    found = values(folder / "new")
    heads = [(layer["q_proj"]["weight"].reshape(3, 4, 6).transpose(2, 0, 1) / 2).astype(half) for layer in old]
    np.testing.assert_array_equal(np.stack(heads, 1), found["layers/q"])
    norm = (old[1]["norm"]["weight"].astype(np.float32) + 1).astype(half)
    np.testing.assert_array_equal(norm.astype(np.float32), found["norms/1"])
    assert 1 == run("invert", "rules.yaml", "old", "-o", "back.yaml").exit_code
    assert 0 == run("apply", "back.yaml", "new", "again").exit_code
    back = values(folder / "again")
    for name in ("q_proj", "k_proj"):
        assert old[1][name]["weight"].tobytes() == back[f"l/1/{name}/weight"].tobytes()
    near = np.abs(back["l/1/norm/weight"].astype(np.float32) - old[1]["norm"]["weight"].astype(np.float32))
    assert 2**-8 >= near.max()
