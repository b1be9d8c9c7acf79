"""The kept rows: checkpoints of the original libraries go to the other side and back, without these libraries."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from migrate.rules.files import bundled_names
from tests.bundled.migrating import apply, leaves, same, save
from tests.families import golden, nnx_models, page, trained, ways
from tests.families.check import LIMIT, differing, digests, relative
from tests.families.rows import ROWS

KEPT = golden.read()


def named(rows):
    return pytest.mark.parametrize("kept", rows, ids=[one.row.name for one in rows])


@named([one for one in KEPT if not one.row.trained])
def test_a_kept_checkpoint_becomes_what_the_digests_say_and_leads_back_bit_for_bit(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree)
    assert kept.digests == digests(leaves(new))
    assert () == differing(kept.source, ways.back(kept.row, kept.source, new, tmp_path, kept.tree))


@named([one for one in KEPT if one.row.trained])
def test_a_training_state_becomes_what_the_digests_say_and_leads_back_bit_for_bit(kept, tmp_path):
    source = trained.save_state(kept.row, tmp_path / "old")
    new = ways.there(kept.row, source, tmp_path, kept.tree)
    assert kept.digests == digests(leaves(new))
    assert () == trained.differing(source, ways.back(kept.row, source, new, tmp_path, kept.tree))


@named([one for one in KEPT if one.row.trained])
@pytest.mark.parametrize("moment", trained.MOMENTS)
def test_moments_become_what_params_of_their_values_become(moment, kept, tmp_path):
    new = ways.there(kept.row, trained.save_state(kept.row, tmp_path / "old"), tmp_path, kept.tree)
    as_params = save(tmp_path / "params", trained.as_params(kept.row, moment))
    same(leaves(apply(kept.row.rules, as_params, tmp_path / "moved")), trained.moments(new, moment))


@named([one for one in KEPT if one.row.other == "nnx"])
def test_a_model_of_ours_computes_what_the_original_library_computed(kept, tmp_path):
    new = ways.there(kept.row, kept.source, tmp_path, kept.tree)
    model = nnx.eval_shape(lambda: nnx_models.make(kept.row.name))
    graph, state = nnx.split(model)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(new, state)
    arrays = golden.outputs(kept.row)
    inputs = {name.removeprefix("in_"): array for name, array in arrays.items() if name != "out"}
    with jax.default_matmul_precision("highest"):
        actual = np.asarray(nnx_models.logits(nnx.merge(graph, restored), **inputs))
    assert relative(arrays["out"], actual) <= LIMIT


def test_every_rule_file_of_a_family_has_rows_of_which_one_is_kept():
    measured = {row.rules for row in ROWS}
    files = {path.relative_to(golden.RULES).with_suffix("").as_posix() for path in golden.RULES.rglob("*.yaml")}
    assert files == measured
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
