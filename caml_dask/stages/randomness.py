"""Stage `randomness`: the image and its clusters, compared with fields in which molecules lie by chance.

Parts of the image, the sub-fields, are scored by themselves, and so are random fields like them: same outline, number
of localizations, density trend and re-blinks, same network or method, same settings. What they differ in is then what
molecules have to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import scipy

from caml_dask.io.manifest import Image
from caml_dask.io.store import MemoryStore
from caml_dask.randomness.fields import Localizations, Randomness
from caml_dask.randomness.verdicts import p_value, q_values, scan_statistic
from caml_dask.schema import COORDINATES, NO_CLUSTER, arrow_schema
from caml_dask.settings import ColumnMap
from caml_dask.stages.read import ingest
from caml_dask.stages.shared.clusters import clusters_of
from caml_dask.stages.shared.sub_fields import Part, parts_of
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import UNCOMPARED, Stage, reading
from caml_dask.stages.tables import (
    BOXES,
    CELL_MASK,
    CSR_TEST,
    CUTS,
    FACTS,
    INPUT,
    LABELS,
    MEASURED,
    ROIS,
    VERDICTS,
    Table,
)

RANDOM_FIELDS = 20, 40
"""Random fields for an image that is one sub-field, and at least for others."""
_SEED = 0xCA31
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class _Scored:
    """What the network or method found of one field.

    n : its localizations
    mean_p : their mean score for clustered; of a method, which has no scores, the share it labels so
    members, radius_nm : (c,) of its clusters
    """

    n: int
    mean_p: float
    members: np.ndarray
    radius_nm: np.ndarray


@dataclass(frozen=True)
class _Compared:
    """A part of the image, with what the network found of its sub-fields and of random fields like them."""

    part: Part
    seen: list[_Scored]
    random: list[_Scored]


@dataclass(frozen=True)
class _Judged:
    """Which clusters are kept.

    verdicts : the table of this name
    density : localizations per nm2 or nm3 that the scan statistic compares with
    least : scan statistic of the clusters that are kept, at least
    """

    verdicts: pa.Table
    density: float
    least: float


def compare(work: Work, unit: int, finding: Sequence[Stage] = (), given: Sequence[Table] = ()) -> dict[str, Any]:
    """Test the image, its regions of interest and its clusters against randomness.

    finding : the stages that find the clusters of an image, behind the one that reads
    given : tables of the image that random fields are scored with
    """
    parts = list(parts_of(work))
    compared = [_compared(part, partial(_scored, work, finding, given)) for part in parts if part.fields]
    judged = _judged(work, parts[0], compared)
    work.put(VERDICTS, 0, judged.verdicts)
    rows = [_row(one, judged, work.dimensions()) for one in compared]
    work.put(CSR_TEST, 0, pa.Table.from_pylist(rows, arrow_schema(CSR_TEST.columns)))
    return {"rows": work.facts()["finite"]}


def _compared(part: Part, score: Callable[[Localizations], _Scored]) -> _Compared:
    """Score the sub-fields of a part, and random fields like each of them in turn."""
    like = [Randomness.of(field, outline) for field, outline in part.fields]
    wanted = RANDOM_FIELDS[0] if len(like) == 1 else max(RANDOM_FIELDS[1], len(like))
    chances = (np.random.default_rng([_SEED, part.region + 1, number]) for number in range(wanted))
    random = [score(like[number % len(like)].draw(chance)) for number, chance in enumerate(chances)]
    return _Compared(part, [score(field) for field, _ in part.fields], random)


def _row(compared: _Compared, judged: _Judged, dimensions: int) -> dict[str, Any]:
    """A row of CSR_TEST. Random fields count the clusters that would be kept of an image."""
    part, random = compared.part, compared.random
    percent, clusters = np.empty(len(random)), np.empty(len(random))
    for number, field in enumerate(random):
        kept = scan_statistic(field.members, field.radius_nm, judged.density, dimensions) >= judged.least
        percent[number] = 100.0 * field.members[kept].sum() / field.n
        clusters[number] = np.count_nonzero(kept) / field.n
    # the error of the mean, and that of an image, which is as large as many fields
    images = min(float(np.mean([field.n for field in random])) / part.n, 1.0)
    error = scipy.special.stdtrit(len(random) - 1, (1 + _CONFIDENCE) / 2) * np.sqrt(1 / len(random) + images)
    return {
        "region_id": part.region,
        "p_value": p_value([field.mean_p for field in compared.seen], [field.mean_p for field in random]),
        "percent": float(percent.mean()),
        "percent_error": float(error * percent.std(ddof=1)),
        "clusters": float(clusters.mean()),
        "clusters_error": float(error * clusters.std(ddof=1)),
        "sub_fields": len(compared.seen),
        "random_fields": len(random),
        "localizations": sum(field.n for field in random),
        "detections_per_molecule": part.detections_per_molecule,
        "precision_nm": part.precision_nm,
        "precision_missing": part.precision_missing,
    }


def _scored(work: Work, finding: Sequence[Stage], given: Sequence[Table], field: Localizations) -> _Scored:
    """What the network or method finds of a field by itself, by the stages of any other image."""
    plain = replace(
        work.settings, columns=ColumnMap(), where=None, roi=None, roi_pixel_nm=None, cell_mask=None, merge=None,
        drift=None, area_um2=None, max_localizations=None, any_extent=True, save_features=False, test=False, fdr=None,
    )  # fmt: skip
    columns: dict[str, np.ndarray] = {"loc_id": np.arange(len(field), dtype=np.uint64)}
    columns |= dict(zip(COORDINATES, field.points_nm.T))
    if field.uncertainty_nm is not None:
        columns["uncertainty_nm"] = field.uncertainty_nm
    alone = Work(Image("random"), plain, work.network, MemoryStore(), work.carried)
    ingest(alone, [pa.table(columns)])
    for table in given:
        alone.put(table, 0, work.get(table, 0))
    for stage in finding:
        for unit in range(stage.units(alone)):
            stage.do(alone, unit)
    labels, cluster = alone.get(LABELS, 0), clusters_of(alone, 0)[0]
    order = np.argsort(labels["loc_id"].to_numpy())
    name = next(iter(work.network.score_columns), "label")
    score = labels[name].to_numpy()[order].astype(np.float64)
    cluster = cluster[order]
    mean_p = float(np.mean(1 - score if name == "p_non" else score))
    return _Scored(len(field), mean_p, *_sizes(field.points_nm, cluster))


def _sizes(points_nm: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Members and radius of gyration of each cluster."""
    inside = cluster != NO_CLUSTER
    _, number = np.unique(cluster[inside], return_inverse=True)
    members = np.bincount(number)
    squared = np.zeros(len(members))
    for axis in points_nm[inside].T:
        mean = np.bincount(number, weights=axis) / members
        squared += np.bincount(number, weights=(axis - mean[number]) ** 2) / members
    return members, np.sqrt(squared)


