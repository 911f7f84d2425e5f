"""What is compared with what: families of images, and conditions within each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caml_dask.errors import UsageError
from caml_dask.report.measures import Measure
from caml_dask.report.nesting import NestedTest, nested_tests
from caml_dask.report.results import Measured, Results, replicates_of
from caml_dask.stats.comparison import LEAST_VALUES, Comparison, Pair, benjamini_hochberg, compare, smallest_p

FOUND_BELOW = 0.05
ALWAYS_WITHIN = ("channel", "protein")
"""Factors that split images into families by themselves: what is stained differently is not compared."""


@dataclass(frozen=True)
class Level:
    """The comparisons of all measures with one kind of unit.

    units : "images", "replicates" or "clusters"
    comparisons : measure to what was found
    p_adjusted : measure to the p of its test, adjusted after Benjamini and Hochberg for the number of measures; NaN
        where there is no test
    """

    units: str
    comparisons: Mapping[str, Comparison]
    p_adjusted: Mapping[str, float]

    def count(self, condition: str) -> int:
        """Units of a condition that any measure has a value of."""
        return max(comparison.groups[condition].n for comparison in self.comparisons.values())

    def differs(self, measure: str) -> bool:
        """Whether a difference was found between any of the conditions."""
        return bool(self.p_adjusted[measure] < FOUND_BELOW)

    def pairs_found(self, measure: str) -> list[Pair]:
        """The pairs of conditions in which a difference was found: in all of them together, and in the pair."""
        pairs = self.comparisons[measure].pairs
        return [pair for pair in pairs if self.differs(measure) and pair.p_holm < FOUND_BELOW]


@dataclass(frozen=True)
class Family:
    """Images that are compared with each other.

    within : factor to the value that they share
    groups : condition to its images
    images : the comparison with the image as the unit
    replicates : the same with the medians of replicates as units; None if no replicate has several images
    replicate_medians : measure to condition to replicate to the median of its images; NaN where none has a value
    nested : pairs of conditions compared with images in their replicates, where the design allows it
    clusters : the same with clusters as units, as published
    notes : what readers should know about the design
    """

    within: Mapping[str, str]
    groups: Mapping[str, tuple[Measured, ...]]
    images: Level
    replicates: Level | None
    replicate_medians: Mapping[str, Mapping[str, Mapping[str, float]]]
    nested: tuple[NestedTest, ...]
    clusters: Level
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its images share, for a heading; empty if there is only one family."""
        return ", ".join(f"{value or 'none'}" for value in self.within.values())


def families(results: Results, by: str, within: Sequence[str]) -> tuple[list[Family], list[str]]:
    """The families of a cohort, and notes on what is not compared.

    Parameters
    ----------
    results : the images.
    by : the factor whose values are compared.
    within : factors within whose combinations they are compared; channel and protein always are.

    Raises
    ------
    UsageError : a factor that no image has.
    """
    for name in (*within, *([] if by == "condition" else [by])):
        if name not in results.factors:
            raise UsageError(f"no image has a factor {name!r}: use one of {', '.join(results.factors) or '(none)'}")
    inner = tuple(dict.fromkeys(n for n in (*ALWAYS_WITHIN, *within) if n in results.factors and n != by))
    known = [image for image in results.images if image.factors.get(by)]
    notes = _not_compared(results, by, inner, len(results.images) - len(known))
    members: dict[tuple[str, ...], list[Measured]] = {}
    for image in known:
        members.setdefault(tuple(image.factors.get(name, "") for name in inner), []).append(image)
    found = [_family(dict(zip(inner, key)), images, by, results.measures) for key, images in members.items()]
    return found, notes


