"""Families of the bundled rule files are recognized; covers `family_drafts`."""

import pytest

import migrate
from migrate.formats.reader import AbstractCheckpoint
from migrate.planning.suggest.families import fitting_families
from migrate.planning.suggest.layout import lay_out
from migrate.planning.suggest.pipeline import suggest
from migrate.rules.editor_line import EDITOR_LINE
from tests.families import golden, trained
from tests.planning.suggest.test_transformers import LLAMA, OURS, D, V
from tests.planning.suggest.trees import Path, Template, suggested, tree

KEPT = golden.read()


def opened(kept, folder):
    return migrate.open_checkpoint(trained.save_state(kept.row, folder / "old") if kept.row.trained else kept.source)


SAME = {"hf/mistral": "hf/llama", "maxtext/llama3-1": "maxtext/llama"}
SAME["maxtext/llama3-1-unscanned"] = "maxtext/llama-unscanned"
SAME["maxtext-tunix/llama3-1"] = "maxtext-tunix/llama"
"""Families that have the tree of another one, which comes first."""


@pytest.mark.sample(3)
@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.row.name)
def test_the_bundled_file_of_a_family_is_suggested_first_with_arguments_read_off_the_shapes(kept, tmp_path):
    with opened(kept, tmp_path) as checkpoint:
        suggestion = migrate.suggest(checkpoint, str(kept.tree))
    assert suggestion.plan.applicable
    family = suggestion.composition.family.family
    assert SAME.get(kept.row.rules, kept.row.rules) == family.name
    first = f"# This is {family.model} in {family.library}'s names: the bundled rule file"
    assert suggestion.text.startswith(f"{EDITOR_LINE}\n{first}")
    needed = {name: value for name, value in kept.row.args.items() if family.default(name) != value}
    assert all(f"{name}: {value}" in suggestion.text for name, value in needed.items())


def kept_row(rules):
    return next(one for one in KEPT if one.row.rules == rules)


def with_config(rules, config):
    kept = kept_row(rules)
    with migrate.open_checkpoint(kept.source) as checkpoint:
        template = migrate.abstract_template(str(kept.tree))
        return suggest(checkpoint.abstract, template, families=True, config=config)


def test_a_family_of_the_same_tree_and_rules_is_named():
    suggestion = with_config("hf/mistral", None)
    assert "# `hf/mistral` (Mistral) has the same names and shapes, and the same rules." in suggestion.text
    assert {} == suggestion.doubts


def test_a_family_of_the_same_tree_and_another_meaning_is_named_and_leaves_are_in_doubt():
    suggestion = with_config("maxtext/llama3-1", None)
    assert "`maxtext/llama3-1` (Llama 3.1 to 3.3) has the same names and shapes, but another meaning" in suggestion.text
    assert {"q_proj", "k_proj"} == {path[-2] for path in suggestion.doubts}


@pytest.mark.parametrize(
    ("rules", "config", "name"),
    [
        ("hf/mistral", {"model_type": "mistral"}, "hf/mistral"),
        ("hf/mistral", {"model_type": "llama"}, "hf/llama"),
        ("maxtext/llama3-1", {"rope_scaling": {"rope_type": "llama3"}}, "maxtext/llama3-1"),
        ("maxtext/llama3-1", {"model_type": "llama"}, "maxtext/llama"),
    ],
)
def test_the_config_decides_between_families_of_one_tree(rules, config, name):
    suggestion = with_config(rules, config)
    assert name == suggestion.composition.family.family.name
    assert {} == suggestion.doubts


def test_the_config_is_that_beside_the_file(tmp_path):
    kept = kept_row("hf/mistral")
    (tmp_path / "model.safetensors").write_bytes(kept.source.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "mistral"}')
    for source in (tmp_path, tmp_path / "model.safetensors"):
        with migrate.open_checkpoint(source) as checkpoint:
            assert "\ninclude: hf/mistral\n" in migrate.suggest(checkpoint, str(kept.tree)).text


def family_of(old, new):
    checkpoint = AbstractCheckpoint(Path("old"), "safetensors", {"": tree(old)})
    return suggest(checkpoint, Template(tree(new)), families=True).composition.family


HEADS_APART = OURS | {path: (D, 64) for path in OURS if "/query/" in path}
SUPERSEDED = {
    path.replace("attention/", "attn/"): (shape[0], 32 if "key" in path or "value" in path else 64)
    if path.rpartition("/")[0].endswith(("query", "key", "value"))
    else ((64, D) if "/out/" in path else shape)
    for path, shape in OURS.items()
}


def test_a_model_with_an_array_that_no_file_accounts_for_has_rules_of_its_own():
    assert "hf/llama-to-nnx" == family_of(LLAMA, SUPERSEDED).family.name
    assert family_of(LLAMA | {"extra/weight": (D,)}, SUPERSEDED | {"extra/scale": (D,)}) is None
    assert family_of(LLAMA, SUPERSEDED | {"head/kernel": (D, V)}) is None


def test_buffers_do_not_hide_a_family():
    buffers = {f"model/layers/{i}/self_attn/rotary_emb/inv_freq": (8,) for i in range(2)}
    assert family_of(LLAMA | buffers, SUPERSEDED) is not None


def test_shapes_decide_between_families_of_one_list_of_names():
    kept = kept_row("hf/gemma-qkv")
    with migrate.open_checkpoint(kept.source) as checkpoint:
        target = migrate.abstract_template(str(kept.tree))
        fits = fitting_families(lay_out(checkpoint.tree), lay_out(target.tree, target.variables))
    assert "hf/gemma-qkv" in [fit.family.name for fit in fits]


def test_without_families_the_rules_are_written_out():
    kept = kept_row("hf/qwen3")
    with migrate.open_checkpoint(kept.source) as checkpoint:
        text = migrate.suggest(checkpoint, str(kept.tree), families=False).text
    assert "include" not in text
    assert "# known names" in text


def test_models_of_linen_and_nnx_are_of_no_family():
    assert suggested({"params/a/kernel": (2, 3)}, {"a/kernel": (2, 3)}).composition.family is None
