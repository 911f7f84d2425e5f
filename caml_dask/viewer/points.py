"""The localizations in a box, from the row groups that it meets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Box: TypeAlias = Sequence[float]
"""x0, y0, x1, y1 in nm; closed."""


@dataclass(frozen=True)
class Found:
    """What lies in a box.

    Parameters
    ----------
    total : int
        Localizations in it; where there are more than were asked for, at least that many.
    columns : mapping of str to array
        Of each of them, in the order of the file; empty where there are more than were asked for.
    """

    total: int
    columns: dict[str, npt.NDArray[Any]]


class Points:
    """Localizations that :func:`caml_dask.viewer.prepare.prepare` ordered by place.

    Parameters
    ----------
    path : Path
        The Parquet file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metadata = pq.read_metadata(path)
        self.names: list[str] = self._metadata.schema.names

    @property
    def rows(self) -> int:
        """Localizations in all."""
        return int(self._metadata.num_rows)

    def inside(self, box: Box, most: int) -> Found:
        """The localizations in a box.

        Parameters
        ----------
        box : sequence of float
            x0, y0, x1, y1 in nm.
        most : int
            Of more than so many, none is returned.

        Returns
        -------
        Found
            Of row groups that lie inside as a whole, those beyond `most` are not even read.
        """
        lower, upper = np.array(box[:2]), np.array(box[2:])
        bounds, rows = self._groups
        met = np.all((bounds[:, :2] <= upper) & (bounds[:, 2:] >= lower), axis=1)
        whole = np.all((bounds[:, :2] >= lower) & (bounds[:, 2:] <= upper), axis=1)
        if (total := int(rows[whole].sum())) > most:
            return Found(total, {})
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            table = file.read_row_groups(np.flatnonzero(met).tolist(), use_threads=False)
        columns = {name: table[name].to_numpy() for name in self.names}
        x, y = columns["x_nm"], columns["y_nm"]
        kept = (x >= lower[0]) & (x <= upper[0]) & (y >= lower[1]) & (y <= upper[1])
        if (total := int(kept.sum())) > most:
            return Found(total, {})
        return Found(total, {name: column[kept] for name, column in columns.items()})

    @cached_property
    def _groups(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """(g, 4) bounds of each row group, from its statistics, and (g,) its rows."""
        x, y = (self.names.index(name) for name in ("x_nm", "y_nm"))
        bounds, rows = np.zeros((self._metadata.num_row_groups, 4)), []
        for number in range(len(bounds)):
            group = self._metadata.row_group(number)
            sides = [group.column(axis).statistics for axis in (x, y)]
            bounds[number] = [side.min for side in sides] + [side.max for side in sides]
            rows.append(group.num_rows)
        return bounds, np.array(rows, dtype=np.int64)
