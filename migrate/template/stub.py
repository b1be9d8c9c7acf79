"""The tree of a checkpoint as Python code: a template that works at once, until the new model replaces it.

Layers that differ only in their number are written once, in a comprehension, and a subtree that occurs at several
places becomes a function. The code grows with the number of different layers, not with the number of leaves.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Literal

from migrate import dtypes
from migrate.tree import AbstractLeaf, AbstractTree, KeyPath, stored_path

FUNCTION = "make_state"
"""The name of the template's callable."""

_WIDTH = 100
"""The number of columns of the code."""

_ALIKE = 8
"""The smallest number of equal leaves of one node, with names without numbers, that are written as a list of names."""

_LEAST = 3
"""The smallest number of leaves of a subtree that becomes a function."""

_DEEPEST = 40
"""The largest depth of one expression: Python reads no more than 200 brackets inside each other."""

_NUMBER = re.compile(r"(?s)(?P<start>.*?)(?P<number>0|[1-9][0-9]*)(?P<end>[^0-9]*)")
_SCALARS = {"bool": "False", "int64": "0", "float64": "0.0"}
_EMPTY = {"dict": "{}", "list": "[]", "tuple": "()"}
_TAKEN = frozenset({FUNCTION, "jax", "i", "dict", "range", "str"})
"""Names in the code that no other function can have."""

_BRACKETS = {"dict": ("{", "}"), "list": ("[", "]"), "tuple": ("(", ")")}

_Kind = Literal["leaf", "dict", "list", "tuple"]


class InexpressibleTreeError(ValueError):
    """No pytree has these key paths: a node is a leaf as well, or the whole is one leaf."""


def stub_code(tree: AbstractTree) -> str:
    """Returns the code of a function `make_state` that returns a tree of `jax.ShapeDtypeStruct`s, with its imports.

    Args:
      tree: the tree; leaves that no template can have (`opaque`) are left out.

    Raises:
      InexpressibleTreeError: it is not a tree of containers.
    """
    keys = sorted({leaf.aval.dtype for leaf in tree.leaves.values() if leaf.aval and _is_key(leaf.aval.dtype)})
    lines = ["import jax"] if keys else []
    lines += ["from jax import ShapeDtypeStruct as Array", *[""] * bool(keys)]
    lines += [f"{_key_name(name)} = jax.random.key(0, impl={_key_impl(name)!r}).dtype" for name in keys]
    lines += _Writer(_Forest.of(tree)).functions()
    return "\n".join(lines) + "\n"


def stub_tree(tree: AbstractTree) -> AbstractTree:
    """Returns the tree of the function's result, as the planner sees it."""
    leaves = {path: _stub_leaf(leaf) for path, leaf in tree.leaves.items() if leaf.kind != "opaque"}
    return AbstractTree(leaves, tree.containers)


def _stub_leaf(leaf: AbstractLeaf) -> AbstractLeaf:
    """Returns a leaf without what a template does not state; Python's numbers have three dtypes only."""
    is_number = leaf.kind == "scalar" and leaf.aval is not None and leaf.aval.dtype in _SCALARS
    kind = "array" if leaf.kind == "scalar" and not is_number else leaf.kind
    return AbstractLeaf(kind, leaf.aval, container=leaf.container, box=leaf.box)


def _is_key(dtype: str) -> bool:
    return dtypes.key_impl(dtype) is not None


def _key_impl(dtype: str) -> str:
    return dtypes.KEY_IMPLS[dtypes.key_impl(dtype) or ""]


def _key_name(dtype: str) -> str:
    return f"KEY_{dtypes.key_impl(dtype)}".upper()


def _leaf_code(leaf: AbstractLeaf) -> str:
    leaf = _stub_leaf(leaf)
    if leaf.kind == "scalar" and leaf.aval is not None:
        return _SCALARS[leaf.aval.dtype]
    if leaf.aval is None:
        return {"string": '""', "none": "None"}.get(leaf.kind) or _EMPTY[leaf.container]
    dtype = _key_name(leaf.aval.dtype) if _is_key(leaf.aval.dtype) else f'"{leaf.aval.dtype}"'
    return f"Array({leaf.aval.shape}, {dtype})"


