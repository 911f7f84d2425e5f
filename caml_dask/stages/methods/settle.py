"""Stage `settle`: what a method takes of the image as a whole, found once before tiles are looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import pyarrow as pa

from caml_dask.errors import InputError
from caml_dask.methods import DBSCAN, HDBSCAN, DominantSets, GetisFranklin, Method, ToMATo, Voronoi
from caml_dask.schema import arrow_schema
from caml_dask.spatial.plateau import plateau_of
from caml_dask.stages.methods.counted import counted
from caml_dask.stages.methods.samples import samples
from caml_dask.stages.methods.tables import SETTLED
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import FACTS, INPUT, ROIS


def settle(work: Work, unit: int) -> dict[str, Any]:
    """Keep the figures that the method takes of the image as a whole."""
    method = cast(Method, work.network)
    figures = _SETTLES[method.name](work)
    columns = {"name": list(figures), "value": [float(value) for value in figures.values()]}
    work.put(SETTLED, 0, pa.table(columns, schema=arrow_schema(SETTLED.columns)))
    return {"rows": work.facts()["finite"]}


def settled(work: Work) -> dict[str, float]:
    """The figures that :func:`settle` kept."""
    table = work.get(SETTLED, 0)
    return dict(zip(table["name"].to_pylist(), table["value"].to_pylist(), strict=True))


def summary_of_settled(work: Work) -> dict[str, Any]:
    """The part of an image's summary on what the method took of it; nothing where that is what its parameters say."""
    shown = {name: value for name, value in settled(work).items() if name in _SHOWN}
    return {"settled": shown} if shown else {}


def warnings_of_settled(figures: Mapping[str, float]) -> list[str]:
    """What a user should know of a parameter that was taken from the data, a sentence each."""
    if figures.get("agreement", 1.0) >= _LITTLE_AGREEMENT:
        return []
    return [
        f"radius-not-flat: --eps-nm auto took {figures['eps_nm']:.3g} nm, but clusters of radii around it agree by "
        f"{100 * figures['agreement']:.0f} % only: the localizations show no radius of their own; give one with "
        "--eps-nm, or see the p value before you count clusters"
    ]


def _of_dbscan(work: Work) -> dict[str, float]:
    method = cast(DBSCAN, work.network)
    figures = {"least_samples": float(method.min_samples)}
    if isinstance(method.eps_nm, float):
        return {"radius_nm": method.eps_nm, "link_nm": method.eps_nm, **figures}
    found = plateau_of(samples(work), method.min_samples)
    if found is None:
        raise InputError(
            f"no radius makes clusters of min_samples {method.min_samples} that hold 2 to 50 % of the localizations: "
            "give the radius with --eps-nm, such as --eps-nm 30",
            work.image.path,
        )
    chosen = {"eps_nm": found.radius_nm, "eps_from_nm": found.from_nm, "eps_to_nm": found.to_nm}
    return {"radius_nm": found.radius_nm, "link_nm": found.radius_nm, **chosen, "agreement": found.agreement, **figures}


def _of_getis_franklin(work: Work) -> dict[str, float]:
    method = cast(GetisFranklin, work.network)
    n, area_nm2 = counted(work)
    return {
        "density_per_um2": 1e6 * n / area_nm2,
        "least_samples": method.least_samples(n, area_nm2),
        "radius_nm": method.radius_nm,
        "link_nm": cast(float, method.link_nm),
    }


def _of_voronoi(work: Work) -> dict[str, float]:
    x0, y0, x1, y1 = work.facts()["bounds_nm"]
    if not (x1 > x0 and y1 > y0):
        raise InputError(
            "the localizations lie on a line, and their Voronoi cells have no area: give at least three that do not",
            work.image.path,
        )
    n, area_nm2 = counted(work)
    return {
        "density_per_um2": 1e6 * n / area_nm2,
        "density_per_nm2": n / area_nm2,
        "spacing_nm": math.sqrt(area_nm2 / n),
    }


_SETTLES: Mapping[str, Callable[[Work], dict[str, float]]] = {
    DBSCAN.name: _of_dbscan,
    GetisFranklin.name: _of_getis_franklin,
    Voronoi.name: _of_voronoi,
    HDBSCAN.name: lambda _: {},
    ToMATo.name: lambda _: {},
    DominantSets.name: lambda _: {},
}
_SHOWN = ("density_per_um2", "eps_nm", "eps_from_nm", "eps_to_nm", "agreement")
_LITTLE_AGREEMENT = 0.85  # of complete randomness 0.4 to 0.7; of clusters from 0.9 on
STAGE = Stage(
    name="settle",
    title="settling the method's parameters",
    per="image",
    run=settle,
    effort=1,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT, ROIS),
    writes=(SETTLED,),
)
