"""Suggestions end to end: placed leaves, listed leaves, and the comments on both; also covers `align`."""

import time

import pytest

from tests.planning.suggest.trees import moves, rules_of, suggested

DENSE = {"kernel": (4, 4), "bias": (4,)}


def layer(prefix, shapes=None):
    return {f"{prefix}/{name}": shape for name, shape in (shapes or DENSE).items()}


def test_a_checkpoint_that_fits_needs_no_rule():
    suggestion = suggested(layer("dense"), layer("dense"))
    assert [] == rules_of(suggestion)
    assert suggestion.plan.applicable


def test_a_whole_model_that_moved_is_one_rule():
    old = {**layer("conv"), **layer("head")}
    assert ['- "** -> model/**"'] == rules_of(suggested(old, {f"model/{path}": shape for path, shape in old.items()}))


def test_layers_that_fit_both_ways_are_marked_with_the_other_way():
    old = {**layer("params/Dense_0"), **layer("params/Dense_1")}
    suggestion = suggested(old, {**layer("up"), **layer("down")})
    assert {"params/Dense_0/kernel": "up/kernel", "params/Dense_1/kernel": "down/kernel"}.items() <= moves(
        suggestion
    ).items()
    assert "# unproved: Dense_0 and Dense_1 have the same shape; only their order supports this" in suggestion.text
    assert "#   or: params/Dense_0/** -> down/**" in suggestion.text
    assert "#   or: params/Dense_1/** -> up/**" in suggestion.text


def test_numbers_that_linen_gave_prove_nothing_about_layers_of_one_shape():
    old = {path: shape for i in range(3) for path, shape in layer(f"params/Dense_{i}").items()}
    new = {path: shape for i in range(3) for path, shape in layer(f"layers/{i}").items()}
    suggestion = suggested(old, new)
    assert ['- "params/Dense_{i}/** -> layers/{i}/**"'] == rules_of(suggestion)
    assert 6 == len(suggestion.doubts)


def test_numbers_that_somebody_gave_are_names():
    old = {path: shape for i in range(3) for path, shape in layer(f"params/hidden_{i}").items()}
    new = {path: shape for i in range(3) for path, shape in layer(f"layers/{i}").items()}
    suggestion = suggested(old, new)
    assert ['- "params/hidden_{i}/** -> layers/{i}/**"'] == rules_of(suggestion)
    assert {} == suggestion.doubts


def test_layers_in_the_reverse_order_are_found_by_their_shapes():
    old = {f"params/Dense_{i}/kernel": (4 + i, 5 + i) for i in range(3)}
    new = {f"layers/{2 - i}/kernel": (4 + i, 5 + i) for i in range(3)}
    assert ['- "params/Dense_{i}/kernel -> layers/{2-i}/kernel"'] == rules_of(suggested(old, new))


def test_flat_numbers_become_stages_by_arithmetic():
    old = {f"params/Block_{k}/{d}/kernel": (3 + k, 4) for k in range(6) for d in ("a", "b")}
    new = {f"stages/{k // 2}/{k % 2}/{d}/kernel": (3 + k, 4) for k in range(6) for d in ("a", "b")}
    assert ['- "params/Block_{i}/** -> stages/{i//2}/{i%2}/**"'] == rules_of(suggested(old, new))


def test_a_matrix_under_another_name_is_only_turned_with_a_mark():
    suggestion = suggested({"params/head/weight": (10, 4)}, {"head/kernel": (4, 10)})
    assert ['- {from: "params/head/weight", to: "head/kernel", ops: [{rearrange: "a b -> b a"}]}'] == rules_of(
        suggestion
    )
    assert "# unproved: only a transpose makes the shapes fit" in suggestion.text


def test_a_square_matrix_under_another_name_could_be_turned():
    suggestion = suggested({"params/head/weight": (4, 4)}, {"head/kernel": (4, 4)})
    assert "# unproved: the shape of a square matrix does not show a transpose" in suggestion.text
    assert '#   or: transposed: ops: [{rearrange: "a b -> b a"}]' in suggestion.text


def test_kernels_of_flax_are_never_turned():
    suggestion = suggested({"params/head/kernel": (10, 4)}, {"head/kernel": (4, 10)})
    assert ((("params", "head", "kernel"),), (("head", "kernel"),)) == (
        suggestion.unplaced_sources,
        suggestion.unplaced_targets,
    )


