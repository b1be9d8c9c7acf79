from migrate.planning.versions.squash import squash
from migrate.report.of_squash import squash_report
from tests.planning.trees import checkpoint
from tests.planning.versions.chains import files


def test_it_names_the_files_that_are_replaced():
    report = squash_report(squash(checkpoint({"a": "2"}), files('- "a -> b"', '- "b -> c"')), "new.yaml")

    assert "new.yaml: 1 rule for 2 files: 2.yaml, 3.yaml." == report.summary[0]
    assert ["2.yaml", "3.yaml"] == report.data["files"]