def _judged(work: Work, whole: Part, compared: Sequence[_Compared]) -> _Judged:
    """The q value of each cluster, and whether the settings keep it; all are kept of what cannot be tested."""
    names = ["cluster_id", "n_localizations", "radius_of_gyration_nm"]
    tables = [work.get(MEASURED, tile, names) for tile in range(work.partition().n_tiles)]
    ids, members, radius_nm = (column.to_numpy() for column in pa.concat_tables(tables).sort_by("cluster_id").columns)
    schema = arrow_schema(VERDICTS.columns)
    if not whole.fields:
        columns = [ids, pa.nulls(len(ids), pa.float64()), np.full(len(ids), True)]
        return _Judged(pa.table(columns, schema=schema), 0.0, 0.0)
    density, random = whole.density, compared[0].random
    seen = scan_statistic(members, radius_nm, density, work.dimensions())
    chance = [scan_statistic(field.members, field.radius_nm, density, work.dimensions()) for field in random]
    q = q_values(seen, np.concatenate(chance), work.facts()["finite"] / sum(field.n for field in random))
    most = work.settings.fdr
    kept = np.full(len(q), True) if most is None else q <= most
    least = 0.0 if most is None else float(seen[kept].min(initial=np.inf))
    return _Judged(pa.table([ids, q, kept], schema=schema), density, least)


STAGE = Stage(
    name="randomness",
    title="comparing with random fields",
    per="image",
    run=compare,
    effort=8,
    conserves=UNCOMPARED,
    reads=(FACTS, INPUT, ROIS, CELL_MASK, BOXES, CUTS, MEASURED),
    writes=(CSR_TEST, VERDICTS),
)


def stage_after(finding: Sequence[Stage], given: tuple[Table, ...] = ()) -> Stage:
    """The stage for an analysis whose clusters some stages find, the one that reads among them.

    given : tables of the image that random fields are scored with too; the stages that would make them are left out
    """
    stages = tuple(stage for stage in finding[1:] if not set(stage.writes) & set(given))
    return reading(replace(STAGE, run=partial(compare, finding=stages, given=given)), given)
