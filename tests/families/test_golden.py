"""The kept rows: checkpoints of the original libraries go to the other side and back, without these libraries."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

import migrate
from migrate.planning.requirements import ABOUT_MODEL
from migrate.rules.files import bundled_names
from tests.bundled.migrating import apply, leaves, save
from tests.families import golden, page, sides, trained, ways
from tests.families.check import LIMIT, ROUNDED, deviation, differing, digests, relative
from tests.families.rows import ROWS
from tests.matrix import sampled

KEPT = golden.read()
PARTS = {
    *("maxtext/gemma2-half", "maxtext/gemma2-half-unscanned", "maxtext/gemma3-group"),
    *("maxtext-tunix/gemma2-half", "maxtext-tunix/gemma3-group", "maxtext-tunix/gemma3-rest"),
}
"""Files that others include."""
OLDER = {"hf/gpt2-to-nnx"}
"""Older names of other files."""
OF_ANY = {"hf/lora-merge"}
"""Files for models of any family, proved by `tests/end_to_end/test_sources.py`."""


def named(rows, every=1):
    """Returns the decorator that runs a test for these rows; each `every`-th is in the sample of `make test`."""
    return pytest.mark.parametrize("kept", sampled(rows, every, lambda kept: kept.row.name))


@named([one for one in KEPT if not one.row.trained], every=4)
def test_a_kept_checkpoint_becomes_what_the_digests_say_and_leads_back(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree, kept.config)
    assert kept.digests == digests(leaves(new))
    file = ways.back(kept.row, new, tmp_path, kept.config)
    assert deviation(kept.source, file) <= ROUNDED if kept.row.rounds else () == differing(kept.source, file)


def findings(kept, config, tmp_path):
    """Returns what the plan of a kept checkpoint finds about a model of this configuration."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    rules = migrate.load_rules(kept.row.rules, kept.row.args, file)
    with migrate.open_checkpoint(kept.source) as source:
        plan = migrate.plan(source, rules, str(kept.tree))
    return [(one.code, one.severity) for one in plan.diagnostics if one.code in ABOUT_MODEL]


@named([one for one in KEPT if not one.row.trained], every=4)
def test_a_model_that_is_measured_is_one_that_its_rule_file_is_for(kept, tmp_path):
    assert [] == findings(kept, json.loads(kept.config.read_text()), tmp_path)


WARNING, REFUSAL = ("M225", "warning"), ("M225", "error")
OLD_LLAMA31 = {"rope_parameters": None, "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("hf-llama-bfloat16", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, [WARNING]),
        ("hf-llama-bfloat16", {"rope_parameters": None}, [WARNING]),  # Llama 2, whose config states no theta
        ("hf-llama-bfloat16", OLD_LLAMA31, [WARNING, WARNING]),
        ("hf-qwen2-bfloat16", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, []),
        ("hf-qwen2-bfloat16", {"use_sliding_window": True}, [WARNING]),
        ("hf-qwen3-bfloat16", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, [WARNING]),
        ("hf-mistral-bfloat16", {"sliding_window": 4096}, [WARNING]),
        ("hf-qwen3-moe-bfloat16", {"norm_topk_prob": False}, [WARNING]),
        ("hf-gemma2-tied-bfloat16", {"query_pre_attn_scalar": 144}, [WARNING]),
        ("hf-gemma3-tied-bfloat16", {"query_pre_attn_scalar": 8}, []),
        ("hf-gemma3-tied-bfloat16", {"query_pre_attn_scalar": 168}, [WARNING]),
        ("maxtext-llama-bfloat16", OLD_LLAMA31, [REFUSAL]),
        ("maxtext-llama3-1-bfloat16", {"rope_parameters": {"rope_type": "default"}}, [REFUSAL]),
        ("maxtext-gemma2-tied-float32", {"query_pre_attn_scalar": 144}, [WARNING]),
    ],
)
def test_limits_of_a_family_are_named_by_the_configuration(name, change, expected, tmp_path):
    (kept,) = (one for one in KEPT if one.row.name == name)
    assert expected == findings(kept, json.loads(kept.config.read_text()) | change, tmp_path)


@dataclass(frozen=True)
class Trained:
    """A training state and what becomes of it, in a folder."""

    kept: golden.Golden
    folder: Path
    source: Path
    new: Path

    def moved(self, name, params):
        """Returns the leaves that params become by the row's rule file."""
        given = [word for key, value in self.kept.row.args.items() for word in ("--arg", f"{key}={value}")]
        new = apply(self.kept.row.rules, save(self.folder / name, params), self.folder / f"new_{name}", *given)
        return leaves(new)

    @cached_property
    def constants(self):
        """What params become that are all one, or all zero."""
        values = {"ones": 1, "zeros": 0}
        return {name: self.moved(name, trained.constant(self.kept.row, value)) for name, value in values.items()}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """Returns a function that migrates the training state of a row, once for all tests."""

    @cache
    def migrated_state(name):
        (kept,) = (one for one in KEPT if one.row.name == name)
        folder = tmp_path_factory.mktemp(name)
        source = trained.save_state(kept.row, folder / "old")
        return Trained(kept, folder, source, ways.there(kept.row, source, folder, kept.tree))

    return migrated_state


@named([one for one in KEPT if one.row.trained])
def test_a_training_state_becomes_what_the_digests_say_and_leads_back(kept, migrated):
    made = migrated(kept.row.name)
    assert kept.digests == digests(leaves(made.new))
    state = ways.back(kept.row, made.new, made.folder)
    if kept.row.rounds:
        assert trained.deviation(made.source, state) <= ROUNDED
    else:
        assert () == trained.differing(made.source, state)


@named([one for one in KEPT if one.row.trained], every=2)
@pytest.mark.parametrize("moment", trained.MOMENTS)
def test_moments_become_what_the_params_of_their_values_tell(moment, kept, migrated):
    made = migrated(kept.row.name)
    moved = made.moved(moment, trained.as_params(kept.row, moment))
    expected, actual = trained.followed(moment, moved, **made.constants), trained.moments(made.new, moment)
    assert expected.keys() == actual.keys()
    assert max(relative(expected[name], actual[name]) for name in expected) <= ROUNDED


@named([one for one in KEPT if one.row.other != "tunix"], every=4)
@pytest.mark.sample(2)
def test_the_other_side_computes_what_the_original_library_computed(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree, kept.config)
    arrays = golden.outputs(kept.row)
    inputs = {name.removeprefix("in_"): array for name, array in arrays.items() if name != "out"}
    assert relative(arrays["out"], sides.logits(kept.row, new, inputs)) <= LIMIT


def test_every_rule_file_of_a_family_has_rows_of_which_one_is_kept():
    measured = {row.rules for row in ROWS}
    files = {path.relative_to(golden.RULES).with_suffix("").as_posix() for path in golden.RULES.rglob("*.yaml")}
    assert files == measured | PARTS | OLDER | OF_ANY
    assert measured == {one.row.rules for one in KEPT}
    assert files <= set(bundled_names())


def test_rule_files_of_families_are_short():
    assert {} == {row.rules: golden.rule_lines(row.rules) for row in ROWS if golden.rule_lines(row.rules) > 40}


def test_the_page_has_every_row_and_no_other():
    table = page.PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2].partition(page.END)[0]
    models = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| `")]
    assert [[f"| `{row.rules}`", page.model_of(row)] for row in ROWS] == models


def test_the_kept_rows_are_small():
    assert sum(file.stat().st_size for file in golden.FOLDER.rglob("*") if file.is_file()) <= 5 * 2**20
