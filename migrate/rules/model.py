"""The data model of a rule file, which the loader creates and the planner reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from migrate.errors import Span
from migrate.formats.base import ModelConfig
from migrate.ops.base import Op
from migrate.rules.argument_values import ArgumentValue
from migrate.rules.formula import Term
from migrate.rules.leaf_filter import LeafFilter
from migrate.rules.pattern import Pattern
from migrate.rules.recorded_tree import is_recorded_tree
from migrate.rules.requirement import Requirement
from migrate.rules.source import Value
from migrate.tree import KeyPath

Layout = Literal["state", "pure_dict", "items"]
ArrayStorage = Literal["zarr", "huggingface"]
CodeKind = Literal["target.template", "call", "probe"]
InitKind = Literal["zeros", "ones", "constant", "rng", "template"]


@dataclass(frozen=True, slots=True)
class RuleOp:
    """An op in a rule's list.

    Attributes:
      over: the capture that it reduces or extends over, located at `over_span`.
      of: the name in `from:` of the only array that it applies to; None for all arrays.
      names_span: the location of the names in `of`, also of an op that combines arrays.
    """

    op: Op
    over: str | None
    span: Span
    over_span: Span | None = None
    of: str | None = None
    names_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """The initial value of a created leaf; `value` is the constant or the seed."""

    kind: InitKind
    value: int | float | bool | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A rule that moves sources to targets through ops; a rename if there are no ops.

    Attributes:
      moments: the treatment of these params' optimizer moments. None moves them unless the optimizer depends on the
        division into tensors; an explicit `follow` moves them in that case too; `reset` initializes them again.
      left_out: the leaves that the `except` of an include takes out of the rule, which may then match nothing.
      names: the name of each of `sources`; empty if `from:` binds none.
      maybe: the names that may be absent.
      copy: whether it takes leaves without claiming them: other rules may take them too.
      reverse: whether it leads back where the rules are applied in reverse.
      target_spans: the location of each of `targets`; empty if unknown.
    """

    sources: tuple[Pattern, ...]
    targets: tuple[Pattern, ...]
    span: Span
    ops: tuple[RuleOp, ...] = ()
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    moments: Literal["follow", "reset"] | None = None
    left_out: tuple[LeafFilter, ...] = ()
    names: tuple[str, ...] = ()
    maybe: frozenset[str] = frozenset()
    copy: bool = False
    reverse: bool = True
    target_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)

    @property
    def bound(self) -> tuple[str, ...]:
        """The names of `sources`; their positions if `from:` binds none."""
        return self.names or tuple(map(str, range(len(self.sources))))

    @property
    def reset_moments(self) -> bool:
        """Whether the moments are initialized again."""
        return self.moments == "reset"


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule that drops sources; `left_out` is as in `Move`.

    Attributes:
      assert_zero: whether all their values have to be zero.
      equal: the source leaf that each of them has to equal, after `ops`.
    """

    sources: tuple[Pattern, ...]
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    assert_zero: bool = False
    left_out: tuple[LeafFilter, ...] = ()
    equal: Pattern | None = None
    ops: tuple[RuleOp, ...] = ()


@dataclass(frozen=True, slots=True)
class Create:
    """A rule that creates target leaves without a source; `left_out` as in `Move`, for target leaves."""

    targets: tuple[Pattern, ...]
    init: Init
    span: Span
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    left_out: tuple[LeafFilter, ...] = ()


Rule = Move | Drop | Create


@dataclass(frozen=True, slots=True)
class ConfigRule:
    """A rule for the hyperparameters of the record, or for the content of a JSON item.

    It moves names (`target` and no `value`), drops them (no `target`), or gives the target a value.

    Attributes:
      item: the name of the JSON item; empty for the record.
      span: its location; None if a plan file names no known one.
      sources: the names that it moves, drops or replaces by the value.
      value: a constant, or a formula over names that the config has before the rules.
    """

    span: Span | None
    item: str = ""
    sources: tuple[Pattern, ...] = ()
    target: Pattern | None = None
    value: Term | None = None
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """A reference to another rule file whose rules are used below a place in the source and a place in the target.

    Attributes:
      excepts: patterns of leaves that its rules do not apply to, in the coordinates of the including file.
      args: values of its arguments, by name.
      only: patterns of the leaves that its rules apply to, in the coordinates of the including file; none for all.
      optional: whether its rules may match nothing.
      config: the place of its names in the model's configuration.
      requires: whether its requirements apply.
    """

    file: str
    span: Span
    under: Pattern | None = None
    to: Pattern | None = None
    excepts: tuple[Pattern, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[Pattern, ...] = ()
    optional: bool = False
    config: KeyPath = ()
    requires: bool = True


@dataclass(frozen=True, slots=True)
class Guard:
    """The requirements for the source, compared with the checkpoint's metadata and tree before planning.

    `unbox` and `separator` decide how its key paths are read.
    """

    model: str | None = None
    version: int | str | None = None
    structure: str | None = None
    unbox: Literal["auto", "never"] = "auto"
    separator: str | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class OtherSource:
    """A source beside the main one, by whose name its key paths begin.

    Attributes:
      path: the checkpoint, with relative paths joined to the folder of the rule file; None if it has to be given.
      guard: the requirements, as for the main source.
    """

    path: str | None = None
    guard: Guard = Guard()
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The target of the rules: model, template and layout.

    `storage` stores arrays as files of plain zarr or as a folder of Hugging Face rather than in an OCDBT database.
    """

    model: str | None = None
    version: int | str | None = None
    template: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    structure: str | None = None
    layout: Layout | None = None
    storage: ArrayStorage | None = None
    span: Span | None = None
    template_span: Span | None = None

    @property
    def plain_zarr(self) -> bool:
        """Whether arrays are files of plain zarr."""
        return self.storage == "zarr"


