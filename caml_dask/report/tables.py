"""The tables beside a report: per_image.csv, per_condition.csv, tests.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from caml_dask.io.files import publish_text
from caml_dask.report.cohort import Cohort
from caml_dask.report.families import Family, Level
from caml_dask.stats import median_iqr

_PAIRS = "Holm over the pairs of one measure"
_MEASURES = "Benjamini-Hochberg over the measures of one family"


def write_tables(folder: Path, cohort: Cohort, families: Sequence[Family], by: str) -> None:
    """Write the three tables."""
    _write(folder / "per_image.csv", _per_image(cohort))
    _write(folder / "per_condition.csv", _per_condition(families, by))
    _write(folder / "tests.csv", _tests(families))


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        table.writerow([_cell(value) for value in row])
    publish_text(path, writable(text.getvalue()))


def writable(text: str) -> str:
    """Text as UTF-8 can hold it: of a path that is no UTF-8, the bytes that are none are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cell(value: Any) -> Any:
    """A cell: nothing for what is not known, and no text that a spreadsheet would take for a formula."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _per_image(cohort: Cohort) -> Iterable[Sequence[Any]]:
    measures = cohort.measures
    columns = [c for m in measures for c in ([m.name] if not m.of_clusters else [f"{m.name}_{q}" for q in _QUARTILES])]
    yield ["image_id", "path", *cohort.factors, "localizations", "area_um2", "clusters", *columns]
    for image in cohort.images:
        row: list[Any] = [image.image_id, image.path, *(image.factors.get(name, "") for name in cohort.factors)]
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


def _within(families: Sequence[Family]) -> list[str]:
    return list(families[0].within) if families else []


def _levels(family: Family) -> list[Level]:
    return [family.images, *([] if family.replicates is None else [family.replicates]), family.clusters]