def _not_compared(results: Results, by: str, inner: Sequence[str], without: int) -> list[str]:
    notes: list[str] = []
    if not results.images:
        return ["No image could be analyzed: there is nothing to compare."]
    if without == len(results.images):
        return [
            f"No image has a {by}, so nothing is compared. Give a table with --cohort, or another factor with --by."
        ]
    if without:
        notes.append(f"{without} of {len(results.images)} images have no {by} and are not compared.")
    for name in results.factors:
        values = {image.factors.get(name, "") for image in results.images}
        pooled = name not in (by, "replicate", *inner) and 1 < len(values) <= len(results.images) // 2
        if pooled:
            notes.append(
                f"Images are pooled over {name} ({len(values)} values): use --within {name} to compare within each."
            )
    return notes


def _family(within: Mapping[str, str], images: Sequence[Measured], by: str, measures: Sequence[Measure]) -> Family:
    groups: dict[str, list[Measured]] = {}
    for image in images:
        groups.setdefault(image.factors[by], []).append(image)
    of_clusters = [m for m in measures if m.of_clusters]
    medians = _replicate_medians(groups, measures)
    replicates, notes = (None, []) if by == "replicate" else _by_replicate(groups, measures, medians)
    notes += _few_images([len(group) for group in groups.values()], len(measures))
    return Family(
        within,
        {name: tuple(group) for name, group in groups.items()},
        _level("images", measures, {m.name: {g: _values(i, m.name) for g, i in groups.items()} for m in measures}),
        replicates,
        medians,
        () if by == "replicate" else nested_tests(groups, measures),
        _level("clusters", of_clusters, _pooled(groups, of_clusters)),
        tuple(notes),
    )


def _few_images(sizes: Sequence[int], measures: int) -> list[str]:
    if len(sizes) != 2 or min(sizes) < LEAST_VALUES or smallest_p(*sizes) * measures < FOUND_BELOW:
        return []
    return [
        f"With only {sizes[0]} and {sizes[1]} images, a difference in a single one of the {measures} measures cannot "
        "reach significance, however large it is."
    ]


def _level(
    units: str, measures: Sequence[Measure], values: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
) -> Level:
    comparisons = {m.name: compare(values[m.name], units) for m in measures}
    adjusted = benjamini_hochberg([c.p for c in comparisons.values()])
    return Level(units, comparisons, dict(zip(comparisons, adjusted)))


def _values(images: Sequence[Measured], measure: str) -> npt.NDArray[np.float64]:
    return np.array([image.values[measure] for image in images])


def _pooled(
    groups: Mapping[str, Sequence[Measured]], measures: Sequence[Measure]
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    return {
        m.name: {name: np.concatenate([i.clusters[m.name] for i in images]) for name, images in groups.items()}
        for m in measures
    }


def _replicate_medians(
    groups: Mapping[str, Sequence[Measured]], measures: Sequence[Measure]
) -> dict[str, dict[str, dict[str, float]]]:
    parts = {name: replicates_of(images) for name, images in groups.items()}
    return {
        m.name: {
            name: {replicate: _median(_values(images, m.name)) for replicate, images in replicates.items()}
            for name, replicates in parts.items()
        }
        for m in measures
    }


def _by_replicate(
    groups: Mapping[str, Sequence[Measured]],
    measures: Sequence[Measure],
    medians: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> tuple[Level | None, list[str]]:
    """The comparison of replicates' medians, and notes on the design."""
    parts = {name: replicates_of(images) for name, images in groups.items()}
    if any("" in replicates for replicates in parts.values()):
        return None, [
            "Some images have no replicate. Images of one donor, dish or day are not independent: give each image its "
            "replicate in the column `replicate`, and the report compares the medians of replicates too."
        ]
    most = max(len(images) for replicates in parts.values() for images in replicates.values())
    if most == 1:
        return None, []
    values = {
        m: {name: np.array(list(replicates.values())) for name, replicates in found.items()}
        for m, found in medians.items()
    }
    counts = ", ".join(f"{name}: {len(replicates)}" for name, replicates in parts.items())
    return _level("replicates", measures, values), [
        f"Replicates have up to {most} images each (replicates per condition: {counts}). Images of one replicate are "
        "not independent, so p values with the image as the unit are too small if replicates differ "
        "(pseudo-replication). The report also compares the medians of replicates: rely on those."
    ]


def _median(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan
