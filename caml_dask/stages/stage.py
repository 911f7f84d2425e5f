"""What a stage declares of itself: its units, what it does, and the law its rows keep (DESIGN law 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from caml_dask.errors import ConservationError
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import Table


@dataclass(frozen=True)
class Conservation:
    """What the `rows` in the records of a stage's units add up to.

    meaning : in words
    total : what they add up to, of the facts that reading found; None where they are not compared
    owns : what it returns for a tile is what that tile owns from then on
    owned : of each tile it returns just the rows that the tile owns
    detections : the rows are detections that are merged, not what they are merged to
    as_read : the rows are those of the input before drift is corrected
    """

    meaning: str
    total: str | None = None
    owns: bool = False
    owned: bool = False
    detections: bool = False
    as_read: bool = False


UNCOMPARED = Conservation("no localizations flow through it")
EVERY_ROW = Conservation("each row of the input once", total="rows")
FINITE_ROWS = Conservation("each row that is analyzed once", total="finite")
DEALT_ROWS = Conservation("each row that is analyzed in one tile, which owns it", total="finite", owns=True)
OWNED_ROWS = Conservation("of each tile the rows it owns, once", total="finite", owned=True)
EVERY_DETECTION = replace(EVERY_ROW, meaning="each detection of the input once", detections=True)
FINITE_DETECTIONS = replace(FINITE_ROWS, meaning="each detection with finite coordinates once", detections=True)
DEALT_DETECTIONS = replace(
    DEALT_ROWS, meaning="each detection with finite coordinates in one tile, which owns it", detections=True
)
OWNED_DETECTIONS = replace(OWNED_ROWS, meaning="of each tile the detections it owns, once", detections=True)
EVERY_ROW_READ = replace(EVERY_ROW, as_read=True)


@dataclass(frozen=True)
class Stage:
    """One step of the analysis of an image.

    name : as it stands in records
    title : what it does, as users read it while it runs
    per : what its units are: the "image" itself, the "chunk" of its input, or the "tile"; of detections that are
        merged, the "detection chunk" or "detection tile"; the "read chunk" of rows whose drift is not yet corrected
    run : does one unit and returns its record, with `rows` where localizations flow through it; call :meth:`do`
    effort : its share of the time of an image, in percent, as measured with XPILJZ on 1e7 localizations; of the field
        network's stages, what they take in the same measure
    conserves : what the rows of all its units add up to
    reads, writes : the tables it touches
    carries : columns of the input it needs beside the coordinates, by their names in ``schema.CARRIED`` or in the file
    """

    name: str
    title: str
    per: str
    run: Callable[[Work, int], dict[str, Any]]
    effort: int
    conserves: Conservation
    reads: tuple[Table, ...]
    writes: tuple[Table, ...]
    carries: tuple[str, ...] = ()

    def do(self, work: Work, unit: int) -> dict[str, Any]:
        """Do one unit, with no other tables at hand than the declared ones; returns its record."""
        return self.run(replace(work, reads=self.reads, writes=self.writes), unit)

    def units(self, work: Work) -> int:
        """How many units it has, once the stages before it are done."""
        if self.per == "chunk":
            return int(work.facts()["chunks"])
        if self.per == "detection chunk":
            return int(work.detection_facts()["chunks"])
        if self.per == "read chunk":
            return int(work.read_facts()["chunks"])
        if self.per == "detection tile":
            return work.detection_tiles().n_tiles
        return work.partition().n_tiles if self.per == "tile" else 1

    def check_rows(self, work: Work, rows: list[int], owned: list[int]) -> list[int]:
        """Compare the rows that its units returned with its law.

        rows : of each unit
        owned : rows that each tile owns, as the stages before it have it; empty where no tile owns any yet

        Returns
        -------
        rows that each tile owns from now on

        Raises
        ------
        ConservationError : they differ; the stage, and where it can be told the tile, are named.
        """
        if self.conserves.total is None:
            return owned
        facts = work.read_facts if self.conserves.as_read else work.facts
        expected = (work.detection_facts if self.conserves.detections else facts)()[self.conserves.total]
        if sum(rows) != expected:
            raise ConservationError(f"{work.image.image_id}: {self.name} returned {sum(rows)} rows of {expected}")
        if self.conserves.owned and rows != owned:
            tile = next(i for i in range(len(rows)) if rows[i] != owned[i])
            raise ConservationError(
                f"{work.image.image_id}: {self.name} returned {rows[tile]} rows of tile {tile}, which owns "
                f"{owned[tile]}"
            )
        return rows if self.conserves.owns else owned


def reading(stage: Stage, tables: tuple[Table, ...]) -> Stage:
    """The same stage where it reads further tables."""
    return replace(stage, reads=(*stage.reads, *tables))
