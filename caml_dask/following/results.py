"""What is said of an image whose clusters were followed: its windows, a summary, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from caml_dask.errors import InputError, UsageError
from caml_dask.following.seen import Seen
from caml_dask.following.tables import APPEAR, MERGE, SPLIT, VANISH, WINDOWS, frame_of
from caml_dask.following.tracks import Tracks, median_lifetime
from caml_dask.following.windows import Window
from caml_dask.stages.shared.work import Network

_RARELY = 0.5  # share of the tracks of a single window above which clusters are hardly followed


def check_overlap(least_overlap: float) -> None:
    """Refuse a share of outlines that is none.

    Parameters
    ----------
    least_overlap : float
        The share.

    Raises
    ------
    UsageError
        It is not above 0 and at most 1.
    """
    if isinstance(least_overlap, bool) or not isinstance(least_overlap, Real) or not 0 < least_overlap <= 1:
        raise UsageError(f"--least-overlap {least_overlap!r}: give a share above 0 and at most 1, such as 0.5")


def check_network(network: Network) -> None:
    """Refuse a network of 3D localizations.

    Parameters
    ----------
    network : Network
        The network.

    Raises
    ------
    UsageError
        It takes 3D localizations.
    """
    if network.dimensions != 2:
        raise UsageError(
            f"clusters are followed in the plane, and {network.name} takes 3D localizations: use a 2D network, and "
            "leave z out with --columns x=...,y=...,unit=..."
        )


def windows_table(
    windows: Sequence[Window], counts: Sequence[int], seen: Sequence[Seen | None], images: Mapping[int, str]
) -> pd.DataFrame:
    """The table of the windows.

    Parameters
    ----------
    windows : sequence of Window
        The windows.
    counts : sequence of int
        Their localizations.
    seen : sequence of Seen or None
        What is seen of each; None of one that was not analyzed.
    images : mapping
        Image_id by the number of the window, where they are images of a run.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``following.tables.WINDOWS``.
    """
    columns = {
        "window": [window.number for window in windows],
        "first_frame": [window.start for window in windows],
        "last_frame": [window.stop - 1 for window in windows],
        "localizations": list(counts),
        "clusters": [None if one is None else len(one) for one in seen],
        "image_id": [images.get(window.number) for window in windows],
    }
    return frame_of(WINDOWS, columns)


def summarize(found: Tracks, windows: pd.DataFrame, left_out: int, network: Network) -> dict[str, Any]:
    """What the summary says of an image.

    Parameters
    ----------
    found : Tracks
        Its tracks.
    windows : pandas.DataFrame
        Its windows.
    left_out : int
        Frames at the end that are in no window.
    network : Network
        What labelled the localizations.

    Returns
    -------
    dict
        Numbers of windows, tracks and events; medians, None where there is none; warnings.

    Raises
    ------
    InputError
        No window was analyzed.
    """
    empty = windows[windows["clusters"].isna()]
    if len(empty) == len(windows):
        raise InputError(
            f"no window has the {network.least_localizations} localizations that {network.name} needs; the fullest has "
            f"{windows['localizations'].max()}: give a longer --time-window"
        )
    kinds, tracks = found.events["kind"].value_counts(), found.tracks
    lasting = tracks[tracks["last_window"] > tracks["first_window"]]
    summary: dict[str, Any] = {
        "windows": len(windows),
        "windows_not_analyzed": len(empty),
        "frames_left_out": left_out,
        "clusters": int(windows["clusters"].sum()),
        "tracks": len(tracks),
        "tracks_of_one_window": len(tracks) - len(lasting),
        "events": {kind: int(kinds.get(kind, 0)) for kind in (APPEAR, VANISH, MERGE, SPLIT)},
        "lifetimes_seen_whole": int((~tracks["lifetime_is_lower_bound"]).sum()),
        "median_lifetime_frames": _known(median_lifetime(tracks)),
    }
    for name in ("displacement_nm", "speed_nm_per_frame", "growth_nm2_per_frame"):
        summary[f"median_{name}"] = _known(lasting[name].median())
    return summary | {"warnings": list(_warnings(tracks, empty, left_out, network))}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _warnings(tracks: pd.DataFrame, empty: pd.DataFrame, left_out: int, network: Network) -> Iterator[str]:
    if len(empty):
        yield (
            f"window-too-empty: {len(empty)} windows have fewer than the {network.least_localizations} localizations "
            f"that {network.name} needs ({', '.join(map(str, empty['window'].head(5)))}{', ...' * (len(empty) > 5)}): "
            "clusters are not followed through them; give a longer --time-window"
        )
    if left_out:
        yield (
            f"frames-left-out: the last {left_out:,} frames are less than half a window and were left out: choose a "
            "--time-window that divides the frames to use them"
        )
    inner = tracks[~tracks["lifetime_is_lower_bound"] | (tracks["last_window"] > tracks["first_window"])]
    brief = inner["last_window"] == inner["first_window"]
    if len(inner) and brief.mean() > _RARELY:
        yield (
            f"hardly-followed: {100 * brief.mean():.0f} % of the tracks last one window only: clusters move too far "
            "between windows or have too few localizations in one: try windows that overlap (--time-step), or longer "
            "ones"
        )
