"""What the devices of a mesh decode and keep when a checkpoint is loaded, as sentences and as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrate.engine.loading.forecast import DeviceBytes, Forecast
from migrate.report.amounts import plural, size
from migrate.tree import format_path

_SHOWN = 5


def forecast_sentences(found: Forecast, mesh: str) -> Iterator[str]:
    """Yields the sentences about a load onto a mesh.

    Args:
      found: the forecast.
      mesh: the mesh as the user wrote it.
    """
    least, most = (pick(found.devices, key=lambda device: device.decoded) for pick in (min, max))
    count = plural(len(found.devices), "device")
    total = sum(device.decoded for device in found.devices)
    if least.decoded == most.decoded:
        yield f"Loading onto {mesh}: each of {count} {_needs(most)}."
    else:
        yield (
            f"Loading onto {mesh}: {count} decode {size(total)} together; ({_place(least)}) {_needs(least)}, "
            f"({_place(most)}) {_needs(most)}."
        )
    if found.factors:
        ranked = sorted(found.factors.items(), key=lambda item: -item[1])
        named = ", ".join(f"`{format_path(path)}` {factor:g}×" for path, factor in ranked[:_SHOWN])
        more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
        yield f"Decoded by several devices, which share chunks: {named}{more}."
    if found.undivided:
        by_size = sorted(found.undivided.items(), key=lambda item: -item[1])
        named = ", ".join(f"`{format_path(path)}` {size(nbytes)}" for path, nbytes in by_size[:_SHOWN])
        more = f" and {len(by_size) - _SHOWN} more" if len(by_size) > _SHOWN else ""
        yield f"Chunks that exceed `max_ram` and are decoded whole: {named}{more}."


def forecast_data(found: Forecast) -> dict[str, Any]:
    """Returns the forecast as plain JSON."""
    return {
        "devices": [
            {"place": dict(device.place), "kept": device.kept, "decoded": device.decoded} for device in found.devices
        ],
        "factors": {format_path(path): factor for path, factor in found.factors.items()},
        "undivided": {format_path(path): nbytes for path, nbytes in found.undivided.items()},
    }


def _needs(device: DeviceBytes) -> str:
    return f"decodes {size(device.decoded)} and keeps {size(device.kept)}"


def _place(device: DeviceBytes) -> str:
    return ",".join(f"{axis}={number}" for axis, number in device.place.items())
