"""The page: one HTML file that holds its pictures and styles, and loads nothing else; its script saves figures."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from caml_dask.methods import method_as_kept
from caml_dask.overview.thumbnail import embedded
from caml_dask.report import numbers
from caml_dask.report.described import Descriptions, Region
from caml_dask.report.families import FOUND_BELOW
from caml_dask.report.figures import Section
from caml_dask.report.images import read_drift
from caml_dask.report.measures import Measure
from caml_dask.report.methods import methods_paragraph
from caml_dask.report.pictures import pictured, width_px
from caml_dask.report.plots import DriftPlot, drift_plot
from caml_dask.report.remarks import preparations, warnings_of
from caml_dask.report.rendering import TEMPLATES, environment, printable
from caml_dask.report.results import Measured, Results
from caml_dask.report.views import view_frame, view_name, views
from caml_dask.stats import MedianIqr, median_iqr
from caml_dask.viewer.held import allowance

_STATISTICS = ("scipy", "scikit-posthocs", "statsmodels")


@dataclass(frozen=True)
class Card:
    """One image as the page shows it.

    picture : a data URI, or None
    link : its overview.png, relative to the folder of the page
    view : the id of the block of the page that holds it, or None
    condition : the value of the factor compared
    factors : the other ones that it has
    figures : measure with its value, or median and quartiles over the image's clusters
    drift, regions : the drift that was corrected, and how its localizations are spread, where these are known and
        it has a picture
    """

    image: Measured
    picture: str | None
    link: str
    view: str | None
    condition: str
    factors: Mapping[str, str]
    figures: tuple[tuple[Measure, str], ...]
    drift: DriftPlot | None
    regions: Sequence[Region]


def render(
    results: Results,
    sections: Sequence[Section],
    by: str,
    notes: Sequence[str],
    folder: Path,
    descriptions: Descriptions,
) -> str:
    """The page as text.

    Parameters
    ----------
    results, sections : what it shows.
    by : the factor to compare.
    notes : what its readers should know first.
    folder : where the page will be, for its links.
    descriptions : how the localizations of its images are spread.
    """
    from markupsafe import Markup

    css, script, look = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "save.js", "look.js"))
    chosen = pictured(results.images, by)
    held = views(results.images, by, chosen)
    frame, scripts, styles = view_frame() if held else ("", (), ())
    script += look if held else ""
    page = (
        environment()
        .get_template("report.html")
        .render(
            results=results,
            measures={m.name: m for m in results.measures},
            sections=sections,
            cards=_cards(results, by, folder, chosen, held, descriptions),
            described=bool(descriptions.entries),
            held=[Markup(text) for text in (frame, *held.values())] if held else [],
            acknowledged=sum(item.acknowledged for item in results.failed),
            by=by,
            notes=notes,
            apart=folder.resolve() != results.root.resolve(),
            warned=warnings_of(results.images),
            preparations=preparations(results.images, by),
            unusual=[str(line) for line in results.facts.get("unusual", ())],
            conditions=list(dict.fromkeys(name for section in sections for name in section.family.groups)),
            settings=_settings(results.facts),
            versions=dict(results.facts.get("versions", {})),
            statistics={name: version(name) for name in _STATISTICS},
            found_below=FOUND_BELOW,
            methods=methods_paragraph(results),
            css=Markup(css),
            script=Markup(script),
            sources={"style": " ".join([allowance(css), *styles]), "script": " ".join([allowance(script), *scripts])},
        )
    )
    return printable(page)


def _cards(
    results: Results,
    by: str,
    folder: Path,
    chosen: Collection[int],
    held: Container[int],
    descriptions: Descriptions,
) -> Iterator[Card]:
    for place, image in enumerate(results.images):
        overview = image.folder / "overview.png"
        yield Card(
            image,
            embedded(overview, width_px(len(chosen))) if place in chosen else None,
            "./" + quote(os.path.relpath(overview.resolve(), folder.resolve()).encode("utf-8", "surrogateescape")),
            view_name(place) if place in held else None,
            image.factors.get(by, ""),
            {name: value for name, value in image.factors.items() if name != by and value},
            tuple((m, _figure(image, m)) for m in results.measures),
            _drift(image) if place in chosen else None,
            descriptions.regions(image) if place in chosen else [],
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
    return drift_plot(table["frame"].to_numpy(), columns, text, f"drift_{image.image_id}")


def _figure(image: Measured, measure: Measure) -> str:
    if not measure.of_clusters:
        return numbers.number(image.values[measure.name])
    found: MedianIqr = median_iqr(image.clusters[measure.name])
    return numbers.median(found)


def _settings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Settings, network or method, and machine as name and value."""
    network, machine = facts.get("network") or {}, facts.get("machine") or {}
    named = {"network": network.get("name", ""), "weights, SHA-256": network.get("weights_sha256", "")}
    found = {
        "caml_dask": facts.get("caml_dask", ""),
        **(named if network else {}),
        "digest of the settings": facts.get("digest", ""),
        "processor": machine.get("processor", ""),
        **({"scoring": machine.get("scoring", "")} if network else {}),
    }
    settings = facts.get("settings") or {}
    for name, value in settings.items():
        if name == "method" and value is not None:
            found["method"] = method_as_kept(value).in_words()
        elif name != "network":
            found[str(name)] = value if isinstance(value, str) else json.dumps(value)
    return {name: str(value) for name, value in found.items()}
