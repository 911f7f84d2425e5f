"""Localizations at one and the same place, as integer pixels and merged tables have them.

A search for k neighbors needs k + 1 of them at most, one of which may be the query itself. With all of them its cost
would grow as the square of their number.
"""

from __future__ import annotations

import numpy as np


def copy_numbers(points_nm: np.ndarray, order: np.ndarray) -> np.ndarray:
    """How many localizations at the same place come before each.

    Parameters
    ----------
    points_nm : (n, d) float64
        Coordinates in nm.
    order : (n,) int64
        Rows sorted by their coordinates, x before y before z.

    Returns
    -------
    (n,) int64
        From 0, in that order.
    """
    ascending = points_nm[order]
    at = np.arange(len(order))
    begins = np.append(True, (ascending[1:] != ascending[:-1]).any(axis=1))[: len(order)]
    return at - np.maximum.accumulate(np.where(begins, at, 0))
