"""A forecast as sentences and as plain JSON."""

from migrate.engine.loading.forecast import DeviceBytes, Forecast
from migrate.report.of_forecast import forecast_data, forecast_sentences


def test_devices_that_need_the_same_are_one_sentence():
    devices = tuple(DeviceBytes({"data": n}, 1 << 20, 2 << 20) for n in range(2))
    found = Forecast(devices, {("a", "kernel"): 2.0, ("b",): 8.0})
    assert [
        "Loading onto data=2: each of 2 devices decodes 2 MiB and keeps 1 MiB.",
        "Decoded by several devices, which share chunks: `b` 8×, `a/kernel` 2×.",
    ] == list(forecast_sentences(found, "data=2"))
    assert {
        "devices": [{"place": {"data": n}, "kept": 1 << 20, "decoded": 2 << 20} for n in range(2)],
        "factors": {"a/kernel": 2.0, "b": 8.0},
        "undivided": {},
    } == forecast_data(found)


def test_chunks_that_exceed_the_budget_are_named_beforehand():
    found = Forecast((DeviceBytes({"x": 0}, 1, 1),), {}, {("a",): 3 << 30, ("b", "kernel"): 8 << 30})
    expected = "Chunks that exceed `max_ram` and are decoded whole: `b/kernel` 8 GiB, `a` 3 GiB."
    assert expected == list(forecast_sentences(found, "x=1"))[-1]
    assert {"a": 3 << 30, "b/kernel": 8 << 30} == forecast_data(found)["undivided"]


def test_the_least_and_the_most_are_named_where_devices_differ():
    devices = (DeviceBytes({"x": 0, "y": 0}, 1024, 1024), DeviceBytes({"x": 0, "y": 1}, 1024, 3072))
    (sentence,) = forecast_sentences(Forecast(devices, {}), "x=1,y=2")
    assert (
        "Loading onto x=1,y=2: 2 devices decode 4 KiB together; (x=0,y=0) decodes 1 KiB and keeps 1 KiB, "
        "(x=0,y=1) decodes 3 KiB and keeps 1 KiB." == sentence
    )


def test_at_most_five_leaves_are_named():
    found = Forecast((DeviceBytes({"x": 0}, 1, 1),), {(f"l{n}",): 2.0 for n in range(7)})
    assert list(forecast_sentences(found, "x=1"))[1].endswith("`l4` 2× and 2 more.")
