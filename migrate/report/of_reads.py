"""Read amplification as sentences and as plain JSON: what devices decode for their own bytes, today and afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from migrate.engine.loading.amplification import Amplification, MeshAmplification, worst_device
from migrate.engine.loading.forecast import DeviceBytes
from migrate.planning.chunking.choice import ANY_PARTS
from migrate.planning.chunking.loads import mesh_text
from migrate.report.amounts import plural, size
from migrate.report.collapse import collapse_paths
from migrate.tree import KeyPath, format_path

_SHOWN = 5


def reads_sentences(
    found: Iterable[MeshAmplification], *, after: str = "afterwards", verbose: bool = False
) -> Iterator[str]:
    """Yields the sentences about loads.

    Args:
      found: the loads.
      after: when the target exists, in words.
      verbose: whether every array is named that is decoded more than once.
    """
    for one in found:
        yield from _of_any_mesh(one, after) if one.mesh is None else _of_mesh(one, after)
        yield from _leaves(one.leaves, verbose=verbose)


def _of_mesh(one: MeshAmplification, after: str) -> Iterator[str]:
    today, then = worst_device(one.today), worst_device(one.after)
    yield (
        f"Read by {mesh_text(one.mesh or ())}, {plural(len(one.today), 'device')}: the worst decodes "
        f"{times(today.factor)} its own {size(today.kept)} today ({size(today.decoded)}), "
        f"{times(then.factor)} {after} ({size(then.decoded)})."
    )


def _of_any_mesh(one: MeshAmplification, after: str) -> Iterator[str]:
    total = one.total
    yield (
        f"Read by any mesh up to {ANY_PARTS}×{ANY_PARTS}: at worst {times(total.today)} their own bytes today, "
        f"{times(total.after)} {after}, over all arrays."
    )


def _leaves(leaves: Mapping[KeyPath, Amplification], *, verbose: bool) -> Iterator[str]:
    """Yields one sentence with the arrays of which a device decodes more than it keeps, the worst first."""
    groups: dict[tuple[str, str], list[KeyPath]] = {}
    ranked = sorted(leaves.items(), key=lambda pair: (-pair[1].today, -pair[1].after))
    for path, one in ranked:
        if max(round(one.today, 2), round(one.after, 2)) > 1:
            groups.setdefault((times(one.today), times(one.after)), []).append(path)
    texts = [
        f"`{text}` {today} → {after}" for (today, after), paths in groups.items() for text in collapse_paths(paths)
    ]
    shown = texts if verbose else texts[:_SHOWN]
    if texts:
        more = f" and {len(texts) - len(shown)} more (-v lists them)" if len(texts) > len(shown) else ""
        yield f"Decoded more than once: {', '.join(shown)}{more}."


def times(factor: float) -> str:
    """Formats an amplification: `1×`, `1.05×`, `128×`."""
    return f"{factor:.3g}×" if factor < 1000 else f"{factor:,.0f}×"


def reads_data(found: Iterable[MeshAmplification]) -> list[dict[str, Any]]:
    """Returns the loads as plain JSON, with the amplification of each array."""
    return [
        {
            "mesh": dict(one.mesh) if one.mesh is not None else None,
            "devices": len(one.today) if one.mesh is not None else None,
            "today": _device_data(worst_device(one.today)),
            "after": _device_data(worst_device(one.after)),
            "leaves": {
                format_path(path): {"today": round(leaf.today, 4), "after": round(leaf.after, 4)}
                for path, leaf in one.leaves.items()
            },
        }
        for one in found
    ]


def _device_data(device: DeviceBytes) -> dict[str, Any]:
    """Returns the bytes and the amplification of the worst device."""
    return {
        "place": dict(device.place),
        "kept": device.kept,
        "decoded": device.decoded,
        "amplification": round(device.factor, 4),
    }
