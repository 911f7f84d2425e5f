"""What many tests share: a five-line network, a hand-drawn field, and an oracle that knows no tiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.readers.sources import Source, list_channels, open_source
from caml_dask.io.store import MemoryStore
from caml_dask.settings import ColumnMap, Settings
from caml_dask.simulate import Scenario, simulate_square
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work

SHARED = Path(__file__).parents[2] / "shared" / "data"
"""Real and labelled tables beside the project; tests that read them skip where they are missing."""

# Two clusters of five and four, a pair that is too small, and loners. A reader can check it on squared paper (nm).
HAND_DRAWN = np.array(
    [
        [10, 10], [12, 10], [10, 12], [12, 12], [11, 11],
        [50, 50], [52, 50], [50, 52], [52, 52],
        [90, 10], [92, 10],
        [10, 60], [80, 90], [95, 60], [40, 5], [30, 90],
    ],
    dtype=np.float64,
)  # fmt: skip
HAND_DRAWN_CLUSTERS = np.array([0] * 5 + [5] * 4 + [-1] * 7)


def open_sources(path: Path | str, columns: ColumnMap | None = None) -> list[Source]:
    """The images in a file, one or one a channel, opened as for the second reading of a run."""
    path, columns = Path(path), columns or ColumnMap()
    return [open_source(path, columns, channel, settle=True) for channel in list_channels(path, columns)]


@dataclass(frozen=True)
class Threshold:
    """Clustered where the `rank`-th neighbor is nearer than `below` times the last of the window (free of scale)."""

    n_neighbors: int = 5
    rank: int = 3
    below: float = 0.5
    dimensions: int = 2
    name: str = "threshold"
    classes: tuple[str, ...] = ("non-clustered", "clustered")
    score_columns: tuple[str, ...] = ("p_clustered",)
    trained_on: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    csr_percent: tuple[float, ...] = ()

    @property
    def least_localizations(self) -> int:
        return self.n_neighbors + 1

    def scores(self, distances: np.ndarray) -> np.ndarray:
        near = distances[:, self.rank - 1] < np.float32(self.below) * distances[:, -1]
        return near[:, None].astype(np.float32)

    def labels(self, scores: np.ndarray) -> np.ndarray:
        return (scores[:, 0] > 0.5).astype(np.int8)


@dataclass(frozen=True)
class TwoThresholds(Threshold):
    """Three classes: what is clustered is round where the first neighbor is nearer than half of the `rank`-th."""

    classes: tuple[str, ...] = ("non-clustered", "round", "fiber")
    score_columns: tuple[str, ...] = ("p_non", "p_round", "p_fiber")

    def scores(self, distances: np.ndarray) -> np.ndarray:
        near = super().scores(distances)[:, 0]
        round_ = distances[:, 0] < np.float32(0.5) * distances[:, self.rank - 1]
        return np.column_stack([1.0 - near, near * round_, near * ~round_]).astype(np.float32)

    def labels(self, scores: np.ndarray) -> np.ndarray:
        return scores.argmax(axis=1).astype(np.int8)


@dataclass(frozen=True)
class Result:
    """Tables of an analysis in memory."""

    points: pa.Table
    clusters: pa.Table
    work: Work

    @property
    def cluster_id(self) -> np.ndarray:
        return self.points["cluster_id"].to_numpy()


def analyse_in_memory(xy_nm: np.ndarray, network: object, tile: int, **settings: object) -> Result:
    """All stages over tiles of at most `tile` localizations."""
    table = as_localizations(xy_nm, ColumnMap())
    chosen = Settings(
        "XPILJZ", tile, any_extent=True, **{"test": False, **settings}
    )  # the stages of windows, whatever the network
    work = Work(Image("test"), chosen, network, MemoryStore())
    analyse(work, [table], {})
    clusters = pa.concat_tables(MeasuredClusters(work).tables()).combine_chunks()
    return Result(work.store.get("points", 0), clusters, work)


def oracle_neighbors(xy_nm: np.ndarray, k: int) -> np.ndarray:
    """(n, k) float64 distances to the k nearest others, ascending, by comparing everything with everything."""
    d = np.sqrt(((xy_nm[:, None, :] - xy_nm[None, :, :]) ** 2).sum(axis=2))
    np.fill_diagonal(d, np.inf)
    return np.sort(d, axis=1)[:, :k]


def oracle_clusters(xy_nm: np.ndarray, labels: np.ndarray, k: int, min_points: int = 3) -> np.ndarray:
    """cluster_id of each localization as DESIGN section 6 says it, by comparing everything with everything."""
    n = len(xy_nm)
    d = np.sqrt(((xy_nm[:, None, :] - xy_nm[None, :, :]) ** 2).sum(axis=2))
    apart = d + np.where(np.eye(n, dtype=bool), np.inf, 0.0)
    window, nearest = np.sort(apart, axis=1)[:, k - 1], apart.min(axis=1)
    links = np.zeros((n, n), dtype=bool)
    for p in np.flatnonzero(labels):
        other = d[p][labels != labels[p]]
        reach = (labels == labels[p]) & (apart[p] <= window[p]) & (d[p] < (other.min() if len(other) else np.inf))
        if reach.sum() >= 3:
            links[p] |= reach
    links |= links.T
    for component in _components(links, np.flatnonzero(labels)):
        b = 1.2 * (math.fsum(nearest[component]) / len(component))
        links[np.ix_(component, component)] &= d[np.ix_(component, component)] <= 2.0 * np.sqrt(3.0) * b
    cluster = np.full(n, -1)
    for component in _components(links, np.flatnonzero(labels)):
        if len(component) >= min_points:
            cluster[component] = min(component)
    return cluster


def _components(links: np.ndarray, rows: np.ndarray) -> list[list[int]]:
    seen: set[int] = set()
    found = []
    for start in rows.tolist():
        if start in seen:
            continue
        seen.add(start)
        component, front = [], [start]
        while front:
            p = front.pop()
            component.append(p)
            new = [q for q in np.flatnonzero(links[p]).tolist() if q not in seen]
            seen.update(new)
            front += new
        found.append(component)
    return found


def simulated_table(path: Path, side_nm: float = 5000.0, seed: int = 5) -> Path:
    """A ThunderSTORM CSV of a simulated square: about 100 localizations per um2, half of them in clusters of 20."""
    scenario = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=100.0)
    chunks = simulate_square(scenario, side_nm, np.random.default_rng(seed))
    xy = np.vstack([chunk.xy_nm for chunk in chunks])
    xy = np.random.default_rng(seed).permutation(xy).round(2)
    frame = np.arange(len(xy)) // 3
    lines = [f"{i},{frame[i]},{x},{y}" for i, (x, y) in enumerate(xy.tolist())]
    path.write_text('"id","frame","x [nm]","y [nm]"\n' + "\n".join(lines) + "\n")
    return path


def result_tables(directory: Path) -> dict[str, pa.Table]:
    """Every table of every image of a run, by image and name."""
    return {
        f"{image.name}/{name}": pq.read_table(image / f"{name}.parquet")
        for image in sorted(directory.iterdir())
        if image.is_dir() and image.name != ".run"
        for name in ("points", "clusters", "outlines")
    }


def done_records(directory: Path) -> dict[Path, int]:
    """Done records of a run with the time each was written."""
    return {path: path.stat().st_mtime_ns for path in (directory / ".run").rglob("done/*/*/*.json")}


def same(tables: dict[str, pa.Table], others: dict[str, pa.Table]) -> bool:
    """Whether two runs left the same tables, value by value."""
    return tables.keys() == others.keys() and all(tables[name].equals(others[name]) for name in tables)


def squares(points_nm: np.ndarray, others_nm: np.ndarray) -> np.ndarray:
    """(n, m) float64 squares of distances in nm2, summed axis by axis."""
    found = np.zeros((len(points_nm), len(others_nm)))
    for one, other in zip(points_nm.T, others_nm.T, strict=True):
        found += (one[:, None] - other[None, :]) ** 2
    return found


def nearest_core(cores_nm: np.ndarray, place_nm: np.ndarray, radius_nm: float) -> int:
    """Row of the core nearest to a place within a radius, of those equally far the one with the smallest coordinates;
    -1 where there is none."""
    d2 = squares(cores_nm, place_nm[None])[:, 0]
    near = [(d2[row], *cores_nm[row], row) for row in np.flatnonzero(d2 <= radius_nm * radius_nm)]
    return int(min(near)[-1]) if near else -1


def oracle_dbscan(points_nm: np.ndarray, eps_nm: float, min_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Cores, (n,) bool, and cluster_id of each localization, by comparing everything with everything."""
    near = squares(points_nm, points_nm) <= eps_nm * eps_nm
    core = near.sum(axis=1) >= min_samples
    cluster = np.full(len(points_nm), -1)
    for component in _components(near & core[:, None] & core[None, :], np.flatnonzero(core)):
        cluster[component] = component[0]
    rows = np.flatnonzero(core)
    for other in np.flatnonzero(~core):
        nearest = nearest_core(points_nm[core], points_nm[other], eps_nm)
        cluster[other] = -1 if nearest < 0 else cluster[rows[nearest]]
    return core, np.array([-1 if one < 0 else np.flatnonzero(cluster == one)[0] for one in cluster])
