"""Tests that know of replicates: within those that conditions share, or with those of each condition as random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from caml_dask.report.measures import Measure
from caml_dask.report.results import Measured, replicates_of
from caml_dask.stats.comparison import benjamini_hochberg
from caml_dask.stats.nested import compare_within_blocks, fit_mixed_model

PAIRED, WITHIN, RANDOM = "replicates, paired", "images within replicates", "images, replicates random"
_LEAST_SHARED = 2


@dataclass(frozen=True)
class NestedTest:
    """Two conditions compared in one measure.

    unit : one of the units above
    n_first, n_second : units of either condition
    replicates : that both conditions share, or that they have together
    difference, low, high : of the second condition from the first, in the measure's unit; the interval, of 95 %, is NaN
        where the test has none
    p, p_adjusted : NaN where there is no test; adjusted after Benjamini and Hochberg for all measures and pairs of
        the unit
    note : why there is no test, or what it cannot find
    """

    measure: str
    unit: str
    test: str
    first: str
    second: str
    n_first: int
    n_second: int
    replicates: int
    difference: float
    low: float
    high: float
    p: float
    note: str = ""
    p_adjusted: float = math.nan


Groups = Mapping[str, Mapping[str, Sequence[Measured]]]


def nested_tests(groups: Mapping[str, Sequence[Measured]], measures: Sequence[Measure]) -> tuple[NestedTest, ...]:
    """The tests that the design allows; none where images lack a replicate.

    A replicate of the same name in several conditions is taken for the same donor, dish or day. Where any two
    conditions share two or more replicates, pairs are compared within these; where no replicate is in two conditions,
    by a mixed model.
    """
    parts = {name: replicates_of(images) for name, images in groups.items()}
    pairs = list(itertools.combinations(parts, 2))
    if not pairs or any("" in replicates for replicates in parts.values()):
        return ()
    shared = {pair: len(parts[pair[0]].keys() & parts[pair[1]].keys()) for pair in pairs}
    if max(shared.values()) >= _LEAST_SHARED:
        crossed = [pair for pair in pairs if shared[pair] >= _LEAST_SHARED]
        found = [test for m in measures for pair in crossed for test in _within(parts, m.name, *pair)]
    elif max(shared.values()) == 0 and any(len(some) > 1 for found in parts.values() for some in found.values()):
        found = [test for m in measures for test in _mixed(parts, m.name)]
    else:
        return ()
    return tuple(test for unit in (PAIRED, WITHIN, RANDOM) for test in _adjusted([t for t in found if t.unit == unit]))


def _adjusted(tests: Sequence[NestedTest]) -> list[NestedTest]:
    return [replace(t, p_adjusted=p) for t, p in zip(tests, benjamini_hochberg([t.p for t in tests]))]


def _values(images: Sequence[Measured], measure: str) -> npt.NDArray[np.float64]:
    return np.array([image.values[measure] for image in images])


def _within(parts: Groups, measure: str, first: str, second: str) -> Iterator[NestedTest]:
    a, b = ({name: _values(some, measure) for name, some in parts[c].items()} for c in (first, second))
    found = compare_within_blocks(a, b)
    n, rest = found.blocks, (found.difference, math.nan, math.nan)
    least = 2.0 ** (1 - n)
    note = "a test needs 3 or more replicates that both conditions have"
    if not math.isnan(found.p_blocks):
        note = "" if least < 0.05 else f"{n} pairs cannot give a p below {least:.2g}, however much they differ"
    yield NestedTest(measure, PAIRED, "Wilcoxon signed-rank", first, second, n, n, n, *rest, found.p_blocks, note)
    if not math.isnan(found.p_values):
        counts = (found.n_first, found.n_second, n)
        yield NestedTest(measure, WITHIN, "van Elteren, shuffled", first, second, *counts, *rest, found.p_values)


def _mixed(parts: Groups, measure: str) -> Iterator[NestedTest]:
    values = {c: {name: _values(some, measure) for name, some in found.items()} for c, found in parts.items()}
    contrasts, problem = fit_mixed_model(values)
    found = {(c.first, c.second): c for c in contrasts}
    for first, second in itertools.combinations(parts, 2):
        n_first, n_second = (sum(map(len, parts[c].values())) for c in (first, second))
        head = (
            measure,
            RANDOM,
            "mixed model",
            first,
            second,
            n_first,
            n_second,
            len(parts[first]) + len(parts[second]),
        )
        if (c := found.get((first, second))) is None:
            yield NestedTest(*head, math.nan, math.nan, math.nan, math.nan, f"no p: {problem or 'too few replicates'}")
        else:
            yield NestedTest(*head, c.difference, c.low, c.high, c.p)