@dataclass(frozen=True, slots=True)
class _Node:
    """A subtree: the code of a leaf, or a container with the numbers of its children by name."""

    kind: _Kind
    code: str = ""
    children: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class _Forest:
    """The different subtrees of a tree. Equal ones have one number, which is above those of their children."""

    nodes: list[_Node] = field(default_factory=list)
    numbers: dict[_Node, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: AbstractTree) -> _Forest:
        """Returns the subtrees of a tree, which is the last one."""
        children: dict[KeyPath, dict[str, KeyPath]] = {(): {}}
        codes: dict[KeyPath, str] = {}
        for path, leaf in tree.leaves.items():
            if leaf.kind == "opaque":
                continue
            stored = stored_path(path, leaf)
            codes[stored] = _leaf_code(leaf)
            for depth in range(len(stored)):
                children.setdefault(stored[:depth], {})[stored[depth]] = stored[: depth + 1]
        if not children[()] or codes.keys() & children.keys():
            raise InexpressibleTreeError
        made = cls()
        numbers = {path: made.number(_Node("leaf", code)) for path, code in codes.items()}
        for path in sorted(children, key=len, reverse=True):
            below = tuple((name, numbers[child]) for name, child in children[path].items())
            numbers[path] = made.number(_Node(_container(tree, path, below), "", below))
        return made

    def number(self, node: _Node) -> int:
        """Returns the number of a subtree."""
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.numbers[node]

    @cached_property
    def entries(self) -> list[list[_Entry]]:
        """The code of each container as entries, each of which is written once."""
        return [list(_entries(node)) for node in self.nodes]