@dataclass(frozen=True, slots=True)
class CodeReference:
    """Code that a rule file names.

    Attributes:
      kind: the field that names it.
      spec: `module:attribute`.
      file: the name of the rule file.
      places: the real paths of the files with this name that were read; none if its text came from elsewhere.
      args: the keyword arguments that the rule file passes.
      span: its location.
      arrays: the names of the arrays that a `call` passes as keyword arguments; empty where it passes one array.
    """

    kind: CodeKind
    spec: str
    file: str
    places: tuple[str, ...]
    args: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    arrays: tuple[str, ...] = ()


CalledFunction = tuple[str, tuple[str, ...]]
"""`module:function`, and the names of the arrays that it gets as keyword arguments."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A whole rule file.

    Attributes:
      path: the file as the user named it.
      digest: `sha256:` of the bytes of the file and its includes; recorded in the metadata of the new checkpoint.
      follow: whether optimizer moments follow their params.
      unmatched_source: the treatment of source leaves that no rule names and the target lacks.
      unmatched_target: the treatment of target leaves that no rule fills.
      text: the source text, for excerpts in diagnostics.
      probe: the function that compares outputs of the old and the new model, as `module:function`.
      probe_span: the location of its name.
      probe_atol, probe_rtol: the absolute and the relative tolerance of that comparison; None is the default.
      files: the name and the real path of each file that was read, includes too.
      planned: the number of rules for leaves, where the tasks of a plan file stand for them; then `rules` is empty.
      calls: functions of `call` ops, with the names of their arrays and their places, where the ops are those of a plan
        file.
      config: the rules for hyperparameters and JSON items, those of a plan file included.
      args: the arguments that the call gives other values than the defaults of the file, by name.
      requires: the values that the model's configuration and arguments have to have.
      arguments: the arguments that the model's configuration can state, those of included files too.
      model_config: the configuration that the call names; None for that of the checkpoint.
      reload: reads the same files with the configurations of the sources' models; None where they read none.
      sources: the sources beside the main one, by name.
    """

    path: str
    digest: str
    rules: tuple[Rule, ...]
    name: str = ""
    source: Guard = Guard()
    target: Target = Target()
    follow: bool = True
    unmatched_source: Literal["error", "drop"] = "error"
    unmatched_target: Literal["error", "template"] = "error"
    text: str = ""
    probe: str | None = None
    probe_span: Span | None = None
    probe_atol: float | None = None
    probe_rtol: float | None = None
    files: tuple[tuple[str, str], ...] = ()
    planned: int | None = None
    calls: tuple[tuple[CalledFunction, Span], ...] = ()
    config: tuple[ConfigRule, ...] = ()
    args: Mapping[str, Value] = field(default_factory=dict)
    requires: tuple[Requirement, ...] = ()
    sources: Mapping[str, OtherSource] = field(default_factory=dict)
    arguments: tuple[ArgumentValue, ...] = ()
    model_config: ModelConfig | None = None
    reload: Callable[[Mapping[str, ModelConfig]], RuleSet] | None = field(default=None, compare=False, repr=False)

    def configs(self, found: Mapping[str, ModelConfig]) -> Mapping[str, ModelConfig]:
        """Returns the configurations of sources, with the one that the call names as that of the main source."""
        return found if self.model_config is None else {**found, "": self.model_config}

    def for_models(self, found: Mapping[str, ModelConfig]) -> RuleSet:
        """Returns the rules with the values of arguments that the configurations of the sources' models state.

        Args:
          found: the configurations beside the tensors, by the names of the sources; that of the main source under "".

        Raises:
          RuleFileError: an argument cannot have such a value (`InvalidModelArgument`).
        """
        configs = {name: one for name, one in self.configs(found).items() if not one.problem}
        if self.reload is None or not configs:
            return self
        read = self.reload(configs)
        target = replace(self.target, args=read.target.args)
        taken = {name: getattr(read, name) for name in ("rules", "config", "requires", "arguments")}
        return replace(self, target=target, **taken)

    def stored_as(self, storage: ArrayStorage | None) -> RuleSet:
        """Returns the rules with another storage of the target, as if the file had it; None keeps that of the file."""
        return self if storage is None else replace(self, target=replace(self.target, storage=storage))

    @property
    def count(self) -> int:
        """The number of rules, those for the config and those that a plan file has carried out included."""
        return (len(self.rules) if self.planned is None else self.planned) + len(self.config)

    @property
    def template_code(self) -> tuple[CodeReference, ...]:
        """The callable of the template; empty if the file names none, or a recorded tree."""
        target = self.target
        if target.template is None or is_recorded_tree(target.template):
            return ()
        return (self._reference("target.template", target.template, target.template_span, target.args),)

    @property
    def call_code(self) -> tuple[CodeReference, ...]:
        """The functions of `call` ops, each once for the arrays that it gets."""
        found = {
            (spec, span.file, names): replace(self._reference("call", spec, span), arrays=names)
            for (spec, names), span in self.calls
        }
        for rule in self.rules:
            for rule_op in rule.ops if isinstance(rule, Move) else ():
                spec = rule_op.op.code
                if spec is not None:
                    arrays = rule_op.op.names if rule_op.op.combines else ()
                    reference = replace(self._reference("call", spec, rule_op.span), arrays=arrays)
                    found.setdefault((spec, rule_op.span.file, arrays), reference)
        return tuple(found.values())

    @property
    def probe_code(self) -> tuple[CodeReference, ...]:
        """The function of the probe; empty if the file names none."""
        return (self._reference("probe", self.probe, self.probe_span),) if self.probe else ()

    def _reference(
        self, kind: CodeKind, spec: str, span: Span | None, args: Mapping[str, Any] | None = None
    ) -> CodeReference:
        file = span.file if span else self.path
        places = tuple(place for name, place in self.files if name == file)
        return CodeReference(kind, spec, file, places, args or {}, span)
