import numpy as np

from migrate.ops.keep import Keep
from migrate.ops.registry import OPS
from migrate.testing.op_laws import check_op_laws


def test_it_keeps_the_laws_of_ops():
    check_op_laws(Keep(), [np.arange(12, dtype="float32").reshape(3, 4)])


def test_rule_files_do_not_have_it():
    assert Keep.name not in OPS
