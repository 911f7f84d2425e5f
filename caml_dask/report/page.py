"""The page: one HTML file that holds its pictures and styles, runs no script and loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from caml_dask.report import numbers
from caml_dask.report.families import FOUND_BELOW, Family, Level
from caml_dask.report.images import read_drift
from caml_dask.report.measures import Measure
from caml_dask.report.methods import methods_paragraph
from caml_dask.report.pictures import embedded, pictured
from caml_dask.report.plots import DriftPlot, EcdfPlot, StripPlot, drift_plot, ecdf_plot, legend, strip_plot
from caml_dask.report.results import Measured, Results
from caml_dask.stats import MedianIqr, median_iqr

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"
_STATISTICS = ("scipy", "scikit-posthocs", "statsmodels")


@dataclass(frozen=True)
class Card:
    """One image as the page shows it.

    picture : a data URI, or None
    link : its overview.png, relative to the folder of the page
    condition : the value of the factor compared
    factors : the other ones that it has
    figures : measure with its value, or median and quartiles over the image's clusters
    """

    image: Measured
    picture: str | None
    link: str
    condition: str
    factors: Mapping[str, str]
    figures: tuple[tuple[Measure, str], ...]
    drift: DriftPlot | None


@dataclass(frozen=True)
class Section:
    """One family with its plots."""

    family: Family
    strips: tuple[StripPlot, ...]
    ecdfs: tuple[EcdfPlot, ...]
    legend: list[tuple[str, str, str]]
    n_clusters: Mapping[str, int]


def render(results: Results, families: Sequence[Family], by: str, notes: Sequence[str], folder: Path) -> str:
    """The page as text.

    Parameters
    ----------
    results, families : what it shows.
    by : the factor to compare.
    notes : what its readers should know first.
    folder : where the page will be, for its links.
    """
    from markupsafe import Markup

    css = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template("report.html")
        .render(
            results=results,
            measures={m.name: m for m in results.measures},
            sections=[_section(family, results.measures) for family in families],
            cards=_cards(results, by, folder),
            acknowledged=sum(item.acknowledged for item in results.failed),
            by=by,
            notes=notes,
            unusual=[str(line) for line in results.facts.get("unusual", ())],
            conditions=list(dict.fromkeys(name for family in families for name in family.groups)),
            settings=_settings(results.facts),
            versions=dict(results.facts.get("versions", {})),
            statistics={name: version(name) for name in _STATISTICS},
            found_below=FOUND_BELOW,
            methods=methods_paragraph(results),
            css=Markup(css),
            style_source=f"'sha256-{digest}'",
        )
    )


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("number", "median", "probability", "effect")
    environment.filters |= {name: getattr(numbers, name) for name in names}
    environment.globals |= {"ratio": numbers.ratio, "pairs_found": pairs_found}
    return environment


def pairs_found(level: Level, measure: str) -> list[Any]:
    """The pairs of conditions in which a difference was found: in all of them together, and in the pair."""
    pairs = level.comparisons[measure].pairs
    return [p for p in pairs if level.differs(measure) and p.p_holm < FOUND_BELOW]


def _section(family: Family, measures: Sequence[Measure]) -> Section:
    of_images = {
        m.name: {name: np.array([i.values[m.name] for i in images]) for name, images in family.groups.items()}
        for m in measures
    }
    ecdfs = (
        ecdf_plot(
            m.label, m.unit, {n: np.concatenate([i.clusters[m.name] for i in im]) for n, im in family.groups.items()}
        )
        for m in measures
        if m.of_clusters
    )
    return Section(
        family,
        tuple(strip_plot(m.label, m.unit, of_images[m.name]) for m in measures),
        tuple(plot for plot in ecdfs if plot is not None),
        legend(list(family.groups)),
        {n: sum(len(i.clusters["n_localizations"]) for i in images) for n, images in family.groups.items()},
    )


def _cards(results: Results, by: str, folder: Path) -> Iterator[Card]:
    chosen = pictured(results.images, by)
    for place, image in enumerate(results.images):
        overview = image.folder / "overview.png"
        yield Card(
            image,
            embedded(overview) if place in chosen else None,
            "./" + quote(os.path.relpath(overview.resolve(), folder.resolve()).encode("utf-8", "surrogateescape")),
            image.factors.get(by, ""),
            {name: value for name, value in image.factors.items() if name != by and value},
            tuple((m, _figure(image, m)) for m in results.measures),
            _drift(image),
        )


def _drift(image: Measured) -> DriftPlot | None:
    """The drift that an image was corrected for, where it was."""
    found = image.summary.get("drift")
    if not found:
        return None
    table = read_drift(image.folder)
    sharp = found["ring_correlation_nm"]
    words = [
        f"{name[0]} {numbers.number(span)} nm"
        + (f" ± {numbers.number(error)}" if (error := found["standard_error"][name]) is not None else "")
        for name, span in found["range"].items()
    ]
    text = f"{found['method']}, {found['intervals']} intervals; range {', '.join(words)}"
    if None not in sharp.values():
        before, after = (numbers.number(sharp[when]) for when in ("before", "after"))
        text += f"; Fourier ring correlation {before} nm before, {after} nm after"
    columns = {name[1:2]: table[name].to_numpy() for name in table.column_names[1:]}
    return drift_plot(table["frame"].to_numpy(), columns, text)


def _figure(image: Measured, measure: Measure) -> str:
    if not measure.of_clusters:
        return numbers.number(image.values[measure.name])
    found: MedianIqr = median_iqr(image.clusters[measure.name])
    return numbers.median(found)


def _settings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Settings, network and machine as name and value."""
    network, machine = facts.get("network") or {}, facts.get("machine") or {}
    found = {
        "caml_dask": facts.get("caml_dask", ""),
        "network": network.get("name", ""),
        "weights, SHA-256": network.get("weights_sha256", ""),
        "digest of the settings": facts.get("digest", ""),
        "processor": machine.get("processor", ""),
        "scoring": machine.get("scoring", ""),
    }
    for name, value in (facts.get("settings") or {}).items():
        if name != "network":
            found[str(name)] = value if isinstance(value, str) else json.dumps(value)
    return {name: str(value) for name, value in found.items()}
