from migrate.codes import ModelMismatch
from migrate.errors import ExitCode
from migrate.planning.diff import diff
from migrate.report import text
from migrate.report.of_diff import SideLabel, diff_report
from tests.report import vit

SIDES = SideLabel("vit_b16", "orbax ocdbt"), SideLabel("vit:make", "template")


def report(one, other, **options):
    return diff_report(diff(one, other), *SIDES, **options)


def test_a_diff_as_text(golden):
    found = report(vit.source_tree(), vit.plan().target, advice="write a rule file")
    assert ExitCode.NO == found.exit_code
    golden("report/diff.txt", text.draw(found))


def test_equal_trees_have_no_differences(golden):
    found = report(vit.source_tree(), vit.source_tree(), advice="never shown")
    assert ExitCode.OK == found.exit_code
    golden("report/diff_equal.txt", text.draw(found))


def test_the_legend_explains_the_symbols_in_use_and_no_others():
    tree = vit.source_tree()
    assert "(+ only in the target)" == report(type(tree)({}), tree).legend


def test_lists_for_programs_hold_every_key_path():
    data = report(vit.source_tree(), vit.plan().target).data
    assert ["params/head/bias", "params/head/kernel"] == data["shape_mismatch"]
    assert 98 == len(data["unexpected"])
    assert 10 == len(data["missing"])
    assert [] == data["dtype_mismatch"]


def test_an_error_beyond_the_lists_makes_the_answer_no():
    tree = vit.source_tree()
    assert ExitCode.NO == report(tree, tree, diagnostics=[ModelMismatch.at("another model")]).exit_code
