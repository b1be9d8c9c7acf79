"""The wheel and the source distribution: contents, metadata, installation, and whether the declared dependencies are
those that the package imports.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.import_graph import outline

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout without network access."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def dist_info(wheel, name):
    (found,) = [entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}")]
    return wheel.read(found)


def test_the_wheel_contains_the_license(wheel):
    assert (ROOT / "LICENSE").read_bytes() == dist_info(wheel, "licenses/LICENSE")
    assert b"Copyright 2026 The migrate authors" in dist_info(wheel, "licenses/LICENSE")


def test_the_wheel_contains_every_module_and_the_marker_for_type_checkers(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "migrate").rglob("*.py")}
    assert {*modules, "migrate/py.typed"} <= set(wheel.namelist())


def test_the_wheel_contains_every_bundled_rule_file(wheel):
    rules = {str(path.relative_to(ROOT / "rules")) for path in (ROOT / "rules").rglob("*.yaml")}
    assert rules
    assert {f"migrate/bundled/{name}" for name in rules} <= set(wheel.namelist())


def test_the_wheel_contains_nothing_but_the_package_and_its_metadata(wheel):
    assert {"migrate", f"migrate_jax-{version(wheel)}.dist-info"} == {name.split("/")[0] for name in wheel.namelist()}


def metadata(wheel):
    return message_from_bytes(dist_info(wheel, "METADATA"))


def version(wheel):
    return metadata(wheel)["Version"]


def test_the_metadata_names_license_authors_links_and_audience(wheel):
    fields = metadata(wheel)
    assert ("Apache-2.0", "LICENSE") == (fields["License-Expression"], fields["License-File"])
    assert "The migrate authors" == fields["Author"]
    links = dict(entry.split(", ") for entry in fields.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Issues", "Changelog"} == links.keys()
    assert all(link.startswith("https://github.com/migrate-jax/migrate") for link in links.values())
    assert {
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    } <= set(fields.get_all("Classifier"))
    assert "checkpoint" in fields["Keywords"].split(",")
    assert ">=3.11" == fields["Requires-Python"]
    assert "text/markdown" == fields["Description-Content-Type"]


def test_the_wheel_installs_the_command(wheel):
    assert b"migrate = migrate.cli.main:main" in dist_info(wheel, "entry_points.txt")


IMPORT_NAMES = {"google-re2": "re2", "orbax-checkpoint": "orbax", "pyyaml": "yaml"}
"""Distributions whose import name is not their own."""


def imported(paths):
    """Top-level names that modules import from outside the package and the standard library."""
    names = set()
    for path in paths:
        names |= {module.split(".")[0] for module, *_ in outline(path.read_text()).imports}
    return names - set(sys.stdlib_module_names) - {"migrate"}


def declared(requirements):
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def test_dependencies_are_the_packages_that_are_imported():
    suites = set((ROOT / "migrate" / "testing").rglob("*.py"))
    rest = set((ROOT / "migrate").rglob("*.py")) - suites
    optional = PROJECT["optional-dependencies"]
    extras = {name for extra in ("cloud", "dask", "keras") for name in declared(optional[extra])}
    assert declared(PROJECT["dependencies"]) | extras == imported(rest)
    assert imported(suites) <= declared(PROJECT["dependencies"]) | declared(PROJECT["optional-dependencies"]["testing"])


def built(kind, folder):
    """Builds a distribution from this checkout, without network access."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.iterdir()
    return path


def test_the_source_distribution_has_what_a_wheel_is_built_from_and_no_fixtures(tmp_path):
    with tarfile.open(built("sdist", tmp_path)) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    sources = {
        str(path.relative_to(ROOT)) for path in [*(ROOT / "migrate").rglob("*.py"), *(ROOT / "rules").rglob("*.yaml")]
    }
    assert sources | {"LICENSE", "PKG-INFO", "README.md", "CHANGELOG.md", "migrate/py.typed", "pyproject.toml"} <= names
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert {"migrate", "rules"} == folders


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_distribution_runs_in_an_environment_of_its_own(kind, tmp_path):
    """The environment is empty but for the distribution: a path file adds the dependencies, which are not downloaded.

    The packages of an environment come before those of a path file, so that no other installation of migrate runs.
    """
    (tmp_path / "dist").mkdir()
    venv, here = tmp_path / "venv", tmp_path / "here"
    here.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=here)
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--no-deps", "--no-index"]
    run(*pip, "--no-build-isolation", "--ignore-installed", built(kind, tmp_path / "dist"), cwd=here)
    migrate = venv / "bin" / "migrate"
    located = run(venv / "bin" / "python", "-c", "import migrate; print(migrate.__file__)", cwd=here)
    assert str(packages / "migrate" / "__init__.py") == located.strip()
    assert f"migrate {declared_version()}" in run(migrate, "--version", cwd=here)
    run(migrate, "apply", "portable", ROOT / "fixtures" / "linen_2022" / "lm_flax_msgpack" / "ckpt", "new", cwd=here)
    assert "verified" in run(migrate, "verify", "new", cwd=here).lower()


def declared_version():
    return re.search(r'"(.+)"', (ROOT / "migrate" / "version.py").read_text().partition("__version__")[2])[1]


def run(*command, cwd):
    """Runs a command that sees no checkout; returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def pins(path):
    """The versions of a file of requirements."""
    return dict(line.split("==") for line in path.read_text().splitlines() if "==" in line)


def test_the_oldest_environment_has_the_lowest_version_of_every_dependency():
    oldest = pins(ROOT / "tests" / "oldest" / "requirements.txt")
    for requirement in PROJECT["dependencies"]:
        name, lowest = re.match(r"([\w-]+)>=([\w.]+)", requirement).groups()
        assert oldest[name].removesuffix(".0").startswith(lowest.removesuffix(".0")), f"{requirement}: run `make lock`"


def test_the_documentation_names_the_oldest_and_the_newest_versions():
    page = (ROOT / "docs" / "compatibility.md").read_text()
    oldest, newest = pins(ROOT / "tests" / "oldest" / "requirements.txt"), pins(ROOT / "requirements.lock")
    for name in ("jax", "flax", "orbax-checkpoint", "tensorstore", "numpy", "click"):
        assert f"| {name} | {oldest[name]} | {newest[name]} |" in page
