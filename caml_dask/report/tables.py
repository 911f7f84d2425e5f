"""The tables beside a report: per_image.csv, per_condition.csv, tests.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_text
from caml_dask.io.csv_text import csv_text
from caml_dask.report.families import Family, Level
from caml_dask.report.nesting import NestedTest
from caml_dask.report.results import Results
from caml_dask.stats import median_iqr

_PAIRS = "Holm over the pairs of one measure"
_PAIRS_AND_MEASURES = "Benjamini-Hochberg over the pairs and measures of one family and unit"
_MEASURES = "Benjamini-Hochberg over the measures of one family"


def write_tables(folder: Path, results: Results, families: Sequence[Family], by: str) -> None:
    """Write the three tables."""
    publish_text(folder / "per_image.csv", csv_text(_per_image(results)))
    publish_text(folder / "per_condition.csv", csv_text(_per_condition(families, by)))
    publish_text(folder / "tests.csv", csv_text(_tests(families)))


def _per_image(results: Results) -> Iterable[Sequence[Any]]:
    measures = results.measures
    columns = [c for m in measures for c in ([m.name] if not m.of_clusters else [f"{m.name}_{q}" for q in _QUARTILES])]
    yield ["image_id", "path", *results.factors, "localizations", "area_um2", "clusters", *columns]
    for image in results.images:
        row: list[Any] = [image.image_id, image.path, *(image.factors.get(name, "") for name in results.factors)]
        row += [image.summary["localizations"], image.summary["area_um2"], len(image.clusters["n_localizations"])]
        for m in measures:
            if m.of_clusters:
                found = median_iqr(image.clusters[m.name])
                row += [found.median, found.q25, found.q75]
            else:
                row.append(image.values[m.name])
        yield row


_QUARTILES = ("median", "q25", "q75")


def _per_condition(families: Sequence[Family], by: str) -> Iterable[Sequence[Any]]:
    within = _within(families)
    yield [*within, by, "measure", "unit", "n", *_QUARTILES]
    for family in families:
        for level in _levels(family):
            for measure, comparison in level.comparisons.items():
                for name, found in comparison.groups.items():
                    values: list[Any] = [measure, level.units, found.n, found.median, found.q25, found.q75]
                    yield [*family.within.values(), name, *values]


def _tests(families: Sequence[Family]) -> Iterable[Sequence[Any]]:
    yield [
        *_within(families),
        *("measure", "unit", "test", "first", "second", "n_first", "n_second", "statistic", "p", "p_adjusted"),
        *("adjustment", "effect", "effect_size", "effect_low", "effect_high", "notes"),
    ]
    for family in families:
        for level in _levels(family):
            for measure, c in level.comparisons.items():
                head = [*family.within.values(), measure, level.units]
                notes = "; ".join(c.notes)
                whole: list[Any] = [c.test or "none", "", "", sum(g.n for g in c.groups.values()), "", c.statistic, c.p]
                effect = ["epsilon squared", c.epsilon_squared, "", ""]
                yield [*head, *whole, level.p_adjusted[measure], _MEASURES, *effect, notes]
                test = "Dunn" if c.test == "Kruskal-Wallis" else c.test
                for p in c.pairs:
                    pair = [test, p.first, p.second, c.groups[p.first].n, c.groups[p.second].n, "", p.p, p.p_holm]
                    yield [*head, *pair, _PAIRS, "Cliff's delta", p.delta, p.low, p.high, ""]
        for nested in family.nested:
            yield [*family.within.values(), *_nested(nested)]


def _nested(test: NestedTest) -> list[Any]:
    """A row of tests.csv, without the values that its family shares."""
    return [
        *(test.measure, test.unit, test.test, test.first, test.second, test.n_first, test.n_second, "", test.p),
        *(test.p_adjusted, _PAIRS_AND_MEASURES, "difference", test.difference, test.low, test.high, test.note),
    ]


def _within(families: Sequence[Family]) -> list[str]:
    return list(families[0].within) if families else []


def _levels(family: Family) -> list[Level]:
    return [family.images, *([] if family.replicates is None else [family.replicates]), family.clusters]
