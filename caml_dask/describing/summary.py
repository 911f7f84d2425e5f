"""What a summary says of an image that was described, and what it warns of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from caml_dask.describing.counts import Counts, Rings
from caml_dask.describing.curves import Curves
from caml_dask.describing.envelopes import Beside
from caml_dask.describing.window import OCCUPIED, Window
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import CELL_MASK


def too_few(windows: Sequence[Window], counts: Sequence[Counts], least: int) -> str:
    """That no region has localizations enough.

    Parameters
    ----------
    windows, counts : sequence of Window, of Counts
        The regions, and what was counted of them.
    least : int
        Localizations that are needed.

    Returns
    -------
    str
        What an error says.
    """
    there = ", ".join(f"{window.name!r} {one.n}" for window, one in zip(windows, counts, strict=True))
    return f"a region needs {least} localizations to be described; there are in {there}: give larger regions"


def summary_of_region(
    window: Window,
    counts: Counts,
    rings: Rings,
    curves: Curves,
    simulated: int,
    of_l: Beside | None,
    of_nearest: Beside | None,
) -> dict[str, Any]:
    """What the summary says of a region.

    Parameters
    ----------
    window, counts, rings, curves : Window, Counts, Rings, Curves
        The region, and what was found of it.
    simulated : int
        Localizations of a random field.
    of_l, of_nearest : Beside or None
        L and the nearest-neighbor function beside those of random fields; None without simulations.

    Returns
    -------
    dict
        Its area, density, distances, and what the functions show.
    """
    at = int(np.argmax(curves.l_minus_r_nm))
    return {
        "region": window.name,
        "area_um2": window.area_nm2 / 1e6,
        "localizations": counts.n,
        "localizations_per_um2": counts.n / (window.area_nm2 / 1e6),
        "repeated_coordinates": counts.repeated,
        "most_nm": rings.most_nm,
        "step_nm": rings.step_nm,
        "simulated_localizations": simulated or None,
        "largest_l_minus_r_nm": float(curves.l_minus_r_nm[at]),
        "at_r_nm": float(rings.radii_nm[at]),
        "l_minus_r": _test(of_l),
        "nearest_neighbor_share": _test(of_nearest),
    }


def _test(found: Beside | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {
        "p_value": found.p_value,
        "p_value_squared": found.p_value_squared,
        "largest_deviation": found.largest,
        "critical_deviation": found.critical,
    }


def summary_of(
    work: Work, windows: Sequence[Window], counts: Sequence[Counts], regions: list[dict[str, Any]], least: int
) -> dict[str, Any]:
    """What the summary says of an image.

    Parameters
    ----------
    work : Work
        The image.
    windows, counts : sequence of Window, of Counts
        Its regions, and what was counted of them.
    regions : list of dict
        What the summary says of each that was described.
    least : int
        Localizations that a region needs.

    Returns
    -------
    dict
        Rows and localizations, the regions, and warnings, an identifier, a colon and a sentence each.
    """
    facts = work.facts()
    read = facts if work.settings.merge is None else work.detection_facts()
    inside = sum(one.n for one in counts)
    return {
        "rows": read["rows"],
        "localizations": inside,
        "dropped_nonfinite": read["nonfinite"],
        "dropped_where": read["rows"] - read["nonfinite"] - read["finite"],
        "outside_regions": facts["finite"] - inside,
        "bounds_nm": facts["bounds_nm"],
        "regions": regions,
        "warnings": [
            *_of_input(work, read["nonfinite"], windows),
            *_of_few(windows, counts, least),
            *_of_regions(regions),
        ],
    }


def _of_input(work: Work, nonfinite: int, windows: Sequence[Window]) -> Iterator[str]:
    if nonfinite:
        yield f"rows-left-out: {nonfinite} rows have NaN or infinite coordinates and were left out"
    if windows[0].name == OCCUPIED:
        yield (
            f"hull-mostly-empty: localizations occupy {windows[0].area_nm2 / 1e6:.4g} um2, less than half of their "
            "convex hull: that part was described; give regions of your own with --roi, or take it as it is with "
            "--cell-mask auto"
        )
    if work.settings.cell_mask is not None and not work.get(CELL_MASK, 0)["outlined"][0].as_py():
        yield (
            "no-cell-outline: --cell-mask auto found no outline that holds most localizations; the whole field was "
            "described: give regions with --roi where the sample does not fill it"
        )


def _of_few(windows: Sequence[Window], counts: Sequence[Counts], least: int) -> Iterator[str]:
    for window, one in zip(windows, counts, strict=True):
        if one.n < least:
            yield (
                f"too-few-localizations: region {window.name!r} has {one.n}, and {least} are needed: it was left out"
            )


def _of_regions(regions: Sequence[dict[str, Any]]) -> Iterator[str]:
    repeated = sum(region["repeated_coordinates"] for region in regions)
    if repeated:
        yield (
            f"repeated-coordinates: {repeated} localizations share their exact coordinates with another: repeated "
            "rows, or one molecule exported twice, which count as pairs"
        )
    for region in regions:
        test = region["l_minus_r"]
        random = test is not None and test["largest_deviation"] <= test["critical_deviation"]
        if not random and region["at_r_nm"] == region["most_nm"]:
            yield (
                f"scale-beyond-range: L(r) - r of region {region['region']!r} is largest at {region['most_nm']:g} nm, "
                "where it ends: density changes over larger distances, or the region is larger than what the sample "
                "fills: give a closer region, or more with --most-nm"
            )


def words_of(region: dict[str, Any]) -> str:
    """What the summary says of a region, in a line.

    Parameters
    ----------
    region : dict
        As :func:`summary_of_region` returns it.

    Returns
    -------
    str
        Localizations, density, the largest L(r) - r and where it is, and p values.
    """
    test, nearest = region["l_minus_r"], region["nearest_neighbor_share"]
    p_words = "" if test is None else f", p {test['p_value']:.2g} (nearest neighbors p {nearest['p_value']:.2g})"
    return (
        f"{region['region']}: {region['localizations']:,} localizations on {region['area_um2']:.4g} um2, L(r) - r "
        f"at most {region['largest_l_minus_r_nm']:.1f} nm, at {region['at_r_nm']:.4g} nm{p_words}"
    )