def test_what_finds_no_place_is_listed_and_refused():
    suggestion = suggested({**layer("params/dense"), "params/extra": (7,)}, {**layer("dense"), "new/scale": (9,)})
    assert not suggestion.plan.applicable
    assert "# not placed: source leaves" in suggestion.text
    assert "#   params/extra  float32[7]" in suggestion.text
    assert "#   new/scale  float32[9]" in suggestion.text


def test_running_averages_never_become_parameters():
    suggestion = suggested({"batch_stats/norm/mean": (4,)}, {"params/other/offset": (4,)})
    assert (("batch_stats", "norm", "mean"),) == suggestion.unplaced_sources


def test_another_dtype_is_a_cast_that_refuses_to_change_a_value():
    suggestion = suggested({"params/dense/kernel": (4, 5)}, {"dense/kernel": "bfloat16[4,5]"})
    assert "ops: [{cast: template}]" in rules_of(suggestion)
    assert "refused where a value would change" in suggestion.text
    assert suggestion.plan.applicable


def test_optimizer_state_follows_and_what_does_not_is_moved_by_its_own_name():
    old = {f"{root}/Dense_0/kernel": (3, 4) for root in ("params", "opt_state/0/mu")}
    old |= {"opt_state/0/count": "int32[]", "step": "int32[]"}
    new = {"model/head/kernel": (3, 4), "optimizer/opt_state/0/mu/head/kernel": (3, 4)}
    new |= {"optimizer/opt_state/0/count": "int32[]", "optimizer/step": "uint32[]"}
    suggestion = suggested(old, new)
    assert [
        '- "params/Dense_0/kernel -> model/head/kernel"',
        '- {from: "step", to: "optimizer/step", ops: [{cast: template}]}',
    ] == rules_of(suggestion)
    assert suggestion.plan.applicable


def test_a_model_without_an_optimizer_leaves_the_old_one_behind():
    old = {"params/dense/kernel": (3, 4), "opt_state/0/mu/dense/kernel": (3, 4), "step": "int32[]"}
    suggestion = suggested(old, {"dense/kernel": (3, 4)})
    assert "  # the template has no optimizer" in suggestion.text.splitlines()
    assert suggestion.plan.applicable


def test_an_optimizer_without_a_source_begins_anew():
    new = {"model/dense/kernel": (3, 4), "optimizer/opt_state/0/mu/dense/kernel": (3, 4), "optimizer/step": "uint32[]"}
    suggestion = suggested({"params/dense/kernel": (3, 4)}, new)
    assert '- create: {to: "optimizer/**", init: template}' in rules_of(suggestion)
    assert suggestion.plan.applicable


def test_random_streams_are_created_and_old_ones_are_left_behind():
    old = {"dense/kernel": (3, 4), "drop/rngs/dropout/key": "uint32[2]", "drop/rngs/dropout/count": "uint32[]"}
    suggestion = suggested(old, {"dense/kernel": (3, 4), "drop/rngs/key": "key<fry>[]", "drop/rngs/count": "uint32[]"})
    assert ['- drop: "**/rngs/**"', '- create: {to: "**/rngs/**", init: {rng: {seed: 0}}}'] == rules_of(suggestion)
    assert suggestion.plan.applicable


def test_blocks_that_were_cut_off_are_in_doubt_or_listed():
    """Six of twelve blocks remain; shapes do not show which."""
    old = {f"params/Block_{i}/{d}/kernel": (3, n) for i in range(12) for d, n in (("a", 4), ("b", 5))}
    new = {f"blocks/{i}/{d}/kernel": (3, n) for i in range(6) for d, n in (("a", 4), ("b", 5))}
    suggestion = suggested(old, new)
    assert not suggestion.plan.applicable
    assert 12 == len(suggestion.unplaced_sources)
    assert all(suggestion.doubts_of(task) for task in suggestion.plan.tasks)


def test_two_towers_of_one_shape_are_told_apart_by_name_and_marked():
    old = {
        f"params/{t}_encoder/layer_{i}/{d}/kernel": (3, 4) for t in ("image", "text") for i in range(2) for d in "ab"
    }
    new = {f"{t}/layers/{i}/{d}/kernel": (3, 4) for t in ("image", "text") for i in range(2) for d in "ab"}
    suggestion = suggested(old, new)
    assert all(
        source.split("/")[1].split("_")[0] == target.split("/")[0] for source, target in moves(suggestion).items()
    )
    assert len(old) == len(suggestion.doubts)


