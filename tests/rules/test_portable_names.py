import pytest

from migrate.rules.portable_names import PortableNames, is_portable, last_name


@pytest.mark.parametrize(
    ("path", "file", "name"),
    [
        ("rules.yaml", "rules.yaml", "rules.yaml"),
        ("a/rules.yaml", "a/../b/part.yaml", "a/../b/part.yaml"),
        ("/project/rules.yaml", "/project/rules.yaml", "rules.yaml"),
        ("/project/rules.yaml", "/project/parts/one.yaml", "parts/one.yaml"),
        ("/project/rules.yaml", "linen/lstm-to-nnx", "linen/lstm-to-nnx"),
        ("rules.yaml", "/elsewhere/part.yaml", "/elsewhere/part.yaml"),
    ],
)
def test_names_are_as_given_or_relative(path, file, name):
    assert name == PortableNames(path).name(file)


def test_a_template_is_not_a_path():
    assert ("m:make", "2.tree.json") == (last_name("m:make"), last_name("/models/2.tree.json"))
    assert (True, False) == (is_portable("rules.yaml"), is_portable("/etc/passwd"))
