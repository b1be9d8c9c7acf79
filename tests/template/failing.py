"""The diagnostics of templates that cannot be built."""

import pytest

from migrate.errors import CheckpointError
from migrate.template import abstract_template


def failure(spec, args=None, **options):
    with pytest.raises(CheckpointError) as caught:
        abstract_template(spec, args, **options)
    assert {"M408"} == {diagnostic.code for diagnostic in caught.value.diagnostics}
    return caught.value.diagnostics
