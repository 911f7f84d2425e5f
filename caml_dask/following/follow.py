"""Clusters followed in memory: what :func:`caml_dask.follow` does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
from joblib import effective_n_jobs

from caml_dask.api import Analysis, analyze
from caml_dask.errors import UsageError
from caml_dask.executors.kernels import compile_kernels
from caml_dask.following.cut import Cut, carried_for, cut, settings_of_windows
from caml_dask.following.film import draw_film
from caml_dask.following.link import LEAST_OVERLAP
from caml_dask.following.results import check_network, check_overlap, summarize, windows_table
from caml_dask.following.seen import FloatArray, Seen, see
from caml_dask.following.tracks import Tracks, track
from caml_dask.following.windows import TimeWindows
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import Localizations, as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.networks.trained import load_for
from caml_dask.settings import DEFAULT_NETWORK, ColumnMap, Settings, network_named
from caml_dask.stages.shared.work import Work


class FollowSettings(TypedDict, total=False):
    """Settings that :func:`follow` takes by name, as of :class:`caml_dask.settings.Settings`."""

    max_localizations: int | None
    nonfinite: str
    min_points: int
    any_extent: bool
    where: str | None
    merge: str | None
    drift: str | None
    test: bool
    fdr: float | None


@dataclass(frozen=True, repr=False, eq=False)
class Following:
    """Clusters followed through windows of frames.

    Attributes
    ----------
    tracks, points, events : pandas.DataFrame
        Tracks, their clusters in each window, and what happened (``following.tables``).
    windows : pandas.DataFrame
        A row a window; columns as of ``following.tables.WINDOWS``.
    analyses : dict of int to Analysis
        The analysis of each window by its number; none of those with too few localizations.
    summary : dict
        Numbers of windows, tracks and events, medians, warnings.
    seen : list of Seen
        What was seen of the clusters of each window that was analyzed.
    """

    tracks: pd.DataFrame
    points: pd.DataFrame
    events: pd.DataFrame
    windows: pd.DataFrame
    analyses: dict[int, Analysis]
    summary: dict[str, Any]
    seen: list[Seen]

    def __repr__(self) -> str:
        happened = ", ".join(f"{number:,} {kind}" for kind, number in self.summary["events"].items())
        lines = [f"Following: {len(self.tracks):,} tracks in {len(self.windows):,} windows; events: {happened}"]
        lines += [f"  warning: {warning}" for warning in self.summary["warnings"]]
        return "\n".join([*lines, "  .tracks, .points, .events, .windows, .analyses, .summary, .draw()"])

    def draw(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Write the film strip as PNG.

        Parameters
        ----------
        path : path
            File to write.
        title : str
            What stands above.
        """

        def points_of(window: int) -> FloatArray:
            return self.analyses[window].points[["x_nm", "y_nm"]].to_numpy()

        draw_film(Path(path), title, self.seen, points_of, Tracks(self.tracks, self.points, self.events))


def follow(
    localizations: Localizations,
    network: str | os.PathLike[str] = DEFAULT_NETWORK,
    *,
    time_window: int,
    time_step: int | None = None,
    least_overlap: float = LEAST_OVERLAP,
    columns: ColumnMap | str | None = None,
    n_jobs: int | None = -1,
    **settings: Unpack[FollowSettings],
) -> Following:
    """Analyze windows of frames, and follow clusters from one to the next.

    Drift is corrected and detections are merged, where asked for, before the frames are cut to windows; a molecule
    belongs to the windows that hold its first detection. Windows are not compared with random fields unless
    ``test=True``.

    Parameters
    ----------
    localizations : path, array or table
        As :func:`caml_dask.analyze` takes them, in 2D, with the frame of each localization.
    network : str or path
        Name of a network, or the folder of one of your own.
    time_window : int
        Frames of a window.
    time_step : int, optional
        Frames from the start of a window to that of the next; by default those of a window.
    least_overlap : float
        Share of the smaller of two outlines of successive windows that makes them one cluster, above 0 to 1.
    columns : str or ColumnMap, optional
        Which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the headers do not say.
    n_jobs : int, optional
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    **settings
        Other fields of :class:`caml_dask.settings.Settings`: ``where=``, ``drift=``, ``merge=``, ``min_points=``,
        ``test=``, ``fdr=``, ``max_localizations=``, ``nonfinite=`` and ``any_extent=``.

    Returns
    -------
    Following
        Tracks, events and windows.

    Raises
    ------
    UsageError
        Windows or settings that cannot be used, or fewer frames than a window.
    InputError
        Localizations that cannot be analyzed, without frames, or so few that no window can be analyzed.
    """
    unknown = sorted(set(settings) - set(FollowSettings.__annotations__))
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}: use one of {', '.join(FollowSettings.__annotations__)}")
    windows, named = TimeWindows(time_window, time_step), ColumnMap.of(columns)
    check_overlap(least_overlap)
    settings.setdefault("test", False)
    chosen = Settings(network_named(network), columns=named, **settings)
    loaded, threads = load_for(chosen), effective_n_jobs(n_jobs)
    check_network(loaded)
    table = as_localizations(localizations, named)
    compile_kernels(chosen.finder)
    work = Work(Image("in_memory"), chosen, loaded, MemoryStore(), carried_for(chosen))
    cuts = cut(work, [table], windows, threads)
    return _followed(cuts, settings_of_windows(chosen), least_overlap, n_jobs)


def _followed(cuts: Cut, settings: Settings, least_overlap: float, n_jobs: int | None) -> Following:
    analyses: dict[int, Analysis] = {}
    counts = []
    for window, table in cuts.localizations():
        counts.append(len(table))
        if len(table) >= cuts.work.network.least_localizations:
            analyses[window.number] = analyze(
                table,
                settings.network,
                n_jobs=n_jobs,
                max_localizations=settings.max_localizations,
                min_points=settings.min_points,
                test=settings.test,
                fdr=settings.fdr,
                any_extent=True,
            )
    seen: list[Seen | None] = [
        None if (one := analyses.get(window.number)) is None else see(window, one.clusters, one.outlines, _members(one))
        for window in cuts.windows
    ]
    found = track(seen, least_overlap)
    table = windows_table(cuts.windows, counts, seen, {})
    return Following(
        found.tracks,
        found.points,
        found.events,
        table,
        analyses,
        summarize(found, table, cuts.left_out, cuts.work.network),
        [one for one in seen if one is not None],
    )


def _members(analysis: Analysis) -> list[pa.RecordBatch]:
    columns = analysis.points[["cluster_id", "frame"]].to_dict("series")
    return pa.table({name: np.asarray(values) for name, values in columns.items()}).to_batches()
