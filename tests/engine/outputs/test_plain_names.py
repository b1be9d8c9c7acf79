"""Arrays of plain zarr are directories: a name that cannot be one is refused before anything is written."""

import pytest

from migrate.engine.outputs.orbax import OUTPUT
from tests.engine.sources import opened, plan_for, save

PLAIN = "rules: []\ntarget: {layout: zarr}"


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ({"../up": 1.0}, "not the name of a directory"),
        ({"/root": 1.0}, "not the name of a directory"),
        ({"a": {"": 1.0}, "b": {".": 1.0}, "c/./d": 1.0}, "not the name of a directory"),
        ({"x.__lock": 1.0}, "too long, or ends as temporary files do"),
        ({"x" * 252: 1.0}, "too long"),
        ({"_METADATA": 1.0}, "Orbax has a file"),
        ({"a": 1.0, "a/b": 1.0}, "inside that of `a`"),
    ],
)
def test_names_that_are_no_directories_are_refused(tmp_path, tree, why):
    with opened(save(tmp_path / "old", tree)) as reader:
        found = OUTPUT.fit(plan_for(reader, PLAIN)).diagnostics
        assert () == OUTPUT.fit(plan_for(reader)).diagnostics
    assert any(why in one.message and one.is_error for one in found)


def test_every_other_name_is_accepted(tmp_path):
    with opened(save(tmp_path / "old", {"a.b": 1.0, "a/b": 1.0, "ünï ?#%": {"..": 1.0}})) as reader:
        assert () == OUTPUT.fit(plan_for(reader, PLAIN)).diagnostics
