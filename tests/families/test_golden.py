"""The kept rows: checkpoints of the original libraries go to the other side and back, without these libraries."""

import pytest

from migrate.rules.files import bundled_names
from tests.bundled.migrating import apply, leaves, same, save
from tests.families import golden, page, sides, trained, ways
from tests.families.check import LIMIT, ROUNDED, deviation, differing, digests, relative
from tests.families.rows import ROWS
from tests.matrix import sampled

KEPT = golden.read()
PARTS = {"maxtext/gemma2-half", "maxtext/gemma2-half-unscanned"}
"""Files that others include."""
OLDER = {"hf/gpt2-to-nnx"}
"""Older names of other files."""


def named(rows, every=1):
    """Returns the decorator that runs a test for these rows; each `every`-th is in the sample of `make test`."""
    return pytest.mark.parametrize("kept", sampled(rows, every, lambda kept: kept.row.name))


@named([one for one in KEPT if not one.row.trained], every=4)
def test_a_kept_checkpoint_becomes_what_the_digests_say_and_leads_back(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree)
    assert kept.digests == digests(leaves(new))
    file = ways.back(kept.row, new, tmp_path)
    assert deviation(kept.source, file) <= ROUNDED if kept.row.rounds else () == differing(kept.source, file)


@named([one for one in KEPT if one.row.trained])
def test_a_training_state_becomes_what_the_digests_say_and_leads_back_bit_for_bit(kept, tmp_path):
    source = trained.save_state(kept.row, tmp_path / "old")
    new = ways.there(kept.row, source, tmp_path, kept.tree)
    assert kept.digests == digests(leaves(new))
    assert () == trained.differing(source, ways.back(kept.row, new, tmp_path))


@named([one for one in KEPT if one.row.trained])
@pytest.mark.parametrize("moment", trained.MOMENTS)
def test_moments_become_what_params_of_their_values_become(moment, kept, tmp_path):
    new = ways.there(kept.row, trained.save_state(kept.row, tmp_path / "old"), tmp_path, kept.tree)
    as_params = save(tmp_path / "params", trained.as_params(kept.row, moment))
    same(leaves(apply(kept.row.rules, as_params, tmp_path / "moved")), trained.moments(new, moment))


@named([one for one in KEPT if one.row.other != "tunix"], every=4)
def test_the_other_side_computes_what_the_original_library_computed(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree)
    arrays = golden.outputs(kept.row)
    inputs = {name.removeprefix("in_"): array for name, array in arrays.items() if name != "out"}
    assert relative(arrays["out"], sides.logits(kept.row, new, inputs)) <= LIMIT


def test_every_rule_file_of_a_family_has_rows_of_which_one_is_kept():
    measured = {row.rules for row in ROWS}
    files = {path.relative_to(golden.RULES).with_suffix("").as_posix() for path in golden.RULES.rglob("*.yaml")}
    assert files == measured | PARTS | OLDER
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
