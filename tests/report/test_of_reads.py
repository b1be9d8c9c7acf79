"""Read amplification as sentences and as plain JSON."""

from migrate.engine.loading.amplification import Amplification, MeshAmplification
from migrate.engine.loading.forecast import DeviceBytes
from migrate.report.of_reads import reads_data, reads_sentences, times

MIB = 1 << 20


def device(number, kept, decoded):
    return DeviceBytes({"x": number}, kept, decoded)


def load(leaves):
    today = (device(0, MIB, 2 * MIB), device(1, MIB, 8 * MIB))
    return MeshAmplification((("x", 2),), today, (device(0, MIB, MIB), device(1, MIB, MIB)), leaves)


def test_the_worst_device_and_the_arrays_that_are_decoded_more_than_once():
    leaves = {
        **{("layers", str(n), "kernel"): Amplification(8.0, 1.0) for n in range(3)},
        ("bias",): Amplification(2.0, 2.0),
        ("fine",): Amplification(1.004, 1.0),
    }
    assert [
        "Read by x=2, 2 devices: the worst decodes 8× its own 1 MiB today (8 MiB), 1× afterwards (1 MiB).",
        "Decoded more than once: `layers/{0..2}/kernel` 8× → 1×, `bias` 2× → 2×.",
    ] == list(reads_sentences([load(leaves)]))


def test_at_most_five_groups_are_named_without_v():
    leaves = {(name,): Amplification(2.0 + number, 1.0) for number, name in enumerate("abcdefg")}
    assert list(reads_sentences([load(leaves)]))[1].endswith("`c` 4× → 1× and 2 more (-v lists them).")
    assert list(reads_sentences([load(leaves)], verbose=True))[1].endswith("`a` 2× → 1×.")


def test_a_load_without_amplification_is_one_sentence():
    assert 1 == len(list(reads_sentences([load({("a",): Amplification(1.0, 1.0)})])))


def test_any_mesh_has_the_mean_of_the_worst_cases():
    one = MeshAmplification(
        None,
        (DeviceBytes({}, MIB, 12 * MIB),),
        (DeviceBytes({}, MIB, MIB * 3 // 2),),
        {("a",): Amplification(12.0, 1.5)},
    )
    assert (
        "Read by any mesh up to 16×16: at worst 12× their own bytes today, 1.5× afterwards, over all arrays."
        == next(reads_sentences([one]))
    )
    assert [None, None] == [reads_data([one])[0][name] for name in ("mesh", "devices")]


def test_the_time_of_the_target_can_be_named():
    one = load({})
    assert next(reads_sentences([one], after="after `migrate tune`")).endswith("1× after `migrate tune` (1 MiB).")


def test_json_has_the_figures_of_every_array():
    worst = {"place": {"x": 1}, "kept": MIB, "decoded": 8 * MIB, "amplification": 8.0}
    assert [
        {
            "mesh": {"x": 2},
            "devices": 2,
            "today": worst,
            "after": {"place": {"x": 0}, "kept": MIB, "decoded": MIB, "amplification": 1.0},
            "leaves": {"a/b": {"today": 8.0, "after": 1.0}},
        }
    ] == reads_data([load({("a", "b"): Amplification(8.0, 1.0)})])


def test_factors_have_three_digits():
    assert ["1×", "1.05×", "128×", "1,024×"] == [times(factor) for factor in (1.0, 1.0499, 128.0, 1024.0)]
