"""The parts of an image that are compared with random fields: which, where they lie, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.blinking.merge import merge_detections
from caml_dask.io.readers.carried import find_carried
from caml_dask.randomness.fields import Localizations
from caml_dask.spatial.partition import Partition, partition
from caml_dask.stages.shared.hull import hull_of
from caml_dask.stages.shared.selection import selected, selected_xy
from caml_dask.stages.shared.warnings import MOSTLY_EMPTY
from caml_dask.stages.shared.work import Work, coordinates
from caml_dask.stages.tables import INPUT

SUB_FIELD = 1_000
"""Most localizations of a sub-field, or four times what the network needs."""
FEWEST, MOST = 20, 60
"""Sub-fields of an image that is larger than one: one for each 25,000 localizations, within these."""
FEWEST_WITH_FRAMES, MOST_WITH_FRAMES = 8, 20
"""The same where frames are known: to find molecules takes longer than to score them."""
_LOCALIZATIONS_EACH = 25_000


@dataclass(frozen=True)
class Part:
    """What is tested: all that is counted, or a region of interest.

    region : its number, -1 for all
    n : localizations in it
    fields : its sub-fields with their outlines; none where it has too few localizations, or spans no area
    detections_per_molecule : 1 where frames are not known, or detections are merged already
    precision_nm, precision_missing : median lateral precision, and the share of localizations without a positive one;
        None where the table has no precision
    """

    region: int
    n: int
    fields: list[tuple[Localizations, shapely.Geometry]]
    detections_per_molecule: float = 1.0
    precision_nm: float | None = None
    precision_missing: float | None = None

    @property
    def density(self) -> float:
        """Localizations of the sub-fields per nm2, or nm3."""
        points = np.concatenate([field.points_nm for field, _ in self.fields])
        area = float(sum(outline.area for _, outline in self.fields))
        return len(points) / (area * (1.0 if points.shape[1] == 2 else float(np.ptp(points[:, 2])) or 1.0))


def parts_of(work: Work) -> Iterator[Part]:
    """All that is counted, then each region of interest where there are several."""
    rois = work.rois()
    if not rois:
        yield _part(work, -1, None)
        return
    yield _part(work, -1, shapely.union_all([roi.shape for roi in rois]))
    if len(rois) > 1:
        for number, roi in enumerate(rois):
            yield _part(work, number, roi.shape)


def _part(work: Work, region: int, outline: shapely.Geometry | None) -> Part:
    """The sub-fields of a part of the image; without an outline, of all of it."""
    facts = work.facts()
    n, bounds_nm = facts["finite"], facts["bounds_nm"]
    inside: Callable[[Work], Iterator[np.ndarray]] = selected_xy
    if outline is None:
        outline, mask = hull_of(selected_xy(work)), work.cell_mask()
        whole = mask is None or mask.shape.area >= MOSTLY_EMPTY * outline.area
        outline = outline if mask is None or whole else mask.shape
    else:
        whole = False
    shapely.prepare(outline)
    if not whole:
        inside = partial(_inside, outline)
        n, bounds_nm = _extent(inside(work))
    if not n or not outline.area > 0:
        return Part(region, n, [])
    most = max(SUB_FIELD, 4 * work.network.least_localizations)
    boxes = partition(lambda: inside(work), n, bounds_nm, most)
    within = (FEWEST_WITH_FRAMES, MOST_WITH_FRAMES) if _looks_for_molecules(work) else (FEWEST, MOST)
    wanted = np.clip(n // _LOCALIZATIONS_EACH, *within)
    chosen = np.linspace(0, boxes.n_tiles - 1, min(int(wanted), boxes.n_tiles)).round().astype(np.int64)
    return _with_fields(Part(region, n, []), work, outline, boxes, chosen)


def _looks_for_molecules(work: Work) -> bool:
    """Whether detections have frames, and are not merged to molecules already."""
    names = [name for name in work.get(INPUT, 0).column_names if name != "loc_id"]
    return work.settings.merge is None and work.dimensions() == 2 and bool(find_carried(names, ["frame"]))


def _inside(outline: shapely.Geometry, work: Work) -> Iterator[np.ndarray]:
    for xy_nm in selected_xy(work):
        yield xy_nm[shapely.intersects_xy(outline, xy_nm)]


def _extent(stream: Iterable[np.ndarray]) -> tuple[int, list[float]]:
    """How many localizations there are, and their bounds."""
    n, low, high = 0, np.full(2, np.inf), np.full(2, -np.inf)
    for xy_nm in stream:
        n += len(xy_nm)
        low, high = (
            np.minimum(low, xy_nm.min(axis=0, initial=np.inf)),
            np.maximum(high, xy_nm.max(axis=0, initial=-np.inf)),
        )
    return n, [*low.tolist(), *high.tolist()]


def _with_fields(part: Part, work: Work, outline: shapely.Geometry, boxes: Partition, chosen: np.ndarray) -> Part:
    """A part with the localizations of the chosen boxes as its sub-fields."""
    tile, points, uncertainty, frame = _collected(work, outline, boxes, chosen)
    molecule = np.arange(len(points))
    if _looks_for_molecules(work) and len(points) and np.array_equal(frame, np.rint(frame)):
        molecule = merge_detections(points, frame, uncertainty_nm=uncertainty).molecule
    has = uncertainty > 0
    known = len(has) > 0 and bool(has.all())
    fields = []
    for number in chosen:
        mine = tile == number
        if mine.sum() < work.network.least_localizations:
            continue
        place = shapely.intersection(outline, _box(boxes, int(number), shapely.bounds(outline)))
        if not place.area > 0:
            continue
        _, numbered = np.unique(molecule[mine], return_inverse=True)
        fields.append((Localizations(points[mine], uncertainty[mine] if known else None, numbered), place))
    return replace(
        part,
        fields=fields,
        detections_per_molecule=len(molecule) / max(1, len(np.unique(molecule))),
        precision_nm=float(np.median(uncertainty[has])) if has.any() else None,
        precision_missing=float(1 - has.mean()) if has.any() else None,
    )


def _collected(
    work: Work, outline: shapely.Geometry, boxes: Partition, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Box, coordinates, precision and frame of the localizations of boxes inside of an outline, in an order that is
    not that of the rows; NaN for a precision or a frame that is not known."""
    facts, found = work.facts(), list[np.ndarray]()
    for chunk in range(facts["chunks"]):
        table = work.get(INPUT, chunk)
        rows = np.flatnonzero(selected(work, table, facts))
        points = coordinates(table)[rows]
        tile = boxes.tile_of(points[:, :2])
        mine = np.isin(tile, chosen)
        mine[mine] = shapely.intersects_xy(outline, points[mine][:, :2])
        own = find_carried([c for c in table.column_names if c != "loc_id"], ["uncertainty_nm", "frame"])
        columns = {c.name: c.factor * _numbers(table[c.column])[rows[mine]] for c in own}
        nothing = np.full(int(mine.sum()), np.nan)
        both = (columns.get(name, nothing) for name in ("uncertainty_nm", "frame"))
        found.append(np.column_stack([tile[mine], points[mine], *both]))
    everything = np.concatenate(found)
    everything = everything[np.lexsort(everything.T[::-1])]
    return everything[:, 0], everything[:, 1:-2], everything[:, -2], everything[:, -1]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy()


def _box(boxes: Partition, number: int, bounds_nm: np.ndarray) -> shapely.Geometry:
    """A box of a partition, cut off at the bounds of the outline."""
    x0, y0 = np.maximum(boxes.lower_nm[number], bounds_nm[:2]).tolist()
    x1, y1 = np.minimum(boxes.upper_nm[number], bounds_nm[2:]).tolist()
    return shapely.box(x0, y0, x1, y1)
