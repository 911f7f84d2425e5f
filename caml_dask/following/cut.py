"""From an input to the localizations of each window: read, filtered, corrected, merged, then cut by frames.

Drift and re-blinking are those of all frames, so what deals with them comes before the windows. Each chunk of the
input is ordered by frames once; a window takes its stretch of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.errors import InputError
from caml_dask.executors.in_memory import analyse
from caml_dask.following.windows import TimeWindows, Window
from caml_dask.io.readers.carried import CarriedColumn, find_carried
from caml_dask.pipeline import carried_by
from caml_dask.schema import CARRIED, COORDINATES
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.read import check_frames
from caml_dask.stages.shared.selection import selected
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import INPUT

_BY_FRAME = "by_frame"
_OPTION = "--time-window"
INPUT_LOC_ID = "input_loc_id"
"""Column of a window's localizations: their loc_id in the whole table; of a molecule, that of its first detection."""


@dataclass(frozen=True)
class Cut:
    """An input, cut to windows.

    Attributes
    ----------
    windows : list of Window
        The windows.
    left_out : int
        Frames at the end that are in none.
    work : Work
        Where their localizations are.
    chunks : list of ((m,) int64, (m + 1,) int64)
        Of each chunk of the input its frames, ascending, and the rows where each begins.
    columns : list of str
        Columns of the localizations.
    """

    windows: list[Window]
    left_out: int
    work: Work
    chunks: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
    columns: list[str]

    def localizations(self) -> Iterator[tuple[Window, pa.Table]]:
        """Each window with its localizations, in an order that is that of their frames and coordinates."""
        order = ["frame", *(name for name in self.columns if name != "frame")]
        for window in self.windows:
            table = pa.concat_tables([self._stretch(number, window) for number in range(len(self.chunks))])
            yield window, table.sort_by([(name, "ascending") for name in order]).combine_chunks()

    def _stretch(self, chunk: int, window: Window) -> pa.Table:
        frames, starts = self.chunks[chunk]
        first, past = starts[np.searchsorted(frames, [window.start, window.stop])]
        return self.work.store.get_rows(_BY_FRAME, chunk, slice(int(first), int(past)), self.columns)


def settings_of_windows(settings: Settings) -> Settings:
    """How the localizations of windows are analyzed, after what is done with all of them.

    Parameters
    ----------
    settings : Settings
        What was asked for.

    Returns
    -------
    Settings
        The same without the columns, the filter, drift and merging, of which the localizations of a window know
        nothing; of any extent, for that of the whole was looked at.
    """
    return replace(settings, columns=ColumnMap(), where=None, drift=None, merge=None, any_extent=True)


def carried_for(settings: Settings) -> tuple[str, ...]:
    """Columns that the input is asked for: those of the stages, and the frames.

    Parameters
    ----------
    settings : Settings
        Settings of the analysis.

    Returns
    -------
    tuple of str
        Canonical names.
    """
    return tuple(dict.fromkeys((*carried_by(settings), "frame")))


def cut(work: Work, tables: Iterable[pa.Table], windows: TimeWindows, threads: int = 1) -> Cut:
    """Bring an input to the localizations that are analyzed, and cut their frames to windows.

    Parameters
    ----------
    work : Work
        The input's image and settings, over a store that is empty; it carries `carried_for` the settings.
    tables : iterable of pyarrow.Table
        The input.
    windows : TimeWindows
        How frames are cut.
    threads : int
        Threads of drift and merging.

    Returns
    -------
    Cut
        The windows and their localizations.

    Raises
    ------
    InputError
        An input that cannot be analyzed, or without frames.
    UsageError
        Fewer frames than a window, or too many windows.
    """
    analyse(work, _in_the_plane(work, tables), {}, before="plan", threads=threads)
    facts = work.facts()
    chunks, columns = [], list[str]()
    for number in range(facts["chunks"]):
        table = work.get(INPUT, number)
        own = [name for name in table.column_names if name not in ("loc_id", *COORDINATES)]
        carried = find_carried(own, [column.name for column in CARRIED])
        if work.settings.merge is not None:
            carried = [CarriedColumn("frame", "first_frame", 1.0), *carried]
        taken = selected(work, table, facts)
        check_frames(work, table, taken, carried, _OPTION)
        kept = _ordered(table.filter(pa.array(taken)), facts["coordinates"], carried)
        work.store.put(_BY_FRAME, number, kept, ranged=True)
        columns = kept.column_names
        frames, starts = np.unique(kept["frame"].to_numpy(), return_index=True)
        chunks.append((frames, np.append(starts, len(kept))))
    ends = [int(frame) for of, _ in chunks for frame in (*of[:1], *of[-1:])]
    found, left_out = windows.over(min(ends), max(ends))
    return Cut(found, left_out, work, chunks, columns)


def _in_the_plane(work: Work, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        if COORDINATES[2] in table.column_names:
            raise InputError(
                "has 3 coordinates a localization, and clusters are followed in the plane: leave z out with --columns "
                "x=...,y=...,unit=...",
                work.image.path,
            )
        yield table


def _ordered(table: pa.Table, coordinates: list[str], carried: list[CarriedColumn]) -> pa.Table:
    """Coordinates and known columns under their canonical names, by frames; the rows of the input come last."""
    types = {column.name: column.type for column in CARRIED}
    columns = {name: table[name] for name in coordinates}
    for column in carried:
        kind = table.schema.field(column.column).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            continue
        values = pc.multiply(pc.cast(table[column.column], pa.float64()), column.factor)
        columns[column.name] = pc.cast(values, types[column.name])
    columns[INPUT_LOC_ID] = pc.cast(table["loc_id"], pa.int64())
    return pa.table(columns).sort_by("frame")
