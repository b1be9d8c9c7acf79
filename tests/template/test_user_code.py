"""Loading and running the user's code: names, arguments, errors in terms of the user's program."""

import sys
from pathlib import Path

import pytest

from migrate.errors import CheckpointError
from migrate.template import abstract_template
from migrate.template.user_code import load, refuse_uncallable
from migrate.tree import AbstractArray
from tests.template.failing import failure

MODELS = "tests.template.models"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes a module of the user's into the current directory."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(text)

    return write


def test_a_module_may_have_a_name_that_is_no_identifier(project):
    project("odd-model", "def make(): return 1\n")
    assert 1 == load("odd-model:make")()


def test_a_dotted_attribute_is_found():
    assert abstract_template(f"{MODELS}:plain").tree == abstract_template(f"{MODELS}:Outer.Inner.make").tree


@pytest.mark.parametrize(
    ("spec", "message", "help_text"),
    [
        ("no_colon", "`no_colon` is not of the form `module:callable`", "current directory"),
        (f"{MODELS}:plan", f"`{MODELS}` has no attribute `plan`", "did you mean `plain`?"),
        (f"{MODELS}:Outer.Iner.make", "`Outer` has no attribute `Iner`", "did you mean `Inner`?"),
        ("tests.template.model:plain", "the module `tests.template.model` does not exist", "did you mean `models`?"),
        ("no_such_module_at_all:f", "the module `no_such_module_at_all` does not exist", "`module:callable`"),
        (f"{MODELS}:number", "is a int, not a callable", "`module:callable`"),
        (f"{MODELS}:nothing", "is not a pytree with leaves", "NNX module"),
    ],
)
def test_a_mistake_in_the_name_is_told_with_the_nearest_right_one(spec, message, help_text):
    (diagnostic,) = failure(spec)
    assert message in diagnostic.message
    assert help_text in (diagnostic.help or "")


def test_the_error_of_the_callable_is_told_with_the_users_own_line():
    (diagnostic,) = failure(f"{MODELS}:raises")
    assert "models.py:" in diagnostic.message
    assert "`return nnx.Linear(width, rngs=nnx.Rngs(0))`" in diagnostic.message
    assert "TypeError" in diagnostic.message
    assert "\n" not in diagnostic.message


def test_a_callable_that_exits_is_an_error_and_not_an_exit():
    (diagnostic,) = failure(f"{MODELS}:exits")
    assert "SystemExit: 3" in diagnostic.message


def test_every_wrong_argument_is_told_at_once():
    diagnostics = failure(f"{MODELS}:Plain", {"widht": 3, "classes": 2})
    assert ["did you mean `width`?", "its arguments: `width`, `rngs`"] == [
        diagnostic.help for diagnostic in diagnostics
    ]


def test_a_missing_argument_is_told(project):
    project("needs", "def make(classes):\n    return {}\n")
    (diagnostic,) = failure("needs:make")
    assert "requires the argument `classes`" in diagnostic.message


def test_the_current_directory_is_importable(project):
    project(
        "here_model", "import numpy as np\ndef make():\n    import here_too\n    return {'a': np.zeros(here_too.N)}\n"
    )
    project("here_too", "N = 4\n")
    assert (4,) == abstract_template("here_model:make").tree.leaves[("a",)].aval.shape
    assert "" not in sys.path[:1] or str(Path.cwd()) not in sys.path


def test_a_syntax_error_is_told_with_its_line(project):
    project("broken_model", "x = 1\ndef make(:\n")
    (diagnostic,) = failure("broken_model:make")
    assert "broken_model.py:2" in diagnostic.message
    assert "SyntaxError" in diagnostic.message


def test_a_module_that_the_model_lacks_is_not_taken_for_the_model(project):
    project("needy_model", "import a_package_that_is_not_there\n")
    (diagnostic,) = failure("needy_model:make")
    assert "needy_model.py:1" in diagnostic.message
    assert "a_package_that_is_not_there" in diagnostic.message


def test_what_the_model_prints_does_not_go_to_stdout(capsys):
    abstract_template(f"{MODELS}:chatty")
    printed = capsys.readouterr()
    assert ("", "hello\n") == (printed.out, printed.err)


def test_arguments_go_to_the_callable():
    tree = abstract_template(f"{MODELS}:Plain", {"width": 7}).tree
    assert AbstractArray((2, 7), "float32") == tree.leaves["first", "kernel"].aval


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ("np.asarray(kernel)", "use `jnp` in place of `np`"),
        ("float(kernel.sum())", "compute this number from shapes"),
        ("1 if kernel.sum() > 0 else 2", "decide by shapes"),
        ("range(kernel.sum().astype(int))", "compute this index"),
        ("kernel[kernel > 0]", "`jnp.where`"),
        ("kernel.block_until_ready()", "move the line out of the callable"),
        ("np.zeros(10**15)", "make them with `jnp`"),
        ("setattr(OUTSIDE, 'kernel', nnx.Param(kernel))", "make the module inside the callable"),
    ],
)
def test_a_template_that_needs_values_names_the_line_and_what_works_there(project, body, advice):
    project(
        "value_model",
        "import jax, numpy as np\nfrom flax import nnx\nOUTSIDE = nnx.Linear(2, 3, rngs=nnx.Rngs(0))\ndef make():\n"
        f"    kernel = jax.random.normal(jax.random.key(0), (2, 3))\n    {body}\n"
        "    return nnx.Dict(k=nnx.Param(kernel))\n",
    )
    (diagnostic,) = failure("value_model:make")
    assert f"value_model.py:6, `{body}`" in diagnostic.message
    assert advice in diagnostic.help
    assert "`nnx.eval_shape`" in diagnostic.help


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold = 3", "is a int, not a callable"),
        ("def fold(): ...", "cannot be called with one array: too many positional arguments"),
        ("def fold(a, b): ...", "cannot be called with one array: missing a required argument: 'b'"),
        ("def fold(*, array): ...", "cannot be called with one array: too many positional arguments"),
    ],
)
def test_a_function_that_takes_no_single_array_is_refused_before_it_runs(project, text, message):
    project("folding", text)
    with pytest.raises(CheckpointError, match=message.replace("(", r"\(")):
        refuse_uncallable("folding:fold", load("folding:fold"))


def test_a_function_with_further_defaults_is_accepted(project):
    project("folding", "import numpy as np\ndef fold(array, rank=2): ...\nsquare = np.square\n")
    refuse_uncallable("folding:fold", load("folding:fold"))
    refuse_uncallable("folding:square", load("folding:square"))
