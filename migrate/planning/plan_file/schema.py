"""The fields of a plan file, declared with the types of rule files."""

from __future__ import annotations

from migrate.codes import InvalidPlanFile
from migrate.planning.plan_file.leaf_text import LeavesType
from migrate.rules.config_type import ConfigRuleType
from migrate.rules.field_types import (
    INT,
    AnyMappingType,
    ArgumentsType,
    ChoiceType,
    Field,
    ListType,
    MapOfType,
    MappingType,
    OneOrManyType,
    StringType,
)
from migrate.rules.schema import HASH, SOURCE, TARGET

VERSION = 1
"""The version of the format."""

VERSION_FIELD = "migrate_plan"

_TEXT = StringType(r"(?s:.*)", "text")
_RULE = Field("rule", StringType(r"(?s:.+):\d{1,9}:\d{1,9}", "`file:line:column`"), "the place of the rule")
_INDICES = ListType(INT, "a list of indices")
_SPEC = ListType(ListType(StringType(), "a list of axes"), "a list with the axes of each dimension")
_CHUNKS = ListType(ListType(INT, "a list of sizes"), "a list with the shape of a chunk, or of a shard and a chunk")
_SEQUENCES = Field("containers", MapOfType(ChoiceType(("list", "tuple"))), "the nodes that are lists or tuples")

RULES = MappingType(
    "`rules`",
    (
        Field("file", _TEXT, "the name of the rule file", required=True),
        Field("digest", HASH, "the digest of the rule file and its includes", required=True),
        Field("count", INT, "the number of rules", required=True),
        Field("name", _TEXT, "the name of the migration"),
        Field("args", ArgumentsType(), "the arguments of the rule file that have other values than its defaults"),
    ),
)

PLANNED_SOURCE = MappingType(
    "`source`",
    (
        *SOURCE.fields,
        _SEQUENCES,
        Field("json", MapOfType(ChoiceType(("kept", "dropped"))), "what becomes of JSON items"),
        Field("sources", MapOfType(MappingType("a source", SOURCE.fields)), "the requirements for each named source"),
    ),
)

PLANNED_TARGET = MappingType(
    "`target`",
    (
        *(Field("template", _TEXT, one.doc) if one.name == "template" else one for one in TARGET.fields),
        _SEQUENCES,
        Field("mesh", MapOfType(INT), "the axes of the device mesh"),
        Field("specs", MapOfType(_SPEC), "the axes over which each dimension of a leaf is split"),
        Field("chunks", MapOfType(_CHUNKS), "the chunks that were chosen for leaves, after the shards of zarr 3"),
    ),
)

MODEL = MappingType(
    "`model`",
    (
        Field("graph_digest", _TEXT, "the digest of its graph definition"),
        Field("code_digests", MapOfType(_TEXT), "the digests of its code, by module"),
        Field("hyperparameters", AnyMappingType(), "its plain attributes"),
        Field("transforms", ListType(_TEXT, "a list of names"), "optax's names of the transforms of its optimizers"),
    ),
)

TASK = MappingType(
    "a task",
    (
        Field("from", LeavesType(), "the source leaves, in order", required=True),
        Field("to", LeavesType(), "the target leaves", required=True),
        Field(
            "ops",
            ListType(OneOrManyType(_TEXT), "a list of ops"),
            "ops applied to the arrays, in order; a list has the op of each group where the template's leaves differ",
        ),
        Field(
            "groups",
            ListType(ListType(_INDICES, "a list of groups"), "a list with the groups of each op"),
            "for each op, the arrays that each call gets, where that is not evident; empty where it is",
        ),
        Field("outputs", _INDICES, "for each target, the index of its array, where that is not evident"),
        Field("proof", ChoiceType(("name", "shape", "none")), "the evidence for the assignment (default: none)"),
        Field("follows", _TEXT, "the param whose rule a moment follows"),
        Field("state", _TEXT, "optax's name of the transform"),
        Field("remark", _TEXT, "the meaning of a count"),
        _RULE,
    ),
)

DROPPED = MappingType(
    "a dropped leaf",
    (
        Field("from", LeavesType(), "the source leaf", required=True),
        Field("assert", ChoiceType(("zero",)), "refuses to drop a leaf with a value that is not zero"),
        Field("equal", _TEXT, "the source leaf that has to have the same values, after the ops"),
        Field("ops", ListType(_TEXT, "a list of ops"), "ops applied to the leaf before it is compared"),
        _RULE,
    ),
)

CREATED = MappingType(
    "a created leaf",
    (
        Field("to", LeavesType(), "the target leaf", required=True),
        Field("init", _TEXT, "its initial value, as in a rule file"),
        Field("remark", _TEXT, "why a count starts again"),
        _RULE,
    ),
)

CONFIG = ConfigRuleType((_RULE,))

NOTE = MappingType(
    "a note",
    (
        Field("code", StringType(r"M\d{3}", "the number of a diagnostic"), "its number", required=True),
        Field("severity", ChoiceType(("warning", "note")), "its severity", required=True),
        Field("message", _TEXT, "its message", required=True),
        Field("label", _TEXT, "its label"),
        Field("paths", ListType(_TEXT, "a list of key paths"), "the leaves concerned"),
        Field("help", _TEXT, "the next step"),
        Field("snippet", ListType(_TEXT, "a list of lines"), "lines of code"),
    ),
)

PLAN = MappingType(
    "a plan file",
    (
        Field(VERSION_FIELD, INT, "the version of the format", required=True),
        Field("rules", RULES, "the rule file", required=True),
        Field("source", PLANNED_SOURCE, "the structure that the plan is for", required=True),
        Field("target", PLANNED_TARGET, "the tree that the plan writes", required=True),
        Field("probe", _TEXT, "the function that compares outputs"),
        Field("model", MODEL, "what the record of the new checkpoint states about the template's model"),
        Field("tasks", ListType(TASK, "a list of tasks"), "what is moved", required=True),
        Field("dropped", ListType(DROPPED, "a list of leaves"), "what is left behind", required=True),
        Field("created", ListType(CREATED, "a list of leaves"), "what has no source", required=True),
        Field("config", ListType(CONFIG, "a list of rules"), "rules for hyperparameters and JSON items"),
        Field("notes", ListType(NOTE, "a list of notes"), "notes and warnings of the plan", required=True),
    ),
    missing=InvalidPlanFile,
)
