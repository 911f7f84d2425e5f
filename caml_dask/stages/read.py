"""From an input file to tiles: read once, cut the plane, deal the rows out (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from caml_dask.errors import ContradictedError, InputError, TooFewLocalizations
from caml_dask.io.readers.carried import CarriedColumn, find_carried
from caml_dask.io.readers.sources import open_source
from caml_dask.io.rois.given import read_rois
from caml_dask.io.rois.roi import Roi, region_of
from caml_dask.methods import METHODS
from caml_dask.networks.field.trained import LEAST_LOCALIZATIONS, field_network_for
from caml_dask.networks.registry import NETWORKS
from caml_dask.schema import COORDINATES, NO_REGION, arrow_schema
from caml_dask.settings import (
    FARTHEST_COMPUTED_NM,
    FARTHEST_NM,
    LARGEST_FIELD_NM,
    SMALLEST_FIELD_NM,
    SMALLEST_SPAN_NM,
    Settings,
)
from caml_dask.stages.drift.tables import AS_READ, READ_FACTS
from caml_dask.stages.merging.tables import DETECTION_FACTS, DETECTIONS
from caml_dask.stages.shared.selection import filtered_by, passing
from caml_dask.stages.shared.work import CHUNK_ROWS, Work, coordinates, finite
from caml_dask.stages.stage import UNCOMPARED, Stage
from caml_dask.stages.tables import CHUNKS, FACTS, INPUT, ROIS, Table


def read(work: Work, unit: int) -> dict[str, Any]:
    """Read the image's input into the store, in chunks."""
    return from_input(work, lambda tables: ingest(work, tables))


def from_input(work: Work, use: Callable[[Iterator[pa.Table]], dict[str, Any]]) -> dict[str, Any]:
    """Hand an image's input to `use`, from its first table on; once more, with settled types, where the first rows of a
    delimited file did not show the types of all.

    Raises
    ------
    InputError : a file that cannot be read, or that no longer holds the image's channel.
    """
    try:
        return use(input_tables(work, settle=False))
    except ContradictedError:
        return use(input_tables(work, settle=True))


def input_tables(work: Work, settle: bool) -> Iterator[pa.Table]:
    """The image's input as tables of up to CHUNK_ROWS rows: loc_id, coordinates, the file's own columns.

    settle : a delimited file is read through once before, for the types of its columns

    Raises
    ------
    InputError : a file that cannot be read, or that no longer holds the image's channel.
    ContradictedError : rows further down hold what the first do not tell of; with `settle` there are none.
    """
    if work.image.path is None:
        raise InputError("an image without a file has no input to read")
    source = open_source(work.image.path, work.settings.columns, work.image.channel, settle)
    return source.tables(CHUNK_ROWS)


def ingest(work: Work, tables: Iterable[pa.Table]) -> dict[str, Any]:
    """Store the input in chunks, and find what planning needs: counts and bounds.

    Raises
    ------
    InputError : non-finite coordinates where the settings refuse them, or an image that does not fit the network.
    """
    into, kept = input_of(work.settings) if work.settings.drift is None else (AS_READ, READ_FACTS)
    rows = nonfinite = analyzed = chunks = 0
    first_ids = []
    rois, reached = _rois(work), work.settings.roi is None
    lower, upper, farthest = np.full(2, np.inf), np.full(2, -np.inf), 0.0
    names, carried, where = list(COORDINATES[:2]), list[CarriedColumn](), list[dict[str, Any]]()
    for table in tables:
        points = coordinates(table)
        whole = finite(points)
        if work.settings.nonfinite == "refuse" and not whole.all():
            raise InputError(
                f"{np.count_nonzero(~whole)} of the rows read so far have NaN or infinite coordinates: mend them, "
                "or let them be left out with --nonfinite drop",
                work.image.path,
                table["loc_id"][int(np.argmin(whole))].as_py(),
            )
        where = filtered_by(work, table.column_names)
        taken = whole & passing(work, table, where)
        if taken.any():
            lower = np.minimum(lower, [column[taken].min() for column in points.T[:2]])
            upper = np.maximum(upper, [column[taken].max() for column in points.T[:2]])
            farthest = max(farthest, float(np.abs(points[taken]).max()))
            reached = reached or bool((region_of(rois, points[taken][:, :2]) != NO_REGION).any())
        names = list(COORDINATES[: points.shape[1]])
        own = [name for name in table.column_names if name not in ("loc_id", *names)]
        carried = find_carried(own, work.carried)
        for option in (
            *("--drift",) * (work.settings.drift is not None),
            *("--merge",) * (work.settings.merge is not None),
        ):
            check_frames(work, table, taken, carried, option)
        work.put(into, chunks, table)
        first_ids.append(table["loc_id"][0].as_py() if len(table) else 0)
        rows, nonfinite, chunks = rows + len(table), nonfinite + int((~whole).sum()), chunks + 1
        analyzed += int(taken.sum())
    facts: dict[str, Any] = {"rows": rows, "nonfinite": nonfinite, "finite": analyzed, "chunks": chunks}
    facts |= {"coordinates": names, "bounds_nm": [*lower.tolist(), *upper.tolist()]}
    facts |= {"carried": [asdict(column) for column in carried], "where": where}
    check_fits(work, analyzed, len(names), of=rows - nonfinite)
    if not reached:
        raise InputError(_missed(work, rois, facts["bounds_nm"]), work.image.path)
    _check_extent(work, float((upper - lower).max()), farthest)
    work.put(kept, 0, pa.Table.from_pylist([facts], arrow_schema(FACTS.columns)))
    work.put(CHUNKS, 0, pa.table({"first_id": pa.array(first_ids, pa.uint64())}))
    return facts


