"""Wide tables of each measure, as GraphPad Prism takes them: a column for each condition, or each replicate of one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_text
from caml_dask.io.csv_text import csv_text
from caml_dask.report.families import Family
from caml_dask.report.figures import clear, prefixes
from caml_dask.report.measures import Measure
from caml_dask.report.results import replicates_of


def write_prism(folder: Path, families: Sequence[Family], measures: Sequence[Measure]) -> None:
    """Write the tables; those that an earlier report left there are removed.

    ``<measure>.csv`` has a column for each condition and a value for each image. Where replicates are compared,
    ``<measure>_nested.csv`` has a column for each replicate of each condition, and ``<measure>_replicates.csv`` the
    medians that are compared: a row for each replicate, and a column for each condition.
    """
    clear(folder, "*.csv")
    for family, prefix in zip(families, prefixes(families)):
        for measure in measures:
            for suffix, rows in _tables(family, measure.name).items():
                publish_text(folder / f"{prefix}{measure.name}{suffix}.csv", csv_text(rows))


def _tables(family: Family, measure: str) -> dict[str, list[Sequence[Any]]]:
    """Rows of each table, by what is added to its name."""
    values = {name: [i.values[measure] for i in images] for name, images in family.groups.items()}
    if family.replicates is None:
        return {"": _wide(values)}
    nested = {
        f"{name}: {replicate}": [i.values[measure] for i in some]
        for name, images in family.groups.items()
        for replicate, some in replicates_of(images).items()
    }
    medians = family.replicate_medians[measure]
    order = dict.fromkeys(replicate for found in medians.values() for replicate in found)
    rows = [[name, *(found.get(name, "") for found in medians.values())] for name in order]
    return {"": _wide(values), "_nested": _wide(nested), "_replicates": [["replicate", *medians], *rows]}


def _wide(columns: Mapping[str, Sequence[float]]) -> list[Sequence[Any]]:
    return [list(columns), *itertools.zip_longest(*columns.values(), fillvalue="")]
