"""Films of clusters that appear, move, merge, split and vanish, with the truth, for the benchmark and the tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

APART, TOUCHING, TOGETHER = 5.0, 2.0, 1.2  # distances of two discs, in radii
WITHIN = {"appear": 1.0, "vanish": 1.0, "merge": 2.0, "split": 2.0}
"""Windows that an event may be found early or late: discs that come near each other do so over some windows."""


@dataclass(frozen=True)
class Film:
    """Localizations, the discs that made them, and what happened.

    table : x [nm], y [nm], frame; in random order of rows
    discs : a row a disc: start and stop (frames, half-open), x_nm and y_nm at its start, dx_nm and dy_nm until its
        stop, single (it neither merges nor splits)
    events : a row an event: kind, frame, x_nm, y_nm, inner (it is not in the first or the last window, where clusters
        cannot be seen to appear or vanish for want of a window beside it)
    """

    table: pd.DataFrame
    discs: pd.DataFrame
    events: pd.DataFrame


@dataclass
class _Making:
    rng: np.random.Generator
    radius_nm: float
    each: float  # localizations of a disc per frame
    points: list[np.ndarray] = field(default_factory=list)
    discs: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)

    def disc(self, start: int, stop: int, at: np.ndarray, to: np.ndarray, single: bool) -> None:
        """A disc that moves evenly from one place to another."""
        frame = self.rng.integers(start, stop, self.rng.poisson(self.each * (stop - start)))
        share = ((frame - start) / max(1, stop - start))[:, None]
        angle = self.rng.uniform(0, 2 * np.pi, len(frame))
        r = self.radius_nm * np.sqrt(self.rng.random(len(frame)))
        xy = at + share * (to - at) + np.column_stack([r * np.cos(angle), r * np.sin(angle)])
        self.points.append(np.column_stack([xy, frame]))
        dx, dy = to - at
        row = {"start": start, "stop": stop, "x_nm": at[0], "y_nm": at[1], "dx_nm": dx, "dy_nm": dy, "single": single}
        self.discs.append(row)

    def happen(self, kind: str, frame: int, at: np.ndarray, inner: bool = True) -> None:
        self.events.append({"kind": kind, "frame": frame, "x_nm": at[0], "y_nm": at[1], "inner": inner})


def made_film(
    rng: np.random.Generator,
    *,
    windows: int = 12,
    width: int = 200,
    singles: int = 20,
    merging: int = 4,
    splitting: int = 4,
    side_nm: float = 6_000.0,
    radius_nm: float = 60.0,
    each: float = 30.0,
    loners: float = 300.0,
    move: float = 0.3,
    apart: float | None = None,
) -> Film:
    """A film of discs, each in a square of its own.

    windows, width : its frames, in windows of `width`
    singles : discs that appear, move and vanish; the film begins and ends with some of them
    merging, splitting : pairs of discs that come together and stay so, or the reverse
    each : localizations of a disc in a window
    loners : non-clustered localizations in a window
    move : radii that a single disc moves from a window to the next
    apart : least side of a square in radii; by default so wide that no disc comes near another but its partner
    """
    frames, made = windows * width, _Making(rng, radius_nm, each / width)
    apart = max(APART + 4, 5 + move * windows) if apart is None else apart
    places = _places(rng, singles + merging + splitting, side_nm, apart * radius_nm)
    for at in places[:singles]:
        start = int(rng.integers(-frames // 2, frames - 2 * width))
        stop = max(start, 0) + int(rng.integers(3 * width, frames))
        angle = rng.uniform(0, 2 * np.pi)
        way = move * radius_nm * np.array([np.cos(angle), np.sin(angle)]) * (min(stop, frames) - max(start, 0)) / width
        made.disc(max(start, 0), min(stop, frames), at - way / 2, at + way / 2, single=True)
        if start > 0:
            made.happen("appear", start, at - way / 2, inner=start >= width)
        if stop < frames:
            made.happen("vanish", stop, at + way / 2, inner=stop <= frames - width)
    for k, at in enumerate(places[singles:]):
        _pair(made, frames, at, kind="merge" if k < merging else "split")
    alone = rng.poisson(loners * windows)
    made.points.append(np.column_stack([rng.uniform(0, side_nm, (alone, 2)), rng.integers(0, frames, alone)]))
    points = rng.permutation(np.vstack(made.points))
    table = pd.DataFrame({"x [nm]": points[:, 0], "y [nm]": points[:, 1], "frame": points[:, 2].astype(np.int64)})
    events = pd.DataFrame(made.events, columns=["kind", "frame", "x_nm", "y_nm", "inner"])
    return Film(table, pd.DataFrame(made.discs), events)


def _pair(made: _Making, frames: int, at: np.ndarray, kind: str) -> None:
    """Two discs that meet in the middle of the film; played backwards they part."""
    angle = made.rng.uniform(0, 2 * np.pi)
    along = made.radius_nm / 2 * np.array([np.cos(angle), np.sin(angle)])
    half = frames // 2
    for side in (-1, 1):
        far, near = at + side * APART * along, at + side * TOGETHER * along
        for early in (True, False):
            moving = early == (kind == "merge")
            ends = (far, near) if kind == "merge" else (near, far)
            still = (near, near)
            made.disc(0 if early else half, half if early else frames, *(ends if moving else still), single=False)
    share = (APART - TOUCHING) / (APART - TOGETHER)
    made.happen(kind, round(half * share if kind == "merge" else frames - half * share), at)


def _places(rng: np.random.Generator, number: int, side_nm: float, apart_nm: float) -> np.ndarray:
    """Places of a grid whose squares are as wide as what moves in them, at random.

    Raises
    ------
    ValueError : they do not fit.
    """
    across = int(side_nm // apart_nm)
    if across**2 < number:
        raise ValueError(f"{number} places {apart_nm:.0f} nm apart do not fit in {side_nm:.0f} nm")
    chosen = rng.permutation(across**2)[:number]
    return (np.column_stack(np.divmod(chosen, across)) + 0.5) * side_nm / across


def events_found(
    film: Film, events: pd.DataFrame, width: int, near_nm: float, least_share: float = 0.0
) -> pd.DataFrame:
    """True events beside found ones, by kind: true, found (of the true ones), false.

    A found event is a true one of its kind at most `near_nm` away, with a frame that differs by at most `WITHIN`
    windows; each counts once. Found merges and splits whose smallest part is less than `least_share` are left out.
    """
    events = events[~(events["smallest_share"] < least_share)]
    rows = []
    for kind, within in WITHIN.items():
        truth, left = film.events[film.events["kind"] == kind], events[events["kind"] == kind]
        hits = 0
        for one in truth.itertuples():
            late = (left["frame"] - one.frame).abs()
            near = np.hypot(left["x_nm"] - one.x_nm, left["y_nm"] - one.y_nm) <= near_nm
            fitting = late[near & (late <= within * width)]
            if len(fitting):
                left = left.drop(fitting.idxmin())
                hits += bool(one.inner)
        rows.append({"kind": kind, "true": int(truth["inner"].sum()), "found": hits, "false": len(left)})
    return pd.DataFrame(rows).set_index("kind")


def tracks_of_discs(film: Film, tracks: pd.DataFrame, points: pd.DataFrame, near_nm: float) -> pd.DataFrame:
    """Of each single disc: its lifetime and displacement, and those of the longest track that keeps to its way.

    Lifetimes in frames, displacements in nm; those of a disc without a track are null.
    """
    rows = []
    middle = (points["first_frame"] + points["last_frame"]) / 2
    for disc in film.discs[film.discs["single"]].itertuples():
        lifetime = disc.stop - disc.start
        share = (middle - disc.start) / lifetime
        off = np.hypot(
            points["centroid_x_nm"] - disc.x_nm - share * disc.dx_nm,
            points["centroid_y_nm"] - disc.y_nm - share * disc.dy_nm,
        )
        mine = points[(off <= near_nm) & (share >= 0) & (share <= 1)]
        best = tracks[tracks["track_id"].isin(mine["track_id"])].sort_values("lifetime_frames").tail(1)
        found = best.iloc[0] if len(best) else {"lifetime_frames": np.nan, "displacement_nm": np.nan}
        rows.append(
            {
                "lifetime": lifetime,
                "lifetime_found": found["lifetime_frames"],
                "displacement_nm": np.hypot(disc.dx_nm, disc.dy_nm),
                "displacement_found_nm": found["displacement_nm"],
                "tracks": mine["track_id"].nunique(),
            }
        )
    return pd.DataFrame(rows)