def input_of(settings: Settings) -> tuple[Table, Table]:
    """The tables of the rows that are to be analyzed, or merged first, and of what is known of them."""
    return (INPUT, FACTS) if settings.merge is None else (DETECTIONS, DETECTION_FACTS)


def _rois(work: Work) -> list[Roi]:
    """The regions of interest of the image, read and kept."""
    given, pixel_nm = work.settings.roi, work.settings.roi_pixel_nm
    rois = [] if given is None else read_rois(given, pixel_nm, work.image.path)
    shapes = pa.array([shapely.to_wkb(roi.shape) for roi in rois], pa.binary())
    work.put(ROIS, 0, pa.table({"name": pa.array([roi.name for roi in rois], pa.string()), "shape": shapes}))
    return rois


def _missed(work: Work, rois: Sequence[Roi], bounds_nm: Sequence[float]) -> str:
    """That no localization lies in the regions of interest, and where both are."""
    x0, y0, x1, y1 = shapely.total_bounds([roi.shape for roi in rois])
    left, low, right, high = bounds_nm
    return (
        f"no localization lies in the regions of --roi {work.settings.roi}, which span x {x0:,.0f} to {x1:,.0f} and y "
        f"{y0:,.0f} to {y1:,.0f} nm; the localizations span x {left:,.0f} to {right:,.0f} and y {low:,.0f} to "
        f"{high:,.0f} nm: check the size of the pixel, the unit and the origin of the regions"
    )


def _check_extent(work: Work, extent: float, farthest: float) -> None:
    """Refuse coordinates that can hardly be nm, and always those that cannot be computed with.

    Raises
    ------
    InputError : an extent, or a distance from the origin, that no microscope's field has.
    """
    if 0 < extent < SMALLEST_SPAN_NM or farthest > FARTHEST_COMPUTED_NM:
        raise InputError(
            f"the localizations span {extent:,.4g} nm, up to {farthest:,.4g} nm from the origin; what can be computed "
            f"with spans {SMALLEST_SPAN_NM:g} nm or more, within {FARTHEST_COMPUTED_NM:g} nm: mend or convert them",
            work.image.path,
        )
    if work.settings.any_extent:
        return
    if not SMALLEST_FIELD_NM <= extent <= LARGEST_FIELD_NM or farthest > FARTHEST_NM:
        raise InputError(
            f"the localizations span {extent:,.4g} nm, up to {farthest:,.4g} nm from the origin; fields span "
            f"{SMALLEST_FIELD_NM:,.0f} to {LARGEST_FIELD_NM:,.0f} nm, within {FARTHEST_NM:,.0f} nm of it: are these "
            "pixels or um? Say so with --columns unit=..., or accept them with --any-extent",
            work.image.path,
        )


