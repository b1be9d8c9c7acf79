"""Loads a rule file and the files that it includes into a `RuleSet`, or reports all their mistakes as diagnostics."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrate.codes import InvalidInclude, MissingField, UnboundCapture, UnsupportedRuleVersion
from migrate.errors import Diagnostic, RuleFileError, Span, did_you_mean
from migrate.formats.base import ModelConfig
from migrate.rules.argument_values import ArgumentValue, argument_values, declared_arguments
from migrate.rules.arguments import changed_arguments, fill_arguments, given_arguments, unknown_arguments
from migrate.rules.field_types import FieldValues, ReadContext, describe_node
from migrate.rules.files import MAX_BYTES, RuleFile, bundled_names, decode, find, read
from migrate.rules.include import place_rules
from migrate.rules.layout_type import structure_and_storage
from migrate.rules.model import ConfigRule, Guard, Include, OtherSource, Rule, RuleSet, Target
from migrate.rules.probe_type import ProbeFields
from migrate.rules.recorded_tree import is_recorded_tree
from migrate.rules.requirement import Requirement
from migrate.rules.schema import FILE, VERSION
from migrate.rules.source import MapNode, Node, ScalarNode, Value, compose
from migrate.tree import KeyPath

__all__ = ["MAX_BYTES", "bundled_names", "load_rules", "parse_rules"]

MAX_INCLUDES = 1000
"""The maximum number of files that a rule file includes, directly or indirectly."""


def load_rules(
    path: str | os.PathLike[str], args: Mapping[str, Value] | None = None, config: ModelConfig | None = None
) -> RuleSet:
    """Reads a rule file and the files that it includes.

    Args:
      path: a file, or the name of a bundled rule file (such as `portable`) if no such file exists.
      args: values of the arguments of the file (default: those of the configuration, or of the file).
      config: the configuration of the model (default: that of the checkpoint, once it is known).

    Raises:
      RuleFileError: the files have mistakes; carries all of them.
    """
    file = find(os.fspath(path))
    content = read(file)
    rules = _load(file, decode(content, file.name), content, args or {}, was_read=True)
    return rules if config is None else replace(rules, model_config=config).for_models({})


def parse_rules(text: str, path: str) -> RuleSet:
    """Reads the text of a rule file; `path` is its name in diagnostics and the base of relative includes.

    The code that it names runs only where it is allowed, as the text need not be that of the file.

    Raises:
      RuleFileError: the text has mistakes; carries all of them.
    """
    return _load(RuleFile(path, Path(path)), text, text.encode("utf-8", "surrogatepass"), {}, was_read=False)


def _load(
    file: RuleFile,
    text: str,
    content: bytes,
    args: Mapping[str, Value],
    *,
    was_read: bool,
    configs: Mapping[str, ModelConfig] | None = None,
    known: dict[tuple[str, str], tuple[RuleFile, bytes]] | None = None,
) -> RuleSet:
    loader = _Loader(args=args, configs=configs or {}, known={} if known is None else known)
    part = loader.load(file, text, content)
    if loader.findings or part is None:
        raise RuleFileError(*loader.findings)

    def reload(configs: Mapping[str, ModelConfig]) -> RuleSet:
        return _load(file, text, content, args, was_read=was_read, configs=configs, known=loader.known)

    rules = _rule_set(part, file.name, text, tuple(loader.files[0 if was_read else 1 :]))
    return replace(
        rules,
        args=loader.args,
        digest=_digest_with(rules.digest, loader.args),
        arguments=tuple(dict.fromkeys(loader.arguments)),
        reload=reload if loader.arguments else None,
    )


def _digest_with(digest: str, args: Mapping[str, Value]) -> str:
    """Returns the digest of a file with other values of its arguments than its own."""
    if not args:
        return digest
    return f"sha256:{hashlib.sha256(f'{digest}{json.dumps(args, sort_keys=True)}'.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class _LoadedFile:
    """A file that was read: its fields, the included rules of both kinds and requirements followed by its own, and the
    digest of all these files.
    """

    record: FieldValues
    rules: tuple[Rule, ...]
    config: tuple[ConfigRule, ...]
    requires: tuple[Requirement, ...]
    digest: str
    sources: Mapping[str, OtherSource]


_Place = tuple[Hashable, ...]
"""The places, exceptions and arguments of an include."""


@dataclass
class _Loader:
    """The state of loading one rule file and the files that it includes."""

    findings: list[Diagnostic] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """The real paths of the files being read, from the first file to the current one."""
    places: list[_Place] = field(default_factory=list)
    """The places of the includes that led to the current file."""
    included: dict[tuple[str | _Place, ...], Include] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """The name and the real path of each file, the first file first."""
    args: Mapping[str, Value] = field(default_factory=dict)
    """The arguments of the first file that the caller gives; without the defaults once the file is read."""
    configs: Mapping[str, ModelConfig] = field(default_factory=dict)
    """The configurations of the models of the sources, as far as they are known; that of the main source under ""."""
    config_place: tuple[str, KeyPath] = ("", ())
    """The source of the current file, and where the names of the file are in its configuration."""
    arguments: list[ArgumentValue] = field(default_factory=list)
    """The arguments that the configuration can state, without those that an include gives."""
    known: dict[tuple[str, str], tuple[RuleFile, bytes]] = field(default_factory=dict)
    """The included files that were read before, by the name of the including file and theirs."""

    def load(self, file: RuleFile, text: str, content: bytes, by: Include | None = None) -> _LoadedFile | None:
        """Returns the loaded file, with the arguments of the include that names it; None after a finding."""
        self.files.append((file.name, os.path.realpath(file.place)))
        node, findings = compose(text, file.name)
        root = _root(node, file.name, findings)
        unknown = list(unknown_arguments(by, root)) if root is not None and by else []
        self.findings += unknown
        values: Mapping[str, Value] = {}
        if root is not None:
            values = self._values(root, by, file.name, findings)
            root = fill_arguments(root, values, findings)
        record = FILE.read(root, ReadContext("rules", findings, _source_names(root))) if root is not None else None
        self.findings += sorted(findings, key=_position)
        if findings or unknown or record is None:
            return None
        self.open.append(os.path.realpath(file.place))
        parts = [self._include(include, file, record.get("sources", {})) for include in record.get("include", ())]
        self.open.pop()
        above = [part for part in parts if part is not None]
        rules = (*(rule for part in above for rule in part.rules), *record.get("rules"))
        config = dict.fromkeys((*(rule for part in above for rule in part.config), *record.get("config", ())))
        required = (*(one for part in above for one in part.requires), *self._requirements(record, values))
        digest = _digest(content, [part.digest for part in above])
        sources = self._sources(record.get("sources", {}), above)
        return _LoadedFile(record, rules, tuple(config), tuple(dict.fromkeys(required)), digest, sources)

    def _values(self, root: MapNode, by: Include | None, name: str, findings: list[Diagnostic]) -> Mapping[str, Value]:
        """Returns the values of the arguments of a file that differ from its defaults or come from elsewhere."""
        given = given_arguments(root, self.args, name, findings) if by is None else by.args
        if by is None:
            self.args = changed_arguments(root, given)
        source, place = self.config_place
        found = list(argument_values(declared_arguments(root), given, self.configs, source, place, findings))
        self.arguments += [one for one in found if by is None or one.origin != "given"]
        return {**{one.name: one.value for one in found}, **given}

    def _requirements(self, record: FieldValues, values: Mapping[str, Value]) -> Iterator[Requirement]:
        """Yields the requirements of a file, with the values of the arguments that they name."""
        declared, (source, place) = record.get("args", {}), self.config_place
        for one in record.get("requires", ()):
            if one.argument and one.argument not in declared:
                self.findings.append(_unknown_argument(one, declared))
            value = values.get(one.argument, _default_of(declared.get(one.argument)))
            yield replace(one, value=value, source=source).below(place)

    def _sources(self, own: Mapping[str, OtherSource], above: Sequence[_LoadedFile]) -> Mapping[str, OtherSource]:
        """Returns the named sources of a file: its own, and those of included files that it does not declare."""
        found: dict[str, OtherSource] = {}
        for name, one in (pair for part in above for pair in part.sources.items()):
            other = found.setdefault(name, one)
            if name not in own and other.path != one.path:
                message = f"two included files name different paths for the source `{name}`"
                advice = f"declare `{name}` in `sources:` of the including file"
                self.findings.append(InvalidInclude.at(message, span=one.span, help=advice))
        return {**found, **own}

    def _include(self, include: Include, within: RuleFile, sources: Collection[str]) -> _LoadedFile | None:
        """Returns an included file with its rules moved below their places; None after a finding.

        Args:
          include: the include.
          within: the including file.
          sources: the names of the sources that it declares.
        """
        try:
            file, content = self._read(include.file, within)
            self._refuse_repeated(include, os.path.realpath(file.place))
            text = decode(content, file.name)
        except RuleFileError as error:
            self.findings += [_at(one, include) for one in error.diagnostics]
            return None
        self.places.append(_place(include))
        self.config_place, above = _config_place(include, self.config_place, sources), self.config_place
        part = self.load(file, text, content, include)
        self.config_place = above
        self.places.pop()
        if part is None:
            return None
        self.findings += _forbidden_fields(part.record, file, include)
        required = part.requires if include.requires else ()
        placed = place_rules(include, part.rules, self.findings, part.sources)
        return replace(part, rules=placed, requires=required)

    def _read(self, name: str, within: RuleFile) -> tuple[RuleFile, bytes]:
        """Returns an included file and its content, which is read once."""
        key = (within.name, name)
        if key not in self.known:
            file = find(name, within)
            self.known[key] = file, read(file)
        return self.known[key]

    def _refuse_repeated(self, include: Include, place: str) -> None:
        """Refuses a file that includes itself, a second include at the same place, and too many files."""
        if place in self.open:
            circle = " → ".join(f"`{Path(one).stem}`" for one in [*self.open[self.open.index(place) :], place])
            raise RuleFileError(InvalidInclude.at(f"`{include.file}` includes itself: {circle}", span=include.span))
        key: tuple[str | _Place, ...] = (place, *self.places, _place(include))
        first = self.included.setdefault(key, include)
        if first is not include:
            message = f"`{include.file}` is included twice at the same place"
            label = f"first included at {first.span}"
            raise RuleFileError(
                InvalidInclude.at(message, span=include.span, label=label, help="remove one of the two includes")
            )
        if len(self.included) > MAX_INCLUDES:
            raise RuleFileError(InvalidInclude.at(f"more than {MAX_INCLUDES} files are included", span=include.span))


def _source_names(root: MapNode) -> frozenset[str]:
    """Returns the names of the sources that a file declares."""
    declared = root.get("sources")
    return frozenset(key.text for key, _ in declared.entries) if isinstance(declared, MapNode) else frozenset()


def _place(include: Include) -> _Place:
    return include.under, include.to, include.excepts, include.only, tuple(include.args.items())


def _config_place(include: Include, above: tuple[str, KeyPath], sources: Collection[str]) -> tuple[str, KeyPath]:
    """Returns the source of an included file, and where the names of the file are in its configuration."""
    named = include.under.source if include.under is not None else None
    if named is not None and named in sources:
        return named, include.config
    return above[0], (*above[1], *include.config)


def _default_of(declared: Any) -> Value:
    """Returns the default of an argument as the file declares it."""
    return declared.get("default") if isinstance(declared, Mapping) else declared


def _unknown_argument(requirement: Requirement, declared: Mapping[str, Any]) -> Diagnostic:
    known = ", ".join(f"`{name}`" for name in declared) or "none"
    return UnboundCapture.at(
        f"`{requirement.argument}` is not an argument of this file",
        span=requirement.span,
        label=did_you_mean(requirement.argument, declared),
        help=f"its arguments: {known}",
    )


def _at(diagnostic: Diagnostic, include: Include) -> Diagnostic:
    """Returns a finding about an unreadable file, located at the include unless it has a location in that file."""
    return diagnostic if diagnostic.span else replace(diagnostic, span=include.span)


def _forbidden_fields(record: FieldValues, file: RuleFile, include: Include) -> list[Diagnostic]:
    """Returns findings about fields that only the applied file may set."""
    names = [name for name in ("source", "target", "follow", "probe", "unmatched") if record.get(name) is not None]
    fields = ", ".join(f"`{name}`" for name in names)
    cure = "only the rules of an included file are used; move the fields to the including file"
    return (
        [InvalidInclude.at(f"the included file `{file.name}` sets {fields}", span=include.span, help=cure)]
        if names
        else []
    )


def _digest(content: bytes, included: Sequence[str]) -> str:
    """Returns the digest of a file, combined with those of the files that it includes."""
    own = hashlib.sha256(content)
    if included:
        own = hashlib.sha256("\n".join((own.hexdigest(), *included)).encode())
    return f"sha256:{own.hexdigest()}"


def _root(node: Node | None, path: str, findings: list[Diagnostic]) -> MapNode | None:
    """Returns the root mapping of a rule file of a known version, or None; fields of other versions are not checked."""
    start = Span(path, 1, 1, 1, 2)
    if node is None:
        if not findings:
            findings.append(MissingField.at("the rule file is empty", span=start, help="begin it with `migrate: 1`"))
        return None
    if not isinstance(node, MapNode):
        message = f"a rule file must be a mapping that begins with `migrate: 1`, not {describe_node(node)}"
        findings.append(MissingField.at(message, span=node.span))
        return None
    plan = node.get("migrate_plan")
    if plan is not None:
        advice = (
            f"`migrate show {shlex.quote(path)}` draws it, `migrate apply {shlex.quote(path)} SRC DST` carries it out"
        )
        findings.append(MissingField.at("this is a plan file, not a rule file", span=plan.span, help=advice))
        return None
    version = node.get("migrate")
    if version is None or (isinstance(version, ScalarNode) and version.value == VERSION):
        return node
    message = f"`migrate` must be {VERSION}, the only version of the rule language, not {describe_node(version)}"
    findings.append(UnsupportedRuleVersion.at(message, span=version.span))
    return None


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    return (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)


def _rule_set(part: _LoadedFile, path: str, text: str, files: tuple[tuple[str, str], ...]) -> RuleSet:
    record = part.record
    spans = {key.text: key.span for key, _ in record.node.entries}
    guard, target, unmatched = (record.get(name) for name in ("source", "target", "unmatched"))
    empty = FieldValues(record.node)
    return RuleSet(
        path=path,
        digest=part.digest,
        rules=part.rules,
        name=record.get("name", ""),
        source=Guard(**guard.values, span=spans["source"]) if guard else Guard(),
        target=_target(target, spans["target"], path) if target else Target(),
        follow=record.get("follow", "auto") == "auto",
        unmatched_source=(unmatched or empty).get("source", "error"),
        unmatched_target=(unmatched or empty).get("target", "error"),
        text=text,
        **_probe(record),
        files=files,
        config=part.config,
        requires=part.requires,
        sources=part.sources,
    )


def _probe(record: FieldValues) -> dict[str, Any]:
    """Returns the fields of a rule set that concern the probe."""
    probe: ProbeFields | None = record.get("probe")
    if probe is None:
        return {}
    return {
        "probe": probe.function,
        "probe_span": probe.span,
        "probe_atol": probe.atol,
        "probe_rtol": probe.rtol,
    }


def _target(fields: FieldValues, span: Span, path: str) -> Target:
    """Returns the target of the rule file `path`; a recorded tree is named relative to that file."""
    values = dict(fields.values)
    if is_recorded_tree(values.get("template")):
        values["template"] = os.path.join(os.path.dirname(path), values["template"])
    layout, storage = structure_and_storage(values.pop("layout", None) or ())
    return Target(
        **values,
        layout=layout,
        storage=storage,
        span=span,
        template_span=_span_of(fields.node, "template"),
    )


def _span_of(node: MapNode, name: str) -> Span | None:
    """Returns the location of a field's value; None without the field."""
    value = node.get(name)
    return value.span if value is not None else None
