"""The figures of a report: one section for each family, and a file for each figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_text
from caml_dask.report.distributions import EcdfPlot, ViolinPlot, distributions
from caml_dask.report.families import Family
from caml_dask.report.measures import Measure
from caml_dask.report.rendering import environment, printable
from caml_dask.report.superplots import Superplot, superplot

_NAMED = 40  # characters of a family's name in the names of its files


@dataclass(frozen=True)
class Section:
    """One family with its figures."""

    family: Family
    superplots: tuple[Superplot, ...]
    distributions: tuple[tuple[EcdfPlot, ViolinPlot], ...]


def sections_of(families: Sequence[Family], measures: Sequence[Measure]) -> list[Section]:
    """The sections of a report."""
    found = []
    for family, prefix in zip(families, prefixes(families)):
        plots = (distributions(family, m, prefix) for m in measures if m.of_clusters)
        superplots = tuple(superplot(family, m, f"{prefix}superplot_{m.name}") for m in measures)
        found.append(Section(family, superplots, tuple(pair for pair in plots if pair is not None)))
    return found


def prefixes(families: Sequence[Family]) -> list[str]:
    """What the names of a family's files begin with: nothing, or where there are several its number and name."""
    if len(families) == 1:
        return [""]
    names = (re.sub(r"[^A-Za-z0-9-]+", "_", family.name)[:_NAMED].strip("_") for family in families)
    return [f"{k}_{name}_" if name else f"{k}_" for k, name in enumerate(names, 1)]


def write_figures(folder: Path, sections: Sequence[Section]) -> None:
    """Write each figure as SVG; figures that an earlier report left there are removed."""
    macros: Any = environment().get_template("plots.html").module
    drawn = {plot.name: macros.superplot(plot) for section in sections for plot in section.superplots}
    for section in sections:
        for ecdf, violin in section.distributions:
            drawn |= {ecdf.name: macros.ecdf(ecdf), violin.name: macros.violin(violin)}
    clear(folder, "*.svg")
    for name, svg in drawn.items():
        publish_text(folder / f"{name}.svg", printable(svg).strip() + "\n")


def clear(folder: Path, pattern: str) -> None:
    """Remove the files of an earlier report, which may have compared something else."""
    for path in folder.glob(pattern):
        path.unlink()