def check_fits(work: Work, n: int, dimensions: int, of: int) -> None:
    """Refuse an image that the network or method cannot take (DESIGN section 6).

    n : localizations to analyze
    of : those that there were before the filter

    Raises
    ------
    TooFewLocalizations : fewer localizations to analyze than it needs.
    InputError : 3D localizations for a 2D network, or the reverse, or for a bootstrap.
    """
    name, least = work.network.name, work.network.least_localizations
    fitting = [x for x in NETWORKS.values() if x.dimensions == dimensions]
    of_fields = field_network_for(dimensions)
    if work.network.dimensions not in (None, dimensions):
        names = [*filter(None, [of_fields]), *(network.name for network in fitting)]
        ways = [f"use --network {' or '.join(names)}"] if names else []
        if dimensions == 3:
            ways.append("leave z out " + ("with --columns x=...,y=...,unit=..." if work.image.path else "of the array"))
        raise InputError(
            f"has {dimensions} coordinates a localization; {name} takes {work.network.dimensions}: "
            + ", or ".join(ways),
            work.image.path,
        )
    method = work.settings.method
    if method is not None and method.most_localizations is not None and n > method.most_localizations:
        unbound = " or ".join(name for name, kind in METHODS.items() if kind.most_localizations is None)
        raise InputError(
            f"has {n:,} localizations; {method.name} looks at all of an image at once, and takes up to "
            f"{method.most_localizations:,}: analyze parts of it with --where, such as 'x_nm < 20000', or use a method "
            f"that has no bound, --method {unbound}",
            work.image.path,
        )
    if work.settings.bootstrap is not None and dimensions == 3:
        raise InputError(
            "has 3 coordinates a localization; --bootstrap gives intervals of areas in 2D: leave it out, or z",
            work.image.path,
        )
    if n < least:
        needs = {x.name: x.n_neighbors + 1 for x in fitting}
        if of_fields is not None:
            needs[of_fields] = LEAST_LOCALIZATIONS
        enough, best = max(((count, x) for x, count in needs.items() if count <= n), default=(0, None))
        hint = f"use {best} ({enough})" if best else "no network takes so small a field"
        there = f"there are {n}"
        if n < of:
            there = f"{n} of {of} pass --where {work.settings.where!r}"
            hint = f"loosen the filter, or {hint}" if best else "loosen the filter"
        raise TooFewLocalizations(f"{name} needs {least} localizations; {there}: {hint}", work.image.path)


def check_frames(work: Work, table: pa.Table, taken: np.ndarray, carried: Sequence[CarriedColumn], option: str) -> None:
    """Refuse localizations without the frames that an option needs.

    taken : (n,) bool, rows that are analyzed

    Raises
    ------
    InputError : no frames, or frames that are no whole numbers.
    """
    named = next((column.column for column in carried if column.name == "frame"), None)
    if named is None:
        own = ", ".join(name for name in table.column_names if name not in ("loc_id", *COORDINATES)) or "no others"
        raise InputError(
            f"{option} needs the frame of each localization; beside coordinates there are: {own}. Export frames, in a "
            f"column called frame, or leave {option} out",
            work.image.path,
        )
    values = (
        pc.cast(table[named], pa.float64()).to_numpy() if _is_number(table[named].type) else np.full(len(table), np.nan)
    )
    wrong = taken & ~((np.abs(values) < 2.0**53) & (values == np.rint(values)))
    if wrong.any():
        raise InputError(
            f"the column {named} holds what is no whole number: {option} needs the frame of each localization",
            work.image.path,
            table["loc_id"][int(np.argmax(wrong))].as_py(),
        )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


STAGE = Stage(
    name="read",
    title="reading",
    per="image",
    run=read,
    effort=3,
    conserves=UNCOMPARED,
    reads=(),
    writes=(INPUT, FACTS, CHUNKS, ROIS),
)
MERGING_STAGE = replace(
    STAGE,
    writes=(DETECTIONS, DETECTION_FACTS, CHUNKS, ROIS),
    carries=("frame", "photons", "uncertainty_nm", "uncertainty_z_nm"),
)
DRIFT_STAGE = replace(STAGE, writes=(AS_READ, READ_FACTS, CHUNKS, ROIS), carries=("frame",))
DRIFT_MERGING_STAGE = replace(MERGING_STAGE, writes=DRIFT_STAGE.writes)
