"""Lengths of scale bars."""

from __future__ import annotations

import math


def round_length(longest_nm: float) -> tuple[float, str]:
    """The longest round length that is no longer than a length.

    Parameters
    ----------
    longest_nm : float
        The length, positive.

    Returns
    -------
    tuple of (float, str)
        1, 2 or 5 times a power of ten, in nm, and the same in words.
    """
    decade = 10.0 ** math.floor(math.log10(longest_nm))
    length = max(factor * decade for factor in (1, 2, 5) if factor * decade <= longest_nm)
    return length, f"{length / 1000:g} um" if length >= 1000 else f"{length:g} nm"
