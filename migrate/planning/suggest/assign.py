"""Solves the assignment problem for two lists."""

from __future__ import annotations

from collections.abc import Callable


def assign(rows: int, columns: int, worth: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """Returns the one-to-one assignment with the greatest total worth; pairs without worth are left out."""
    if not rows or not columns:
        return []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    values = np.array([[worth(i, j) for j in range(columns)] for i in range(rows)])
    chosen = zip(*linear_sum_assignment(values, maximize=True), strict=True)
    return [(int(i), int(j)) for i, j in chosen if values[i, j] > 0]
