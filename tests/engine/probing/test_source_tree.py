"""Probes get the old tree as the program that wrote it had it."""

import jax
import numpy as np
from flax import linen as nn
from flax import serialization

from migrate.engine.probing.source_tree import whole_tree
from migrate.formats.detect import open_reader
from tests.engine.sources import every_kind, save


def test_the_tree_has_the_containers_and_values_that_were_saved(tmp_path):
    meant = every_kind()
    with open_reader(save(tmp_path / "old", meant)) as reader:
        found = whole_tree(reader)
    assert jax.tree.structure(meant) == jax.tree.structure(found)
    for path, value in jax.tree_util.tree_leaves_with_path(meant):
        actual = found
        for key in path:
            actual = actual[getattr(key, "key", getattr(key, "idx", None))]
        words = jax.random.key_data if path[0].key == "key" else np.asarray
        np.testing.assert_array_equal(words(value), words(actual))


def test_arrays_are_numpy_arrays(tmp_path):
    with open_reader(save(tmp_path / "old", every_kind())) as reader:
        assert type(whole_tree(reader)["params"]["kernel"]) is np.ndarray


class Boxed(nn.Module):
    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
        return nn.Dense(3, kernel_init=init)(x)


def test_a_linen_module_applies_the_tree_without_its_boxes(tmp_path):
    x = np.ones((2, 4), np.float32)
    boxed = Boxed().init(jax.random.key(0), x)
    with open_reader(save(tmp_path / "old", boxed)) as reader:
        found = whole_tree(reader)
    np.testing.assert_array_equal(Boxed().apply(boxed, x), Boxed().apply(found, x))


def test_a_msgpack_file_has_dicts_by_index(tmp_path):
    (tmp_path / "old").write_bytes(serialization.to_bytes({"opt": [{"mu": np.ones(2)}, None]}))
    with open_reader(tmp_path / "old") as reader:
        found = whole_tree(reader)
    assert {"0", "1"} == found["opt"].keys()
