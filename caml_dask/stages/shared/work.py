"""What every stage is given: the store, the settings and the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import shapely

from caml_dask.errors import ConservationError, StoreError
from caml_dask.io.manifest import Image
from caml_dask.io.rois.roi import Roi
from caml_dask.io.store import Store
from caml_dask.schema import COORDINATES
from caml_dask.settings import LARGE_INPUT, LARGE_TILE_LOCALIZATIONS, TILE_LOCALIZATIONS, Settings
from caml_dask.spatial.partition import Partition
from caml_dask.stages.drift.tables import READ_FACTS
from caml_dask.stages.field.tables import REGION_BOXES, REGION_CUTS
from caml_dask.stages.merging.tables import DETECTION_BOXES, DETECTION_CUTS, DETECTION_FACTS
from caml_dask.stages.tables import BOXES, CELL_MASK, CUTS, FACTS, ROIS, Table

CHUNK_ROWS = 1_000_000  # input rows handled at a time while reading and while writing points


class Network(Protocol):
    """What labels localizations: a network with its weights, a method, or any other rule of the same shape."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def n_neighbors(self) -> int:
        """Neighbors in its window, N."""

    @property
    def least_localizations(self) -> int:
        """Localizations that an image needs."""

    @property
    def dimensions(self) -> int | None:
        """Dimensions of the localizations it takes, 2 or 3; None for both."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of `label`, non-clustered first."""

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of the scores in the points: p_clustered alone, one of each class where there are three, or none."""

    @property
    def trained_on(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest points_per_cluster, percent_clustered and contrast it was trained on; empty for a rule."""

    @property
    def csr_percent(self) -> tuple[float, ...]:
        """Percent of localizations it labels clustered in fields without clusters, of several densities."""


class WindowNetwork(Network, Protocol):
    """A network that sees the distances to the neighbors of a localization."""

    def scores(self, distances: np.ndarray) -> np.ndarray:
        """(n, N) float32 ascending distances to (n, c) float32 scores, c of `score_columns`, each row by itself."""

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """(n, c) float32 scores to (n,) int8 classes."""


