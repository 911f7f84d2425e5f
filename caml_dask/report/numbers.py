"""Numbers as readers of a report see them."""

from __future__ import annotations

import math

from caml_dask.report.families import FOUND_BELOW
from caml_dask.stats import MedianIqr

_THIN = "\u202f"  # a narrow space at which no line breaks
_MINUS = "\u2212"
NONE = "–"


def number(value: float | None) -> str:
    """Three significant digits, all of those before the point, thousands parted: 0.0123, 4.85, 9, 2,322."""
    if value is not None and value < 0:
        return f"{_MINUS}{number(-value)}"
    if value is None or not math.isfinite(value):
        return NONE
    if value == round(value):
        return f"{value:,.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 12)}f}"


def tick(value: float) -> str:
    """A round number on an axis; very large and very small ones with a power of ten."""
    if value < 0:
        return f"{_MINUS}{tick(-value)}"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        digits, _, power = f"{value:.3e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:,.10g}"


def median(found: MedianIqr) -> str:
    """A median with its quartiles."""
    return NONE if found.n == 0 else f"{number(found.median)} [{number(found.q25)}{_THIN}–{_THIN}{number(found.q75)}]"


def probability(p: float) -> str:
    """A p value, with its sign of equality or inequality."""
    if math.isnan(p):
        return NONE
    if p < 0.0001:
        return f"<{_THIN}0.0001"
    near = p < 0.001 or abs(p - FOUND_BELOW) < 0.0005  # where three digits would hide on which side it is
    return f"{p:.4f}" if near else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def effect(value: float) -> str:
    """An effect size between -1 and 1, with a minus as it is printed."""
    return NONE if math.isnan(value) else f"{value:.2f}".replace("-", _MINUS)


def ratio(first: float, second: float) -> str:
    """How many times the second median is the first."""
    return f"×{second / first:.2f}" if first > 0 and math.isfinite(second) else NONE


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from about `low` to about `high`, at most `most` steps."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (f * step) <= most)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, last + 1)]
