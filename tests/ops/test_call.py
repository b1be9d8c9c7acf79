import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from migrate.errors import CheckpointError
from migrate.ops.base import TEMPLATE, NotInvertible, OpError
from migrate.ops.call import Call
from migrate.tree import AbstractArray

VECTOR = AbstractArray((2,), "float32")
TARGET = AbstractArray((4,), "int32")


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    (tmp_path / "users_functions.py").write_text(
        "import numpy as np\n"
        "def twice(array): return np.concatenate([array, array])\n"
        "def write(array): array[...] = 0\n"
        "def text(array): return 'text'\n"
        "def chatty(array):\n"
        "    print('hello')\n"
        "    return array\n"
        "class Inner:\n"
        "    negate = np.negative\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "users_functions"
    sys.modules.pop("users_functions", None)


def test_the_function_gets_the_array_and_its_result_is_used(user_code):
    assert [1, 2, 1, 2] == Call(f"{user_code}:twice", (4,)).apply(np.array([1, 2]))[0].tolist()
    assert [-1, -2] == Call(f"{user_code}:Inner.negate").apply(np.array([1, 2]))[0].tolist()


def test_planning_does_not_import_the_module():
    op = Call("no.such.module:function", (3,)).bind((VECTOR,), None, None)

    assert (AbstractArray((3,), "float32"),) == op.infer(VECTOR)


@pytest.mark.parametrize(
    ("op", "target", "promised"),
    [
        (Call("m:f"), None, VECTOR),
        (Call("m:f"), TARGET, TARGET),
        (Call("m:f", (9,)), TARGET, AbstractArray((9,), "int32")),
        (Call("m:f", dtype="bool"), TARGET, AbstractArray((4,), "bool")),
        (Call("m:f", TEMPLATE, TEMPLATE), TARGET, TARGET),
    ],
)
def test_shape_and_dtype_come_from_the_fields_then_the_template_then_the_input(op, target, promised):
    assert (promised,) == op.bind((VECTOR,), target, None).infer(VECTOR)


def test_a_result_of_another_shape_or_dtype_is_an_error_that_names_both(user_code):
    with pytest.raises(OpError) as caught:
        Call(f"{user_code}:twice").apply(np.zeros(2, np.float32))

    assert "`users_functions:twice` returned float32[4], but float32[2] was promised" == str(caught.value)


def test_the_function_cannot_change_the_source(user_code):
    with pytest.raises(CheckpointError, match="ValueError: assignment destination is read-only"):
        Call(f"{user_code}:write").apply(np.zeros(2))


def test_a_result_that_no_leaf_can_hold_is_an_error(user_code):
    with pytest.raises(OpError, match="a dtype that no leaf can have"):
        Call(f"{user_code}:text").apply(np.zeros(2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:f", "the module `no_such_module` does not exist"),
        ("math:no_such", "`math` has no attribute `no_such`"),
    ],
)
def test_a_function_that_cannot_be_imported_is_an_error(name, message):
    with pytest.raises(CheckpointError, match=message):
        Call(name).apply(np.zeros(2))


def test_modules_are_found_where_those_of_templates_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "def twice(array):\n    import users_lazy\n    return array * users_lazy.TWO\n"
    (tmp_path / "users_here.py").write_text(text)
    (tmp_path / "users_lazy.py").write_text("TWO = 2\n")
    assert [2, 4] == Call("users_here:twice").apply(np.array([1, 2]))[0].tolist()
    assert str(tmp_path) not in sys.path


def test_what_a_function_prints_in_several_threads_does_not_go_to_stdout(user_code, capsys):
    op = Call(f"{user_code}:chatty")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: op.apply(np.zeros(2)), range(40)))
    print("after")
    printed = capsys.readouterr()
    assert ("after\n", "hello\n" * 40) == (printed.out, printed.err)


@pytest.mark.parametrize(
    "fields",
    [
        {"function": "no_colon"},
        {"function": "m:"},
        {"function": ":f"},
        {"function": "m:f()"},
        {"function": "m:f", "shape": (2, -1)},
        {"function": "m:f", "dtype": "float31"},
    ],
)
def test_invalid_fields_are_refused_at_once(fields):
    with pytest.raises(OpError):
        Call(**fields)


def test_template_without_a_template_leaf_is_an_error():
    with pytest.raises(OpError, match="no template leaf"):
        Call("m:f", TEMPLATE).bind((VECTOR,), None, None)
    with pytest.raises(OpError, match="not bound"):
        Call("m:f", TEMPLATE).infer(VECTOR)


def test_it_runs_code_and_is_neither_exact_nor_invertible():
    assert ("m:f", False) == (Call("m:f").code, Call("m:f").exact)
    assert isinstance(Call("m:f").inverse(VECTOR), NotInvertible)