def test_key_paths_with_special_characters_are_quoted():
    suggestion = suggested({r"params/a\/b{c\}*/kernel": (3, 4)}, {"dense/kernel": (3, 4)})
    assert suggestion.plan.applicable


def test_the_text_does_not_depend_on_the_order_of_anything():
    old = {path: shape for i in range(3) for path, shape in layer(f"params/Dense_{i}").items()}
    new = {path: shape for i in range(3) for path, shape in layer(f"layers/{i}").items()}
    backwards = [dict(reversed(list(side.items()))) for side in (old, new)]
    assert suggested(old, new).text == suggested(*backwards).text


def transformer(layers, names, head):
    norm1, norm2, attn, up, down = names
    block = {f"{n}/{leaf}": (512,) for n in (norm1, norm2) for leaf in ("scale", "bias")}
    block |= {f"{attn}/{part}/kernel": (512, 8, 64) for part in ("query", "key", "value")}
    block |= {f"{attn}/{part}/bias": (8, 64) for part in ("query", "key", "value")}
    block |= {f"{attn}/out/kernel": (8, 64, 512), f"{attn}/out/bias": (512,)}
    block |= {f"{up}/kernel": (512, 2048), f"{up}/bias": (2048,)}
    block |= {f"{down}/kernel": (2048, 512), f"{down}/bias": (512,)}
    return {**head, **{f"{layers}{i}/{path}": shape for i in range(48) for path, shape in block.items()}}


def test_a_transformer_of_48_layers_needs_few_rules_and_little_time():
    attention = "MultiHeadDotProductAttention_0"
    names = ("LayerNorm_0", "LayerNorm_1", attention, "MlpBlock_0/Dense_0", "MlpBlock_0/Dense_1")
    ends = {"Embed_0/embedding": (1000, 512), "pos": (1, 100, 512), "LayerNorm_0/scale": (512,)}
    params = transformer("EncoderBlock_", names, {**ends, "head/kernel": (512, 1000)})
    model = transformer(
        "blocks/",
        ("norm1", "norm2", "attn", "mlp/up", "mlp/down"),
        {"embed/embedding": (1000, 512), "positions": (100, 512), "norm/scale": (512,), "head/kernel": (512, 1000)},
    )
    source = {
        f"{root}/{path}": shape
        for root in ("params", "opt_state/0/mu", "opt_state/0/nu")
        for path, shape in params.items()
    }
    source |= {"opt_state/0/count": "int32[]", "step": "int32[]"}
    slots = {f"optimizer/opt_state/0/{slot}/{path}": shape for slot in ("mu", "nu") for path, shape in model.items()}
    target = {f"model/{path}": shape for path, shape in model.items()} | slots
    target |= {"optimizer/opt_state/0/count": "int32[]", "optimizer/step": "uint32[]"}
    suggested({"a": (1,)}, {"b": (1,)})  # so that the timing excludes imports
    start = time.process_time()
    suggestion = suggested(source, target)
    assert suggestion.plan.applicable
    assert suggestion.rules <= 25
    assert time.process_time() - start < 30  # 2,300 leaves on each side; machines may be busy


@pytest.mark.matrix
def test_many_layers_without_any_structure_are_not_quadratic_in_seconds():
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    names = [f"{a}{b}{c}" for a in words for b in words for c in words[:4]]
    start = time.process_time()
    suggestion = suggested({f"params/{n}/kernel": (3, 4) for n in names}, {f"{n}_new/kernel": (3, 4) for n in names})
    assert len(names) == len(suggestion.plan.tasks)
    assert time.process_time() - start < 60


@pytest.mark.parametrize("axis", [0, 1])
def test_a_stacked_module_becomes_a_list_whatever_its_axis(axis):
    def stacked(*shape):
        return (*shape[:axis], 3, *shape[axis:])

    old = {"params/scan/a/kernel": stacked(4, 5), "params/scan/b/kernel": stacked(5, 4)}
    new = {f"blocks/{i}/{d}/kernel": s for i in range(3) for d, s in (("a", (4, 5)), ("b", (5, 4)))}
    suggestion = suggested(old, new)
    assert [
        f'- {{from: "params/scan/**", to: "blocks/{{i}}/**", ops: [{{unstack: {{axis: {axis}, over: i}}}}]}}'
    ] == rules_of(suggestion)
    assert suggestion.plan.applicable


