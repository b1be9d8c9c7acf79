"""Modules of a scope, and the sequences that their numbers form."""

from migrate.planning.suggest.scope import ModuleIndex, layer_units
from migrate.planning.suggest.values import ModelArray


def scope(shapes):
    return {tuple(path.split("/")): ModelArray(shape) for path, shape in shapes.items()}


def sequences(shapes):
    return {tuple("/".join(m.node) for m in s.members) for s in ModuleIndex(scope(shapes)).sequences}


def test_modules_that_differ_in_a_number_are_a_sequence_in_its_order():
    leaves = {f"Block_{i}/a/kernel": (3,) for i in (10, 2, 1)} | {f"Block_{i}/b/kernel": (3,) for i in (10, 2, 1)}
    assert ("Block_1", "Block_2", "Block_10") in sequences(leaves)


def test_two_numbers_make_sequences_of_each_and_of_both():
    leaves = {f"s_{i}/b_{j}/{n}/w": (3,) for i in range(2) for j in range(2) for n in "xy"}
    found = sequences(leaves)
    assert ("s_0/b_0", "s_0/b_1", "s_1/b_0", "s_1/b_1") in found
    assert {("s_0/b_0", "s_0/b_1"), ("s_0/b_1", "s_1/b_1")} <= found


def test_a_module_that_only_holds_another_is_left_out():
    assert {("outer/inner",)} == sequences({"outer/inner/kernel": (3,), "outer/inner/bias": (3,)})


def test_arrays_of_one_size_along_an_axis_are_a_stack():
    modules = ModuleIndex(scope({"scan/a/kernel": (3, 4, 5), "scan/b/kernel": (3, 5, 4)}))
    stacks = {(s.node, s.members[0].part.axis): len(s.members) for s in modules.stacked([3])}
    assert 3 == stacks[("scan",), 0]
    assert (("scan",), 1) not in stacks
    first = next(s for s in modules.stacked([3]) if s.node == ("scan",)).members[0]
    assert {("a", "kernel"): (4, 5), ("b", "kernel"): (5, 4)} == {p: a.shape for p, a in modules.inside(first).items()}


def test_a_single_layer_is_a_stack_only_for_a_wanted_number_of_parts():
    modules = ModuleIndex(scope({"scan/kernel": (3, 4)}))
    assert [] == [s for s in modules.stacked([]) if s.node == ("scan",)]
    assert [3] == [len(s.members) for s in modules.stacked([3]) if s.node == ("scan",)]


def test_arrays_of_one_layer_are_one_unit_and_others_are_loose():
    units = layer_units(scope({"d/kernel": (3,), "d/bias": (3,), "pos": (4,), "d/extra": (2,)}))
    assert [("d", False, 2), ("d/extra", True, 1), ("pos", True, 1)] == [
        ("/".join(u.path), u.loose, len(u.leaves)) for u in units
    ]
    assert [("d", "kernel"), ("pos",)] == [units[0].leaf("kernel"), units[2].leaf("pos")]


class _Counted(dict):
    """A scope that counts how often its arrays are looked up."""

    looks = 0

    def __getitem__(self, path):
        _Counted.looks += 1
        return super().__getitem__(path)

    def __iter__(self):
        _Counted.looks += len(self)
        return super().__iter__()


def test_looking_for_stacked_modules_grows_with_the_number_of_arrays():
    looks = []
    for count in (50, 100):
        arrays = {("blocks", str(i), name): ModelArray((3, 4)) for i in range(count) for name in ("kernel", "bias")}
        modules = ModuleIndex(_Counted(arrays))
        _ = modules.below
        _Counted.looks = 0
        modules.stacked({3})
        looks.append(_Counted.looks)

    assert looks[1] < 2.2 * looks[0]
