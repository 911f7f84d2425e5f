"""Tracks of clusters through windows, and what happened to them (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from caml_dask.following.link import LEAST_OVERLAP, Links, link
from caml_dask.following.seen import FloatArray, IntArray, Seen
from caml_dask.following.tables import (
    APPEAR,
    EVENTS,
    MERGE,
    SPLIT,
    TRACK_POINTS,
    TRACKS,
    UNSEEN,
    VANISH,
    frame_of,
)


@dataclass(frozen=True, eq=False)
class Tracks:
    """Clusters followed through windows.

    Attributes
    ----------
    tracks : pandas.DataFrame
        A row a track; columns as of ``following.tables.TRACKS``.
    points : pandas.DataFrame
        A row for each cluster of each window, by track and window; columns as of ``following.tables.TRACK_POINTS``.
    events : pandas.DataFrame
        A row for each cluster that appears, vanishes, merges or splits; columns as of ``following.tables.EVENTS``.
    """

    tracks: pd.DataFrame
    points: pd.DataFrame
    events: pd.DataFrame


def track(windows: Sequence[Seen | None], least_overlap: float = LEAST_OVERLAP) -> Tracks:
    """Follow clusters from window to window.

    A track goes on where a cluster and one of the next window are the same (`Links.same`). All else ends tracks and
    begins others. Nothing is bridged: a cluster that is missed in one window vanishes and appears.

    Parameters
    ----------
    windows : sequence of Seen or None
        The windows in their order; None for one with too few localizations to be analyzed.
    least_overlap : float
        Share of the smaller outline that links two clusters (:func:`caml_dask.following.link.link`).

    Returns
    -------
    Tracks
        Tracks, their clusters, and events.
    """
    made = _Making()
    for before, after in zip([None, *windows], [*windows, None], strict=True):
        made.step(before, after, least_overlap)
    return Tracks(made.tracks(windows), made.points(windows), made.events())


@dataclass
class _Making:
    """Tracks as they are made, window by window."""

    of: dict[int, IntArray] = field(default_factory=dict)  # window to the track of each of its clusters
    began: list[str] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)
    happened: list[dict[str, Any]] = field(default_factory=list)

    def step(self, before: Seen | None, after: Seen | None, least_overlap: float) -> None:
        """From a window to the next; either may be missing."""
        if before is None or after is None:
            if before is not None:
                self.ended |= dict.fromkeys(self.of[before.window.number].tolist(), UNSEEN)
            if after is not None:
                self._begin(after, np.full(len(after), UNSEEN, dtype=object), np.full(len(after), -1))
            return
        links = link(before, after, least_overlap)
        tracks = self.of[before.window.number]
        continued = np.full(len(after), -1)
        continued[links.after[links.same]] = tracks[links.before[links.same]]
        self._begin(after, _how(links, len(after), backward=True), continued)
        how = _how(links, len(before), backward=False)
        ends = np.setdiff1d(np.arange(len(before)), links.before[links.same])
        self.ended |= {int(tracks[k]): str(how[k]) for k in ends}
        self._note(before, after, links)

    def _begin(self, seen: Seen, how: np.ndarray, track: IntArray) -> None:
        new = np.flatnonzero(track < 0)
        track[new] = len(self.began) + np.arange(len(new))
        self.began += how[new].tolist()
        self.of[seen.window.number] = track

    def _note(self, before: Seen, after: Seen, links: Links) -> None:
        """Events between two windows, by kind and by the ids of clusters."""
        for k in np.setdiff1d(np.arange(len(after)), links.after):
            self._happen(APPEAR, before, after, np.array([], int), np.array([k]))
        for k in np.setdiff1d(np.arange(len(before)), links.before):
            self._happen(VANISH, before, after, np.array([k]), np.array([], int))
        for k in np.flatnonzero(np.bincount(links.after, minlength=1) > 1):
            self._happen(MERGE, before, after, links.before[links.after == k], np.array([k]))
        for k in np.flatnonzero(np.bincount(links.before, minlength=1) > 1):
            self._happen(SPLIT, before, after, np.array([k]), links.after[links.before == k])

    def _happen(self, kind: str, before: Seen, after: Seen, of: IntArray, to: IntArray) -> None:
        x, y = np.concatenate([before.centroids_nm[of], after.centroids_nm[to]]).mean(axis=0).tolist()
        parts = before.n_localizations[of] if kind == MERGE else after.n_localizations[to]
        self.happened.append(
            {
                "window": after.window.number,
                "frame": after.window.start,
                "kind": kind,
                "tracks_from": self.of[before.window.number][of].tolist(),
                "tracks_to": self.of[after.window.number][to].tolist(),
                "smallest_share": parts.min() / parts.sum() if kind in (MERGE, SPLIT) else None,
                "x_nm": x,
                "y_nm": y,
            }
        )

    def events(self) -> pd.DataFrame:
        return frame_of(EVENTS, {c.name: [event[c.name] for event in self.happened] for c in EVENTS})

    def points(self, windows: Sequence[Seen | None]) -> pd.DataFrame:
        seen = [window for window in windows if window is not None]

        def each(values: Sequence[Any]) -> np.ndarray:
            return np.concatenate([np.zeros(0, int), *values])

        numbers = [np.full(len(one), one.window.number) for one in seen]
        columns = {
            "track_id": each([self.of[one.window.number] for one in seen]),
            "window": each(numbers),
            "cluster_id": each([one.cluster_id for one in seen]),
            "first_frame": each([one.frames[:, 0] for one in seen]),
            "last_frame": each([one.frames[:, 1] for one in seen]),
            "centroid_x_nm": each([one.centroids_nm[:, 0] for one in seen]),
            "centroid_y_nm": each([one.centroids_nm[:, 1] for one in seen]),
            "area_nm2": each([one.area_nm2 for one in seen]),
            "n_localizations": each([one.n_localizations for one in seen]),
        }
        return frame_of(TRACK_POINTS, columns).sort_values(["track_id", "window"], ignore_index=True)

    def tracks(self, windows: Sequence[Seen | None]) -> pd.DataFrame:
        points = self.points(windows)
        middles = {one.window.number: one.window.middle for one in windows if one is not None}
        frame = points["window"].map(middles).to_numpy(np.float64)
        starts = np.flatnonzero(np.diff(points["track_id"], prepend=-1))
        ends = np.append(starts, len(points))[1:] - 1
        firsts, lasts = points.iloc[starts], points.iloc[ends]
        xy = points[["centroid_x_nm", "centroid_y_nm"]].to_numpy()
        path = np.append(0.0, np.cumsum(np.hypot(*np.diff(xy, axis=0).T)))
        area, number = points["area_nm2"].to_numpy(), ends + 1 - starts
        between = frame[ends] - frame[starts]
        way = np.array([path[last] - path[first] for first, last in zip(starts, ends, strict=True)])
        with np.errstate(invalid="ignore", divide="ignore"):
            speed = np.where(between > 0, way / between, np.nan)
        first, last = firsts["first_frame"].to_numpy(), lasts["last_frame"].to_numpy()
        began, ended = np.array(self.began, object), np.array([self.ended[k] for k in range(len(starts))], object)
        columns = {
            "track_id": firsts["track_id"].to_numpy(),
            "first_window": firsts["window"].to_numpy(),
            "last_window": lasts["window"].to_numpy(),
            "first_frame": first,
            "last_frame": last,
            "lifetime_frames": last + 1 - first,
            "lifetime_is_lower_bound": (began == UNSEEN) | (ended == UNSEEN),
            "began_by": began,
            "ended_by": ended,
            "displacement_nm": np.hypot(*(xy[ends] - xy[starts]).T),
            "path_nm": way,
            "speed_nm_per_frame": speed,
            "first_area_nm2": area[starts],
            "last_area_nm2": area[ends],
            "growth_nm2_per_frame": np.array(
                [_slope(frame[a : b + 1], area[a : b + 1]) for a, b in zip(starts, ends, strict=True)]
            ),
            "mean_localizations": np.add.reduceat(points["n_localizations"].to_numpy(), starts) / number
            if len(starts)
            else np.zeros(0),
        }
        return frame_of(TRACKS, columns)


def _how(links: Links, clusters: int, backward: bool) -> np.ndarray:
    """How each cluster of the later window began, or of the earlier one ended, that does not persist."""
    none, several, one_of_several = (APPEAR, MERGE, SPLIT) if backward else (VANISH, SPLIT, MERGE)
    number = np.bincount(links.after if backward else links.before, minlength=clusters)
    return np.where(number == 0, none, np.where(number > 1, several, one_of_several)).astype(object)


def _slope(x: FloatArray, y: FloatArray) -> float:
    if len(x) < 2:
        return float("nan")
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def median_lifetime(tracks: pd.DataFrame) -> float:
    """Median lifetime of the tracks whose beginning was seen, by Kaplan and Meier's estimate.

    Tracks that end unseen count as long as they were seen; those that begin unseen are left out.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Columns as of ``following.tables.TRACKS``.

    Returns
    -------
    float
        Frames after which half of the clusters have ended; NaN where more than half last longer than was seen.
    """
    seen = tracks[tracks["began_by"] != UNSEEN]
    ended = seen["ended_by"] != UNSEEN
    alive = 1.0
    for frames, ends in ended.groupby(seen["lifetime_frames"]):
        alive *= 1 - ends.sum() / (seen["lifetime_frames"] >= frames).sum()
        if alive <= 0.5:
            return float(frames)
    return float("nan")