def _container(tree: AbstractTree, path: KeyPath, children: Sequence[tuple[str, int]]) -> _Kind:
    """Returns the kind of a node; a list without some of its elements, which were left out, is written as a dict."""
    kind = tree.container(path)
    return kind if [name for name, _ in children] == [str(at) for at in range(len(children))] else "dict"


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a container: one child, or several equal ones.

    Attributes:
      child: the number of the subtree.
      before, after: the code around the child's own.
      names: the names of the children.
      lists_names: whether the code before the child's own lists the names.
    """

    child: int
    before: str
    after: str
    names: tuple[str, ...]
    lists_names: bool = False


def _entries(node: _Node) -> Iterator[_Entry]:
    """Yields the entries, in the order of their first children."""
    if node.kind in ("list", "tuple"):
        yield from _runs(node.children)
        return
    groups: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for name, child in node.children:
        found = _NUMBER.fullmatch(name)
        groups[child, *((found["start"], found["end"]) if found else (name, ""))].append(name)
    alike = Counter(child for (child, _, _), names in groups.items() if len(names) == 1)
    listed: set[int] = set()
    for (child, start, end), names in groups.items():
        if len(names) > 1:
            numbers = [int(name[len(start) : len(name) - len(end)]) for name in names]
            yield _Entry(child, f"**{{{_key(start, end)}: ", f" for i in {_numbers_code(numbers)}}}", tuple(names))
        elif alike[child] < _ALIKE:
            yield _Entry(child, f"{_quoted(names[0])}: ", "", tuple(names))
        elif child not in listed:
            listed.add(child)
            equal = [one[0] for (other, _, _), one in groups.items() if other == child and len(one) == 1]
            yield _Entry(
                child, f"**dict.fromkeys([{', '.join(map(_quoted, equal))}], ", ")", tuple(equal), lists_names=True
            )


def _runs(children: Sequence[tuple[str, int]]) -> Iterator[_Entry]:
    """Yields the elements of a list, equal neighbors together."""
    for child, run in groupby(children, key=lambda pair: pair[1]):
        names = tuple(name for name, _ in run)
        yield _Entry(child, *(("", "") if len(names) == 1 else ("*[", f" for _ in range({len(names)})]")), names)


def _key(start: str, end: str) -> str:
    """Returns the code of a name with the number `i` between two texts."""
    if not start + end:
        return "str(i)"
    braced = [text.replace("{", "{{").replace("}", "}}") for text in (start, end)]
    code = _quoted("{i}".join(braced))
    return f"f{code}" if "\\" not in code else f"{start!r} + str(i) + {end!r}"


def _quoted(text: str) -> str:
    code = repr(text)
    return code if '"' in code else f'"{code[1:-1]}"'


def _numbers_code(numbers: Sequence[int]) -> str:
    """Returns the code of numbers: a range where they have one distance."""
    first, step = numbers[0], numbers[1] - numbers[0]
    if step < 1 or any(number != first + at * step for at, number in enumerate(numbers)):
        return str(tuple(numbers))
    stop = numbers[-1] + 1
    bounds = [stop] if (first, step) == (0, 1) else [first, stop, *([step] if step > 1 else [])]
    return f"range({', '.join(map(str, bounds))})"


class _Writer:
    """Writes a forest as functions."""

    def __init__(self, forest: _Forest) -> None:
        self._forest = forest
        self._names = self._shared()
        self._flat: dict[int, str] = {}

    def functions(self) -> Iterator[str]:
        """Yields the lines of all functions, each with two empty lines before it."""
        root = len(self._forest.nodes) - 1
        for number, name in [*sorted(self._names.items()), (root, FUNCTION)]:
            yield from ("", "", f"def {name}():", *self._lines(number, "return ", "", 4))

    def _shared(self) -> dict[int, str]:
        """Returns the names of subtrees that become functions, by number: those at several places, and deep ones."""
        entries = self._forest.entries
        uses = Counter(entry.child for each in entries for entry in each)
        sizes, depths = [0] * len(entries), [0] * len(entries)
        shared: set[int] = set()
        for number, each in enumerate(entries):
            sizes[number] = sum(sizes[entry.child] for entry in each) or 1
            depths[number] = max((depths[entry.child] for entry in each), default=0) + 1
            if (uses[number] > 1 and sizes[number] >= _LEAST and each) or depths[number] > _DEEPEST:
                shared.add(number)
                sizes[number], depths[number] = 1, 1
        return dict(self._named(shared - {len(entries) - 1}))

    def _named(self, shared: set[int]) -> Iterator[tuple[int, str]]:
        """Yields a name for each subtree: that of its place nearest to the root."""
        taken, seen = set(_TAKEN), {len(self._forest.nodes) - 1}
        level = [(len(self._forest.nodes) - 1, "state")]
        while level:
            below = []
            for number, name in level:
                if number in shared:
                    yield number, _free(name, taken)
                for entry in self._forest.entries[number]:
                    if entry.child not in seen:
                        seen.add(entry.child)
                        below.append((entry.child, _identifier(entry.names[0], name)))
            level = below

    def _code(self, number: int, *, whole: bool = False) -> str:
        """Returns a subtree in one line: a call of its function, unless the whole is asked for."""
        if not whole and number in self._names:
            return f"{self._names[number]}()"
        if number not in self._flat:
            node, entries = self._forest.nodes[number], self._forest.entries[number]
            parts = [f"{entry.before}{self._code(entry.child)}{entry.after}" for entry in entries]
            if node.kind == "leaf":
                self._flat[number] = node.code
            elif (bare := _bare(node, entries)) is not None:
                self._flat[number] = f"{bare[0]}{self._code(entries[0].child)}{bare[1]}"
            else:
                opening, closing = _BRACKETS[node.kind]
                comma = "," if node.kind == "tuple" and len(parts) == 1 else ""
                self._flat[number] = f"{opening}{', '.join(parts)}{comma}{closing}"
        return self._flat[number]

    def _lines(self, number: int, before: str, after: str, indent: int, *, whole: bool = True) -> Iterator[str]:
        """Yields a subtree in as few lines as fit."""
        node, entries = self._forest.nodes[number], self._forest.entries[number]
        code = f"{before}{self._code(number, whole=whole)}{after}"
        pad = " " * indent
        if indent + len(code) <= _WIDTH or not entries or (not whole and number in self._names):
            yield f"{pad}{code}"
            return
        if (bare := _bare(node, entries)) is not None:
            yield from self._lines(entries[0].child, before + bare[0], bare[1] + after, indent, whole=False)
            return
        opening, closing = _BRACKETS[node.kind]
        yield f"{pad}{before}{opening}"
        for entry in entries:
            width = indent + len(entry.before) + len(self._code(entry.child)) + len(entry.after) + 5
            if entry.lists_names and width > _WIDTH:
                yield from self._with_names(entry, indent + 4)
            else:
                yield from self._lines(entry.child, entry.before, f"{entry.after},", indent + 4, whole=False)
        yield f"{pad}{closing}{after}"

    def _with_names(self, entry: _Entry, indent: int) -> Iterator[str]:
        """Yields an entry in lines with the names of equal children."""
        pad = " " * indent
        yield f"{pad}**dict.fromkeys("
        yield f"{pad}    ["
        line = ""
        for name in map(_quoted, entry.names):
            if line and len(pad) + len(line) + len(name) + 10 > _WIDTH:
                yield f"{pad}        {line}"
                line = ""
            line += f"{' ' * bool(line)}{name},"
        yield from (f"{pad}        {line}", f"{pad}    ],")
        yield from self._lines(entry.child, "", ",", indent + 4, whole=False)
        yield f"{pad}),"


def _bare(node: _Node, entries: Sequence[_Entry]) -> tuple[str, str] | None:
    """Returns the code around the child of a container that is one comprehension: without `**{}` or `*[]` around it."""
    if len(entries) != 1 or node.kind == "tuple":
        return None
    entry = entries[0]
    if entry.before.startswith("**{"):
        return entry.before[2:], entry.after
    return (entry.before[1:], entry.after) if entry.before.startswith("*[") else None


def _identifier(segment: str, parent: str) -> str:
    """Returns a name for a function: the segment without its number, or that of its parent."""
    name = re.sub(r"[^0-9a-zA-Z]+", "_", re.sub(r"[0-9]+$", "", segment)).strip("_").lower()
    if not name.isidentifier():
        return parent if parent.endswith("_item") else f"{parent}_item"
    return f"{name}_" if keyword.iskeyword(name) else name


def _free(name: str, taken: set[str]) -> str:
    """Returns the name, or the name with a number if it is taken."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found
