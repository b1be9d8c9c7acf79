"""A rule file becomes a `RuleSet`, or every mistake in it becomes a diagnostic."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from migrate.codes import M004, M105, M109
from migrate.errors import Diagnostic, RuleFileError, Span, did_you_mean
from migrate.rules.field_types import Record, Where, shown
from migrate.rules.model import Guard, RuleSet, Target
from migrate.rules.schema import FILE, VERSION
from migrate.rules.source import MapNode, Node, ScalarNode, compose

MAX_BYTES = 4 * 2**20
"""The size of the largest rule file that is read: more than ten thousand rules."""


def load_rules(path: str | os.PathLike[str]) -> RuleSet:
    """Reads a rule file.

    Args:
      path: a file, or the bare name of a bundled rule file (such as `portable`) when there is no file of that name.

    Raises:
      RuleFileError: with every mistake in the file.
    """
    name = os.fspath(path)
    content = _read(name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleFileError(_not_text(name, content, error.start)) from None
    return _parse(text, name, content)


def parse_rules(text: str, path: str) -> RuleSet:
    """Reads the text of a rule file; `path` is what diagnostics call it.

    Raises:
      RuleFileError: with every mistake in the text.
    """
    return _parse(text, path, text.encode("utf-8", "surrogatepass"))


def bundled_names() -> list[str]:
    """The names of the rule files that come with migrate."""
    return sorted(file.stem for file in _bundle().glob("*.yaml"))


def _bundle() -> Path:
    """The folder of bundled rule files: inside the package when installed, at the root of a checkout otherwise."""
    package = Path(__file__).parents[1]
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parent / "rules"


def _read(name: str) -> bytes:
    file = _find(name)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise RuleFileError(M004.at(f"`{name}` cannot be read: {reason}")) from None
    if len(content) > MAX_BYTES:
        raise RuleFileError(M004.at(f"`{name}` is larger than {MAX_BYTES // 2**20} MiB and cannot be a rule file"))
    return content


def _find(name: str) -> Path:
    file = Path(name)
    if os.path.exists(file):  # unlike `Path.exists`, false for names that no file can have
        return file
    if not file.suffix and file.name == name:
        bundled = _bundle() / f"{name}.yaml"
        if name in bundled_names():
            return bundled
        raise RuleFileError(_no_bundled(name))
    near = did_you_mean(file.name, _siblings(file))
    raise RuleFileError(M004.at(f"there is no rule file `{name}`", help=near))


def _no_bundled(name: str) -> Diagnostic:
    names = bundled_names()
    known = ", ".join(f"`{one}`" for one in names) or "none"
    near = did_you_mean(name, [*names, *_siblings(Path(name))])
    message = f"there is neither a file `{name}` nor a bundled rule file of that name"
    return M004.at(message, help="; ".join(filter(None, (near, f"bundled: {known}"))))


def _siblings(file: Path) -> list[str]:
    """Rule files that a misspelled name may have meant."""
    try:
        return sorted(one.name for one in file.parent.iterdir() if one.suffix in (".yaml", ".yml"))
    except (OSError, ValueError):
        return []


def _not_text(name: str, content: bytes, offset: int) -> Diagnostic:
    line = content.count(b"\n", 0, offset) + 1
    before = content[content.rfind(b"\n", 0, offset) + 1 : offset]
    column = len(before.decode("utf-8")) + 1
    span = Span(name, line, column, line, column + 1)
    return M004.at(f"`{name}` is not text in UTF-8: byte {offset} is {content[offset]:#04x}", span=span)


def _parse(text: str, path: str, content: bytes) -> RuleSet:
    node, findings = compose(text, path)
    root = _root(node, path, findings)
    record = FILE.read(root, Where("rules", findings)) if root is not None else None
    if findings or record is None:
        raise RuleFileError(*sorted(findings, key=_position))
    return _rule_set(record, path, f"sha256:{hashlib.sha256(content).hexdigest()}", text)


def _root(node: Node | None, path: str, findings: list[Diagnostic]) -> MapNode | None:
    """The root when it is a rule file of a known version; other versions may mean other things by every field."""
    start = Span(path, 1, 1, 1, 2)
    if node is None:
        if not findings:
            findings.append(M105.at("the rule file is empty", span=start, help="a rule file begins with `migrate: 1`"))
        return None
    if not isinstance(node, MapNode):
        message = f"a rule file is a mapping that begins with `migrate: 1`, not {shown(node)}"
        findings.append(M105.at(message, span=node.span))
        return None
    version = node.get("migrate")
    if version is None or (isinstance(version, ScalarNode) and version.value == VERSION):
        return node
    message = f"`migrate` must be {VERSION}, the only version of the rule language so far, not {shown(version)}"
    findings.append(M109.at(message, span=version.span))
    return None


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    return (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)


def _rule_set(record: Record, path: str, digest: str, text: str) -> RuleSet:
    spans = {key.text: key.span for key, _ in record.node.entries}
    guard, target, unmatched = (record.get(name) for name in ("source", "target", "unmatched"))
    empty = Record(record.node)
    return RuleSet(
        path=path,
        digest=digest,
        rules=record.get("rules"),
        name=record.get("name", ""),
        source=Guard(**guard.values, span=spans["source"]) if guard else Guard(),
        target=Target(**target.values, span=spans["target"]) if target else Target(),
        follow=record.get("follow", "auto") == "auto",
        unmatched_source=(unmatched or empty).get("source", "error"),
        unmatched_target=(unmatched or empty).get("target", "error"),
        text=text,
        probe=record.get("probe"),
    )
