"""A linked array that is not the source's is found, without decoding a chunk."""

import json

import jax.numpy as jnp
import pytest

from migrate.engine.items import item_of, item_plans
from migrate.engine.linking.link import find_links
from migrate.engine.verification.links import check_links
from migrate.errors import VerifyError
from tests.engine.sources import apply_plan, opened, plan_for, save
from tests.engine.verification.conftest import chunks, messages


@pytest.fixture
def linked(tmp_path):
    """The links of a plan, and the checkpoint that they became."""
    source = save(tmp_path / "old", {f"w{i}": jnp.arange(4000.0) + i for i in range(3)})
    with opened(source) as reader:
        plan = plan_for(reader)
        apply_plan(plan, reader, tmp_path / "new", verify="none")
        return find_links(plan, reader, item_of(item_plans(plan))), tmp_path / "new"


def test_what_was_linked_is_the_sources(linked):
    assert 3 == check_links(*linked)


def test_another_chunk_under_the_same_key_is_found(linked):
    links, result = linked
    store = chunks(result)
    store.write("w1/0", store.read("w2/0").result().value).result()
    with pytest.raises(VerifyError) as failure:
        check_links(links, result)
    assert ["`w1`: chunk `w1/0` does not have the bytes of `w1/0` in the source"] == messages(failure)


def test_a_lost_chunk_is_found(linked):
    links, result = linked
    chunks(result).write("w1/0", None).result()
    with pytest.raises(VerifyError, match="`w1`: chunk `w1/0`"):
        check_links(links, result)


def test_array_metadata_that_differ_in_more_than_the_shape_are_found(linked):
    links, result = linked
    store = chunks(result)
    fields = json.loads(store.read("w0/.zarray").result().value)
    store.write("w0/.zarray", json.dumps({**fields, "fill_value": 7}).encode()).result()
    store.write("w2/.zarray", None).result()
    with pytest.raises(VerifyError) as failure:
        check_links(links, result)
    assert [
        "`w0`: its array metadata differs from the source",
        "`w2`: its array metadata is missing",
    ] == messages(failure)
