"""Warnings of an image's summary: what of its input was left out, and where it lies outside what its network knows.

A network's input is scale-free, so that density itself says nothing; contrast, points per cluster, percent clustered
and saturated windows do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from caml_dask.io.rois.roi import region_of
from caml_dask.networks.field.trained import field_network_for
from caml_dask.networks.registry import NETWORKS
from caml_dask.schema import CLUSTERED, NO_REGION
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.tally import Counts
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import CELL_MASK

_MANY_SATURATED = 0.05  # share of clustered localizations with a saturated window that earns a warning
_FEW_WINDOWS = 4  # windows' worth of localizations that the smallest fields trained on hold
_MANY_BEYOND = 0.10  # share of the localizations in clusters, in clusters larger than any trained on
_MANY_BELOW = 0.25  # the same of smaller ones
# Called clustered in fields without clusters is what lies closest by chance: 3 to 6 times denser than the rest.
_CHANCE_CONTRAST = 6.5
_UNEVEN = 20.0  # spread of the densities of non-clustered localizations; see Counts.spread
MOSTLY_EMPTY = 0.5
"""Share of the convex hull that localizations occupy, below which the hull is no area to divide by."""
_CONTRAST_MARGIN = 2.0  # the estimate of the contrast is good to some tens of percent


def warnings(
    work: Work, facts: dict[str, Any], counts: Counts, clusters: MeasuredClusters, area_um2: float
) -> list[str]:
    """What a user should know of an image before trusting its figures: an identifier, a colon and a sentence each."""
    found = list(_of_input(facts, counts))
    found += [
        f"empty-region: no localization lies in region {number}, {roi.name!r}"
        for number, roi in enumerate(work.rois())
        if not counts.labelled_by_region[number].any()
    ]
    found += _of_area(work, clusters, area_um2)
    found += _of_windows(work, facts, counts, clusters)
    if work.network.trained_on:
        found += _of_training(work, facts, counts, clusters)
    if not area_um2 > 0:
        found.append("no-area: the localizations span no area: clusters per um2 is null; give the area with --area-um2")
    return found


def _of_input(facts: dict[str, Any], counts: Counts) -> Iterator[str]:
    if facts["nonfinite"]:
        yield (
            f"rows-left-out: {facts['nonfinite']} rows have NaN or infinite coordinates and were left out; "
            "they stand in the points with null results"
        )
    if counts.duplicates:
        yield (
            f"repeated-coordinates: {counts.duplicates} localizations share their exact coordinates with another: "
            "repeated rows, or one molecule exported twice"
        )


def _of_area(work: Work, clusters: MeasuredClusters, area_um2: float) -> Iterator[str]:
    """Where the area is that of a hull that is mostly empty, or where the cell mask has no outline."""
    mask, of_mask = work.cell_mask(), work.settings.cell_mask is not None
    if mask is None or not area_um2 > 0:
        return
    if of_mask and not work.get(CELL_MASK, 0)["outlined"][0].as_py():
        yield (
            "no-cell-outline: --cell-mask auto found no outline that holds most localizations; the whole field counts, "
            f"{area_um2:.4g} um2: give regions with --roi where the sample does not fill it"
        )
    if not of_mask and mask.area_um2 < MOSTLY_EMPTY * area_um2:
        inside = int((region_of([mask], clusters.centroids_nm[:, :2]) != NO_REGION).sum())
        yield (
            f"hull-mostly-empty: localizations occupy {mask.area_um2:.4g} um2 of their convex hull of {area_um2:.4g} "
            f"um2: {len(clusters) / area_um2:.3g} clusters per um2 of the hull are {inside / mask.area_um2:.3g} per "
            "um2 of what is occupied: count there with --cell-mask auto, or in regions of your own with --roi"
        )


def _of_windows(work: Work, facts: dict[str, Any], counts: Counts, clusters: MeasuredClusters) -> Iterator[str]:
    if counts.window_saturated <= _MANY_SATURATED * max(1, counts.labelled_clustered):
        return
    window = work.network.n_neighbors
    two = len(work.network.classes) == 2
    large = int(np.count_nonzero(clusters.column("n_localizations") >= window))
    yield (
        f"window-saturated: the {window}-neighbor window of {counts.window_saturated} clustered localizations holds no "
        f"{'non-clustered one' if two else 'localization of another class'}; "
        + (
            f"{large} clusters have {window} localizations or more and may be in fragments: {_wider(work, facts)}"
            if large
            else f"the field has too few {'non-clustered localizations' if two else 'of them'} to tell where its "
            "clusters end"
        )
    )


def _of_training(work: Work, facts: dict[str, Any], counts: Counts, clusters: MeasuredClusters) -> Iterator[str]:
    """Where the field lies outside what the network was trained on."""
    name, trained, window = work.network.name, work.network.trained_on, work.network.n_neighbors
    if facts["finite"] < _FEW_WINDOWS * window:
        narrower = _without_window(work) or _alike(work, facts, lambda n: n < window)
        yield (
            f"window-too-wide: a window of {window} neighbors takes in {100 * window / facts['finite']:.0f} % of the "
            f"localizations; of the fields that {name} was trained on, at most {100 / _FEW_WINDOWS:.0f} %"
            + (f": --network {narrower} would fit" if narrower else "")
        )
    contrast, percent = counts.contrast, 100.0 * counts.labelled_clustered / max(1, facts["finite"])
    chance = max(work.network.csr_percent, default=0.0)
    if contrast is not None and contrast < _CHANCE_CONTRAST and percent <= chance:
        yield (
            f"like-randomness: {percent:.1f} % of the localizations are labelled clustered, {contrast:.1f} times "
            f"denser than the rest: in fields without clusters {name} labels "
            f"{min(work.network.csr_percent):.1f} to {chance:.1f} % so; there may be no clusters here"
        )
    elif counts.labelled_clustered and percent < trained["percent_clustered"][0]:
        low, high = trained["percent_clustered"]
        yield (
            f"few-clustered: {percent:.1f} % of the localizations are labelled clustered; {name} was trained on "
            f"{low:g} to {high:g}"
        )
    if counts.spread is not None and counts.spread > _UNEVEN:
        yield (
            f"uneven-background: localizations labelled non-clustered lie up to {counts.spread:.0f} times denser in "
            f"some places than in others: from inside, structures of more than the {window} localizations of a window "
            "look non-clustered: " + _wider(work, facts)
        )
    if contrast is not None and contrast > _CONTRAST_MARGIN * trained["contrast"][1]:
        low, high = trained["contrast"]
        yield (
            f"contrast-untrained: clustered localizations lie {contrast:.0f} times denser than the others; {name} was "
            f"trained on contrasts of {low:g} to {high:g}: repeated detections of single molecules look like this; "
            "merge them first, with --merge auto"
            + (f", or use --network {_without_window(work)}, which has seen such" if _without_window(work) else "")
        )
    members = clusters.column("n_localizations")[clusters.column("label") == CLUSTERED]
    low, high = trained["points_per_cluster"]
    inside = max(1, int(members.sum()))
    beyond, below = members[members > high].sum() / inside, members[members < low].sum() / inside
    if beyond > _MANY_BEYOND:
        yield (
            f"larger-than-trained: {100 * beyond:.0f} % of the localizations in clusters lie in clusters of more than "
            f"{high:g}, the largest that {name} was trained on"
            + (f": {_wider(work, facts)}" if members.max() > work.network.n_neighbors else "")
        )
    if below > _MANY_BELOW:
        yield (
            f"smaller-than-trained: {100 * below:.0f} % of the localizations in clusters lie in clusters of fewer than "
            f"{low:g}, the smallest that {name} was trained on"
        )


def _wider(work: Work, facts: dict[str, Any]) -> str:
    """The networks that would see larger clusters whole, as advice."""
    wider = _alike(work, facts, lambda n: n > work.network.n_neighbors)
    if unbound := _without_window(work):
        return f"--network {unbound} has no window that they could exceed"
    if wider:
        return f"--network {wider}, with a larger window, would see them whole"
    return "no network here has a larger window that the field could fill"


def _without_window(work: Work) -> str | None:
    """The field network for such localizations, where the classes are those it knows."""
    return field_network_for(work.dimensions()) if len(work.network.classes) == 2 else None


def _alike(work: Work, facts: dict[str, Any], fits: Callable[[int], bool]) -> str:
    """Networks for the same localizations and classes whose window the field can fill and that `fits`, named."""
    mine = work.network
    return " or ".join(
        entry.name
        for entry in NETWORKS.values()
        if (entry.dimensions, len(entry.classes)) == (mine.dimensions, len(mine.classes))
        and entry.n_neighbors < facts["finite"]
        and fits(entry.n_neighbors)
    )
