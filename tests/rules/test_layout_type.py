"""The field `layout`: a structure, a storage, or both."""

import pytest

from migrate.errors import RuleFileError
from migrate.rules.loader import parse_rules


def target(layout):
    return parse_rules(f"migrate: 1\nrules: []\ntarget: {{layout: {layout}}}", "rules.yaml").target


@pytest.mark.parametrize(
    ("text", "layout", "storage"),
    [
        ("items", "items", None),
        ("zarr", None, "zarr"),
        ("huggingface", None, "huggingface"),
        ("[items, zarr]", "items", "zarr"),
        ("[zarr, pure_dict]", "pure_dict", "zarr"),
        ("[pure_dict, huggingface]", "pure_dict", "huggingface"),
    ],
)
def test_a_storage_stands_alone_or_beside_a_structure(text, layout, storage):
    found = target(text)
    assert (layout, storage, storage == "zarr") == (found.layout, found.storage, found.plain_zarr)


@pytest.mark.parametrize(
    "text", ["[items, state]", "[zarr, zarr]", "[zarr, huggingface]", "[]", "ocdbt", "[items, zar]"]
)
def test_other_combinations_are_refused(text):
    with pytest.raises(RuleFileError):
        target(text)
