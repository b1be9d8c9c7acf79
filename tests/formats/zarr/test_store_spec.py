import shutil

import numpy as np
import pytest
import tensorstore as ts

from migrate.engine.linking.open_stores import reading_context
from migrate.formats.base import Location
from migrate.formats.detect import open_reader
from migrate.formats.zarr.store_spec import array_spec, folder_spec, location_spec

NAME = "100%25 #1?x=é"
"""A file name that would be another one in a URL."""


@pytest.mark.parametrize("writer", ["ocdbt_zarr2", "plain_zarr2"])
def test_a_path_is_not_taken_for_a_url(written, tmp_path, writer):
    path = shutil.copytree(written(writer, "typical"), tmp_path / NAME)
    with open_reader(path) as reader:
        value = reader.read(("params", "Dense_0", "kernel"))
        location = reader.location(("params", "Dense_0", "kernel"))
    assert np.arange(12).reshape(4, 3).tolist() == value.tolist()
    array = ts.open(location_spec(location), open=True, read=True, context=reading_context(0)).result()
    assert np.array_equal(value, array.read().result())


@pytest.mark.parametrize(("fill_missing", "expected"), [(True, [0, 0]), (False, None)])
def test_a_missing_chunk_is_zeros_only_where_that_is_said(tmp_path, fill_missing, expected):
    spec = {"driver": "zarr", "kvstore": folder_spec(tmp_path, "w/"), "metadata": {"fill_value": 0, "dtype": "<i4"}}
    ts.open(spec, create=True, shape=[2]).result()
    location = Location(tmp_path, ocdbt=False, name="w", driver="zarr2", fill_missing=fill_missing)
    for found in (location_spec(location), array_spec(folder_spec(tmp_path, "w/"), "zarr2", fill_missing=fill_missing)):
        array = ts.open(found, open=True, context=reading_context(0)).result()
        if expected is None:
            with pytest.raises(ValueError, match="missing"):
                array.read().result()
        else:
            assert expected == array.read().result().tolist()
