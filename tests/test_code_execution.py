"""Every place of the package that can run code, start a process or open a connection is listed here with its reason."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.import_graph import outline
from tests.test_architecture import SOURCES

MODULES = {
    "subprocess", "importlib", "imp", "runpy", "pkgutil", "pickle", "cPickle", "marshal", "shelve", "dill",
    "cloudpickle", "joblib", "torch", "ctypes", "cffi", "linecache", "multiprocessing", "code", "codeop", "pdb", "pty",
    "webbrowser", "socket", "ssl", "http", "ftplib", "smtplib", "urllib", "requests", "httpx", "aiohttp", "xmlrpc",
    "asyncio", "site", "yaml", "pkg_resources", "sqlite3", "gcsfs", "fsspec", "s3fs", "huggingface_hub",
}  # fmt: skip
"""Modules that run code, load code or open connections."""

CALLS = {
    "eval", "exec", "compile", "__import__", "breakpoint", "execfile",
    "os.system", "os.popen", "os.startfile", "os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp",
    *(f"os.exec{end}" for end in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"os.spawn{end}" for end in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    "np.load", "numpy.load", "jnp.load", "np.loadtxt", "np.genfromtxt", "np.fromregex",
}  # fmt: skip
"""Functions that run code, start processes or may unpickle."""

KEYWORDS = {"allow_pickle", "shell", "preexec_fn", "executable"}
"""Keyword arguments that make a call dangerous."""

NAMES = re.compile(rf"\b({'|'.join({name.rpartition('.')[2] for name in CALLS} | KEYWORDS)})\b")
"""A source without these has no such call."""

ALLOWED = {
    ("migrate.cli.main", "importlib"): "imports the subcommands, whose names are a constant, and reads versions",
    ("migrate.engine.outputs.registry", "importlib"): "imports the outputs, whose names are a constant",
    ("migrate.metadata", "importlib"): "reads the versions of installed packages",
    ("migrate.git_commit", "subprocess"): "one fixed git command in a directory of our own",
    ("migrate.places.copies", "asyncio"): "waits for copies that a bucket makes, to which the caller's DST belongs",
    ("migrate.places.copies", "importlib"): "finds out whether obstore is installed; imports nothing",
    ("migrate.places.multipart_copy", "urllib"): "encodes keys of objects; opens no connection",
    ("migrate.places.signed_requests", "urllib"): "the server of S3 that the environment selects",
    ("migrate.places.names", "urllib"): "decodes `%20` in `file://` URLs; opens no connection",
    ("migrate.template.user_code", "importlib"): "imports the user's code, after `migrate.rules.permission`",
    ("migrate.template.user_code", "pkgutil"): "lists the names of modules for suggestions",
    ("migrate.template.user_code", "linecache"): "shows the line of the user's code that failed; reads only",
    ("migrate.template.module_files", "importlib"): "finds the file of a module without importing it",
    ("migrate.template.module_files", "pkgutil"): "finds the file of a module without importing it",
    ("migrate.engine.linking.new_files", "ctypes"): "`syncfs` of the C library",
    ("migrate.engine.sharing.order", "socket"): "the name of this host; opens no connection",
    ("migrate.engine.sharing.pools", "multiprocessing"): "the pool of `--processes`, whose functions are our own",
    ("migrate.engine.sharing.pools", "socket"): "asks whether anything listens at the address of `--on`",
    ("migrate.engine.sharing.worker", "multiprocessing"): "notices that the parent of a worker has ended",
    ("migrate.engine.streaming.allocator", "ctypes"): "`malloc_trim` and `mallopt` of the C library",
    ("migrate.engine.workspace.publish", "ctypes"): "`renameat2` of the C library",
    ("migrate.engine.workspace.lock", "socket"): "the name of this host; opens no connection",
    ("migrate.training.checkpointers", "importlib"): "reads the version of Orbax",
    ("migrate.rules.source", "yaml"): "the events of the parser; nothing is constructed",
}


def called(function: ast.expr) -> str | None:
    """Returns the name of a function as it is called, `name` or `module.name`; None for others."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else None


def risks(source: str) -> Iterator[tuple[str, int]]:
    """Yields what can run code, with its line."""
    if not NAMES.search(source):  # most modules: only their imports matter, which other tests need too
        modules = ((module.partition(".")[0], line) for module, _, line, _ in outline(source).imports)
        yield from ((name, line) for name, line in modules if name in MODULES)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found = {(node.module or "").partition(".")[0]} & MODULES
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & CALLS
        elif isinstance(node, ast.Call):
            found = ({called(node.func)} & CALLS) | ({keyword.arg for keyword in node.keywords} & KEYWORDS)
        else:
            continue
        yield from ((name, node.lineno) for name in found)


def test_only_what_is_listed_can_run_code():
    found = {(module, name): line for module, source in SOURCES.items() for name, line in risks(source)}
    assert {} == {place: line for place, line in found.items() if place not in ALLOWED}
    assert set() == set(ALLOWED) - set(found), "these are no longer needed"


def test_the_parser_of_yaml_constructs_nothing():
    used = {
        node.attr
        for node in ast.walk(ast.parse(SOURCES["migrate.rules.source"]))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
    }
    assert {"parse", "SafeLoader"} <= used
    assert set() == {name for name in used if "load" in name.lower() or "construct" in name.lower()} - {"SafeLoader"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import subprocess", "subprocess"),
        ("from importlib import metadata", "importlib"),
        ("import urllib.request", "urllib"),
        ("def f():\n    from os import system", "os.system"),
        ("eval('1')", "eval"),
        ("os.execv(a, b)", "os.execv"),
        ("x.open(path, allow_pickle=True)", "allow_pickle"),
        ("np.load(path)", "np.load"),
    ],
)
def test_a_place_that_can_run_code_is_found(line, name):
    assert [(name, line.count("\n") + 1)] == list(risks(line))


def test_code_of_the_user_is_loaded_in_known_places_only():
    """Each of these runs code that the caller names, or comes after the gate."""
    loaders = {
        "load",
        "running",
        "template_callable",
        "abstract_template",
        "initial_values",
        "blueprints",
        "restore_target",
    }
    found = {
        module
        for module, source in SOURCES.items()
        for imported, name, *_ in outline(source).imports
        if imported.startswith("migrate.template") and name in loaders
    }
    assert {
        "migrate.api.plans",  # the gate is in `template_of`; other callers name the template
        "migrate.api.recorded_templates",  # the caller names the template, or after the gate
        "migrate.engine.loading.recipient",  # the caller names the template, or after the gate of `api.loading`
        "migrate.engine.probing.computed_model",  # `suggest`, whose caller names template and probe
        "migrate.engine.probing.probe",  # after `preflight`; `verify` passes a probe that is named or permitted
        "migrate.engine.probing.restored_model",  # the plan's template, which has run
        "migrate.engine.streaming.create",  # the plan's template, which has run
        "migrate.engine.verification.template_restore",  # the plan's template, which has run
        "migrate.ops.call",  # after `preflight` or `api.verify`
        "migrate.rules.permission",  # the gate
    } == {module for module in found if not module.startswith("migrate.template")}
