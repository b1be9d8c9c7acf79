"""The field `layout`: a structure, `zarr`, or both."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules


def target(layout):
    return parse_rules(f"migrate: 1\nrules: []\ntarget: {{layout: {layout}}}", "rules.yaml").target


@pytest.mark.parametrize(
    ("text", "layout", "plain"),
    [
        ("items", "items", False),
        ("zarr", None, True),
        ("[items, zarr]", "items", True),
        ("[zarr, pure_dict]", "pure_dict", True),
    ],
)
def test_zarr_stands_alone_or_beside_a_structure(text, layout, plain):
    found = target(text)
    assert (layout, plain) == (found.layout, found.plain_zarr)


@pytest.mark.parametrize("text", ["[items, state]", "[zarr, zarr]", "[]", "ocdbt", "[items, zar]"])
def test_other_combinations_are_refused(text):
    with pytest.raises(RuleFileError):
        target(text)
