"""Blocks that could be exchanged are those of the comparison of every block with every other one."""

from hypothesis import given
from hypothesis import strategies as st

from migrate.planning.suggest.rivals import BlockMatch, Rivals, could_swap, keeps_path
from migrate.planning.suggest.scope import LayerUnit, SequenceMember
from migrate.planning.suggest.values import ModelArray, StackedPart

SHAPES = st.sampled_from([(2, 2), (4,), (2, 3), (3, 2)])
NODES = st.builds(
    lambda stem, number: (f"{stem}{number}",),
    st.sampled_from(["block_", "Dense_", "layer", "w"]),
    st.sampled_from(["", "0", "1", "2", "10"]),
) | st.builds(lambda number: ("blocks", str(number)), st.integers(0, 3))


@st.composite
def members(draw, node):
    numbers = tuple(int(digits) for digits in ["".join(filter(str.isdigit, node[-1]))] if digits)
    part = draw(st.none() | st.none() | st.builds(StackedPart, st.just(0), st.integers(0, 2), st.just(3)))
    return SequenceMember(node, (part.index,) if part else numbers if draw(st.booleans()) else (), part)


@st.composite
def units(draw):
    names = draw(st.sampled_from([("kernel",), ("bias", "kernel"), ("scale",)]))
    leaves = tuple((name, ModelArray(draw(SHAPES))) for name in names)
    return LayerUnit(draw(NODES), leaves, loose=False)


@st.composite
def blocks(draw):
    source, target = draw(st.none() | units() | units()), draw(units())
    chosen = None
    if source is not None and draw(st.booleans()):
        chosen = draw(members(source.path)), draw(members(target.path))
    layer = draw(st.booleans()) and not (chosen and any(member.part for member in chosen))
    return BlockMatch(source, target, range(0), chosen, layer=layer, run=draw(st.sampled_from([None, None, 1, 2])))


def sizes(block):
    sides = [unit for unit in (block.source, block.target) if unit is not None]
    return [sorted(item.shape[0] * (item.shape[1:] or (1,))[0] for _, item in unit.leaves) for unit in sides]


def compared(block, scope, *, lead, top):
    """The rivals of a block by the comparison with every other one."""
    return [
        one
        for one in scope
        if one is not block
        and any(size in sizes(one) for size in sizes(block))
        and not (top and keeps_path(block) and keeps_path(one))
        and could_swap(block, one, lead=lead)
    ]


@given(st.lists(blocks(), max_size=12), st.booleans(), st.booleans())
def test_rivals_are_those_of_the_comparison_with_every_block(scope, lead, top):
    known = Rivals(scope, lead=lead, top=top)
    for block in scope:
        if block.source is not None:
            found = known.of(block)
            assert sorted(map(id, compared(block, scope, lead=lead, top=top))) == sorted(map(id, found))


def layers(count, order=lambda number: number):
    """The matches of a list of equal layers that the user numbered, with the numbers of their targets."""
    leaves = (("kernel", ModelArray((2, 2))),)
    made = []
    for number in range(count):
        mine, theirs = (f"layer{number}",), ("layers", str(order(number)))
        pair = SequenceMember(mine, (number,)), SequenceMember(theirs, (order(number),))
        made.append(BlockMatch(LayerUnit(mine, leaves), LayerUnit(theirs, leaves), range(0), pair, layer=True))
    return made


def test_layers_in_the_order_of_their_numbers_are_told_apart_without_comparing_them(monkeypatch):
    compared = []
    monkeypatch.setattr("migrate.planning.suggest.rivals.could_swap", lambda *pair, **_: compared.append(pair))
    scope = layers(300)
    known = Rivals(scope, lead=False, top=True)

    assert [[]] * 300 == [known.of(block) for block in scope]
    assert [] == compared


def test_layers_in_another_order_are_rivals():
    scope = layers(3, order=lambda number: 2 - number)
    known = Rivals(scope, lead=False, top=True)

    assert [2, 2, 2] == [len(known.of(block)) for block in scope]
