"""What readers should know of the images before they trust a figure: their warnings, and how they were prepared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caml_dask.report.results import Measured
from caml_dask.stats import MedianIqr, median_iqr


@dataclass(frozen=True)
class Warned:
    """A warning and the images that it concerns.

    identifier : what it begins with; the reference has what to do
    example : the first image's sentence
    """

    identifier: str
    images: tuple[str, ...]
    example: str


def warnings_of(images: Sequence[Measured]) -> list[Warned]:
    """The warnings of all images by identifier, those of most images first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for image in images:
        texts = (str(text).partition(":") for text in image.summary.get("warnings", ()))
        for identifier, sentence in {name: rest.strip() for name, _, rest in texts}.items():
            found.setdefault(identifier, []).append((image.image_id, sentence))
    warned = [Warned(name, tuple(image_id for image_id, _ in of), of[0][1]) for name, of in found.items()]
    return sorted(warned, key=lambda w: -len(w.images))


@dataclass(frozen=True)
class Preparation:
    """A figure of how images were prepared.

    label, unit : as readers see them
    groups : condition to its median and quartiles over the images that have it; under "" those without a condition
    """

    label: str
    unit: str
    groups: Mapping[str, MedianIqr]


def preparations(images: Sequence[Measured], by: str) -> list[Preparation]:
    """The figures of preparation that any image has: rows left out, drift, resolution, detections of a molecule.

    by : the factor that is compared
    """
    figures = [dict(_figures(image.summary)) for image in images]
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name in dict.fromkeys(name for found in figures for name in found):
        for image, found in zip(images, figures):
            values.setdefault(name, {}).setdefault(image.factors.get(by, ""), []).append(found.get(name, math.nan))
    return [Preparation(*name, {c: median_iqr(v) for c, v in groups.items()}) for name, groups in values.items()]


def _figures(summary: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    """Label and unit with the value, of each figure that a summary has."""
    drift, merge, test, told = (summary.get(name) or {} for name in ("drift", "merge", "csr_test", "re_blinking"))
    by_frames = _above_one(test.get("detections_per_molecule"))
    left_out = summary.get("dropped_nonfinite", 0) + summary.get("dropped_where", 0)
    found: dict[tuple[str, str], float | None] = {
        ("Rows left out", "%"): 100 * left_out / summary["rows"] if left_out else None,
        **{(f"Drift along {axis[0]}", "nm"): value for axis, value in drift.get("range", {}).items()},
        **{
            (f"Fourier ring correlation {when} drift correction", "nm"): value
            for when, value in drift.get("ring_correlation_nm", {}).items()
        },
        ("Detections per molecule, merged", ""): merge.get("detections_per_molecule"),
        ("Detections per molecule, not merged", ""): None if merge else by_frames,
        ("Precision, median", "nm"): test.get("precision_nm"),
    }
    if not merge and by_frames is None:
        found[("Detections per molecule, by how they lie", "")] = told.get("detections_per_molecule")
    if test.get("precision_nm") is None:
        found[("Precision, by how detections lie", "nm")] = told.get("precision_nm")
    yield from ((name, float(value)) for name, value in found.items() if value is not None)


def _above_one(value: float | None) -> float | None:
    """Detections per molecule; None where they are not known, which is written as 1."""
    return None if value == 1 else value