def test_a_stacked_module_can_change_its_axis():
    old = {"params/scan/a/kernel": (3, 4, 5), "params/scan/b/kernel": (3, 5, 4)}
    suggestion = suggested(old, {"blocks/a/kernel": (4, 3, 5), "blocks/b/kernel": (5, 3, 4)})
    assert ['- {from: "params/scan/**", to: "blocks/**", ops: [{rearrange: "a b ... -> b a ..."}]}'] == rules_of(
        suggestion
    )
    assert suggestion.plan.applicable


def test_one_matrix_is_cut_into_its_parts():
    old = {"params/attn/qkv/kernel": (16, 48), "params/attn/out/kernel": (16, 16)}
    new = {f"attention/{p}/kernel": (16, 2, 8) for p in ("query", "key", "value")}
    suggestion = suggested(old, {**new, "attention/out/kernel": (2, 8, 16)})
    assert "{split: {axis: -1, sizes: [16, 16, 16]}}" in suggestion.text
    assert suggestion.plan.applicable
    assert 1 == len(suggestion.doubts)


@pytest.mark.parametrize("places", [(1, 2), (1, 0)])
def test_one_rule_cuts_scans_of_different_lengths(places):
    """The template has 3 layers in one group and 2 in the other; the number of the group tells how many."""
    old = {"params/scan_0/kernel": (3, 4, 5), "params/scan_1/kernel": (2, 5, 4)}
    new = {f"groups/{places[j]}/{i}/kernel": old[f"params/scan_{j}/kernel"][1:] for j in range(2) for i in range(3 - j)}
    suggestion = suggested(old, new)
    assert suggestion.plan.applicable
    assert 1 == suggestion.rules
    assert {3, 2} == {len(task.targets) for task in suggestion.plan.tasks}


HAIKU = {"linear/w": (3, 5), "linear/b": (5,), "ln/scale": (3,), "ln/offset": (3,)}
KERAS = {"dense/kernel": (3, 5), "dense/bias": (5,), "bn/gamma": (3,), "bn/beta": (3,)}
KERAS |= {"bn/moving_mean": (3,), "bn/moving_variance": (3,)}
EQUINOX = {"linear/weight": (5, 3), "linear/bias": (5,), "ln/weight": (3,), "ln/bias": (3,)}
NAMES = {"w": "kernel", "b": "bias", "gamma": "scale", "beta": "bias", "offset": "bias", "weight": "scale"}
NAMES |= {"moving_mean": "mean", "moving_variance": "var"}


@pytest.mark.parametrize("old", [HAIKU, KERAS, EQUINOX], ids=["haiku", "keras", "equinox"])
def test_the_names_of_other_libraries_are_those_of_flax(old):
    layers = {"linear": "head", "dense": "head", "ln": "norm", "bn": "norm"}
    truth = {}
    for path in old:
        layer, leaf = path.split("/")
        kernel = path == "linear/weight"
        truth[path] = f"{layers[layer]}/{'kernel' if kernel else NAMES.get(leaf, leaf)}"
    new = {truth[path]: shape[::-1] for path, shape in old.items()} if old is EQUINOX else None
    suggestion = suggested(old, new or {truth[path]: shape for path, shape in old.items()})
    assert truth == moves(suggestion)
    turned = {("linear", "weight")} if old is EQUINOX else set()
    assert turned == set(suggestion.doubts)


def test_numbers_that_haiku_gave_prove_nothing_about_layers_of_one_shape():
    old = {f"net/linear_{i}/{leaf}": shape for i in (1, 2) for leaf, shape in (("w", (4, 5)), ("b", (5,)))}
    new = {f"layers/{i}/{leaf}": shape for i in (1, 2) for leaf, shape in (("kernel", (4, 5)), ("bias", (5,)))}
    assert 4 == len(suggested(old, new).doubts)


def test_a_module_that_changes_its_number_in_a_list_is_in_doubt():
    old = {"layers/0/q/w": (4, 5), "layers/1/q/w": (4, 5), "layers/1/mlp/w": (5, 4)}
    suggestion = suggested(old, {"layers/0/qq/w": (4, 5), "layers/0/mm/w": (5, 4), "layers/1/qq/w": (4, 5)})
    assert {"layers/1/mlp/w": "layers/0/mm/w"}.items() <= moves(suggestion).items()
    assert {*old} == {"/".join(path) for path in suggestion.doubts}
    assert "unproved: its number is another one" in suggestion.text