@dataclass(frozen=True)
class Work:
    """A stage's world: it reads and writes tables of one image through the store, and nothing else.

    image, settings, network : what is analysed, how, and by which network
    store : where its tables and output files are
    carried : columns of the input that stages need beside the coordinates, by their canonical names
    reads, writes : the tables that may be touched, as the stage declares them; None for all
    """

    image: Image
    settings: Settings
    network: Network
    store: Store
    carried: tuple[str, ...] = ()
    reads: tuple[Table, ...] | None = None
    writes: tuple[Table, ...] | None = None

    def using(self, store: Store) -> Work:
        """The same image, settings and network over another store."""
        return replace(self, store=store)

    def put(self, table: Table, key: int, data: pa.Table, parts: Sequence[int] | None = None) -> None:
        """Keep a table.

        key : number of the chunk or tile it is of; 0 for the image's
        parts : the offsets at which :meth:`get_part` may take it apart again

        Raises
        ------
        StoreError : a table that the stage does not declare to write, or that is not as it is declared.
        """
        self._allow(table, self.writes, "writes")
        table.check(data)
        self.store.put(table.name, key, data, parts, table.ranged)

    def get(self, table: Table, key: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A table that was put; some of its columns, or all."""
        self._allow(table, self.reads, "reads")
        return self.store.get(table.name, key, columns)

    def get_part(self, table: Table, key: int, part: int) -> pa.Table:
        """One of the parts a table was put with."""
        self._allow(table, self.reads, "reads")
        return self.store.get_part(table.name, key, part)

    def filled(self, table: Table, key: int) -> list[int]:
        """Which of the parts a table was put with have rows."""
        self._allow(table, self.reads, "reads")
        return self.store.filled(table.name, key)

    def get_rows(self, table: Table, key: int, rows: slice | np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Successive rows, or those of the given numbers, of some columns of a table that is declared as ranged."""
        self._allow(table, self.reads, "reads")
        return self.store.get_rows(table.name, key, rows, columns)

    def _allow(self, table: Table, declared: tuple[Table, ...] | None, does: str) -> None:
        if declared is not None and table not in declared:
            raise StoreError(f"this stage {does} the table {table.name} and does not declare it: add it to its STAGE")

    def facts(self) -> dict[str, Any]:
        """What reading found, see :data:`caml_dask.stages.tables.FACTS`."""
        facts: dict[str, Any] = self.get(FACTS, 0).to_pylist()[0]
        return facts

    def detection_facts(self) -> dict[str, Any]:
        """The same of the detections, where they are merged."""
        facts: dict[str, Any] = self.get(DETECTION_FACTS, 0).to_pylist()[0]
        return facts

    def read_facts(self) -> dict[str, Any]:
        """The same of the input before its drift is corrected."""
        facts: dict[str, Any] = self.get(READ_FACTS, 0).to_pylist()[0]
        return facts

    def detection_tiles(self) -> Partition:
        """The tiles of the detections, where they are merged."""
        return self._boxes(DETECTION_BOXES, DETECTION_CUTS)

    def dimensions(self) -> int:
        """Coordinates a localization of the image has, 2 or 3."""
        return len(self.facts()["coordinates"])

    def rois(self) -> list[Roi]:
        """The regions of interest of the image, given or found; none where the settings name none."""
        given, mask = self.given_rois(), self.cell_mask()
        return given if self.settings.cell_mask is None or mask is None else [mask]

    def given_rois(self) -> list[Roi]:
        """The regions of interest that the settings name."""
        table = self.get(ROIS, 0)
        shapes = shapely.from_wkb(table["shape"].to_numpy(zero_copy_only=False))
        return [Roi(name, shape) for name, shape in zip(table["name"].to_pylist(), shapes, strict=True)]

    def cell_mask(self) -> Roi | None:
        """The part of the plane that localizations occupy; None where it was not looked for."""
        shapes = shapely.from_wkb(self.get(CELL_MASK, 0)["shape"].to_numpy(zero_copy_only=False))
        return Roi("cell mask", shapes[0]) if len(shapes) else None

    def partition(self) -> Partition:
        """The tiles of the image."""
        return self._boxes(BOXES, CUTS)

    def regions(self) -> Partition:
        """The regions of the image, for a network that asks for them."""
        return self._boxes(REGION_BOXES, REGION_CUTS)

    def put_partition(self, boxes: Table, cuts: Table, made: Partition) -> None:
        """Keep the boxes and cuts of a partition."""
        corners = np.hstack([made.lower_nm, made.upper_nm])
        names = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
        self.put(boxes, 0, pa.table({name: corners[:, i] for i, name in enumerate(names)}))
        tree = {"axis": made.axis, "at_nm": made.at_nm, "below": made.below, "above": made.above}
        self.put(cuts, 0, pa.table(tree))

    def _boxes(self, *tables: Table) -> Partition:
        boxes, cuts = (self.get(table, 0) for table in tables)
        corners = np.column_stack([boxes[c].to_numpy() for c in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")])
        return Partition(
            corners[:, :2], corners[:, 2:], *(cuts[c].to_numpy() for c in ("axis", "at_nm", "below", "above"))
        )


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How the Parquet files that users get are written: a dictionary of numbers that hardly repeat would cost both
    time and room."""
    repeated = [f.name for f in schema if not pa.types.is_floating(f.type) and f.name != "loc_id"]
    return {"compression": "zstd", "compression_level": 1, "use_dictionary": repeated}


def tile_size(settings: Settings, n: int) -> int:
    """Localizations a tile may hold, by the settings or by the size of the image (DESIGN section 5)."""
    if settings.max_localizations is not None:
        return settings.max_localizations
    return LARGE_TILE_LOCALIZATIONS if n > LARGE_INPUT else TILE_LOCALIZATIONS


def coordinates(table: pa.Table) -> np.ndarray:
    """The coordinate columns of a table as (n, d) float64."""
    return np.column_stack([table[name].to_numpy() for name in COORDINATES if name in table.column_names])


def xy(table: pa.Table) -> np.ndarray:
    """x and y of a table as (n, 2) float64."""
    return np.column_stack([table["x_nm"].to_numpy(), table["y_nm"].to_numpy()])


def finite(points: np.ndarray) -> np.ndarray:
    """Which of the localizations, (n, d) float64, have finite coordinates: (n,) bool."""
    return np.logical_and.reduce([np.isfinite(column) for column in points.T])


def lookup(ids: np.ndarray, values: Sequence[np.ndarray], wanted: np.ndarray, what: str) -> list[np.ndarray]:
    """Take `values` at the places of `wanted` in `ids`, ascending; every one of them must be there.

    Raises
    ------
    ConservationError : an id that is missing.
    """
    place = np.searchsorted(ids, wanted)
    if len(wanted) and (place.max() >= len(ids) or not np.array_equal(ids[place], wanted)):
        raise ConservationError(f"{what}: {len(wanted)} ids asked for, not all of the {len(ids)} kept ones fit them")
    return [v[place] for v in values]
