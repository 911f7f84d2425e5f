"""Clusters linked by their outlines, and what becomes of them; squares that a reader can check on squared paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from caml_dask.following.link import link
from caml_dask.following.seen import Seen
from caml_dask.following.tracks import median_lifetime, track
from caml_dask.following.windows import Window

WIDTH = 10


def seen(number: int, *squares: tuple[float, float, float]) -> Seen:
    """Squares of (left, low, side) as the clusters of a window of ten frames; ids are 10, 20, ..."""
    boxes = np.array([shapely.box(x, y, x + side, y + side) for x, y, side in squares], dtype=object).reshape(-1)
    start = number * WIDTH
    return Seen(
        Window(number, start, start + WIDTH),
        10 * np.arange(1, len(squares) + 1),
        np.array([(x + side / 2, y + side / 2) for x, y, side in squares]).reshape(-1, 2),
        np.array([side**2 for *_, side in squares], dtype=float),
        np.array([int(side) for *_, side in squares], dtype=int),
        np.tile([start + 1, start + 8], (len(squares), 1)),
        boxes,
    )


def happened(found) -> list[tuple]:
    return [(e.window, e.kind, tuple(e.tracks_from), tuple(e.tracks_to)) for e in found.events.itertuples()]


def test_a_share_of_the_smaller_outline_links():
    whole = seen(0, (0, 0, 10))
    half, less = seen(1, (5, 0, 10)), seen(1, (5.1, 0, 10))
    assert len(link(whole, half, least_overlap=0.5).before) == 1
    assert len(link(whole, less, least_overlap=0.5).before) == 0 and len(link(whole, less).before) == 1
    small_inside = seen(1, (4, 4, 2))
    assert len(link(whole, small_inside).before) == len(link(small_inside, whole).before) == 1
    assert len(link(whole, seen(1, (10, 0, 10)), least_overlap=1e-9).before) == 0, "what only touches shares nothing"


def test_a_cluster_persists_moves_and_grows():
    found = track([seen(0, (0, 0, 10)), seen(1, (3, 0, 10)), seen(2, (6, 2, 20))])
    assert happened(found) == []
    one = found.tracks.iloc[0]
    assert len(found.tracks) == 1 and (one.first_window, one.last_window) == (0, 2)
    assert (one.first_frame, one.last_frame, one.lifetime_frames) == (1, 28, 28)
    assert one.lifetime_is_lower_bound and (one.began_by, one.ended_by) == ("unseen", "unseen")
    assert one.displacement_nm == pytest.approx(np.hypot(11, 7))
    assert one.path_nm == pytest.approx(3 + np.hypot(8, 7))
    assert one.speed_nm_per_frame == pytest.approx(one.path_nm / 20)
    assert (one.first_area_nm2, one.last_area_nm2) == (100, 400)
    assert one.growth_nm2_per_frame == pytest.approx(300 / 20)
    assert one.mean_localizations == pytest.approx(40 / 3)


def test_clusters_appear_and_vanish():
    found = track([seen(0, (0, 0, 10)), seen(1, (0, 0, 10), (50, 0, 10)), seen(2, (50, 0, 10)), seen(3)])
    assert happened(found) == [(1, "appear", (), (1,)), (2, "vanish", (0,), ()), (3, "vanish", (1,), ())]
    assert found.tracks["lifetime_is_lower_bound"].tolist() == [True, False]
    assert found.tracks["ended_by"].tolist() == ["vanish", "vanish"]
    assert found.events["x_nm"].tolist() == [55, 5, 55] and found.events["frame"].tolist() == [10, 20, 30]


def test_a_fragment_comes_and_goes_and_the_cluster_persists():
    found = track([seen(0, (0, 0, 20)), seen(1, (0, 0, 19), (19, 19, 1)), seen(2, (0, 0, 21)), seen(3, (0, 0, 20))])
    assert happened(found) == [(1, "split", (0,), (0, 1)), (2, "merge", (0, 1), (0,))]
    assert found.events["smallest_share"].tolist() == [1 / 20, 1 / 20]
    assert found.tracks["last_window"].tolist() == [3, 1] and found.tracks["ended_by"].tolist() == ["unseen", "merge"]


def test_of_outlines_that_overlap_in_a_window_one_goes_on():
    links = link(seen(0, (0, 0, 10)), seen(1, (0, 1, 10), (1, 0, 10), (0, 2, 10)))
    assert links.after.tolist() == [0, 1, 2] and links.same.tolist() == [True, False, False]


def test_a_merge_ends_all_tracks_and_begins_one():
    found = track([seen(0, (0, 0, 10), (12, 0, 10)), seen(1, (0, 0, 22)), seen(2, (0, 0, 22))])
    assert happened(found) == [(1, "merge", (0, 1), (2,))]
    assert found.tracks["ended_by"].tolist() == ["merge", "merge", "unseen"]
    assert found.tracks["began_by"].tolist() == ["unseen", "unseen", "merge"]


def test_a_split_is_a_merge_backwards():
    found = track([seen(0, (0, 0, 22)), seen(1, (0, 0, 10), (12, 0, 10), (40, 0, 5))])
    assert happened(found) == [(1, "appear", (), (3,)), (1, "split", (0,), (1, 2))]
    assert found.tracks["began_by"].tolist() == ["unseen", "split", "split", "appear"]


def test_many_to_many_is_merges_and_splits_at_once():
    """A bar of two squares; below it the left one alone, and one that takes the right one and a third."""
    before = seen(0, (0, 0, 20), (20, 0, 20))
    after = seen(1, (0, 0, 9), (10, 0, 20))
    found = track([before, after], least_overlap=0.3)
    assert happened(found) == [(1, "merge", (0, 1), (3,)), (1, "split", (0,), (2, 3))]
    assert found.tracks["ended_by"].tolist() == ["split", "merge", "unseen", "unseen"]
    assert found.tracks["began_by"].tolist() == ["unseen", "unseen", "split", "merge"]


def test_a_window_that_was_not_analyzed_hides_what_happened():
    found = track([seen(0, (0, 0, 10)), None, seen(2, (0, 0, 10))])
    assert happened(found) == []
    assert found.tracks["ended_by"].tolist() == ["unseen", "unseen"] and found.tracks["lifetime_is_lower_bound"].all()


def test_clusters_without_an_outline_are_linked_to_none():
    flat = seen(0, (0, 0, 10))
    flat.outlines[0] = shapely.Polygon()
    assert happened(track([flat, seen(1, (0, 0, 10))])) == [(1, "appear", (), (1,)), (1, "vanish", (0,), ())]


def test_nothing_gives_empty_tables():
    found = track([seen(0), seen(1)])
    assert (len(found.tracks), len(found.points), len(found.events)) == (0, 0, 0)
    assert np.isnan(median_lifetime(found.tracks))


squares = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6, unique=True).map(
    lambda places: [(12.0 * x + (x * y) % 5, 12.0 * y, 10.0) for x, y in places]
)


@given(st.lists(squares, min_size=1, max_size=5), st.floats(0.05, 1.0))
def test_every_cluster_is_in_one_track_and_ends_are_events(frames, least_overlap):
    found = track([seen(number, *some) for number, some in enumerate(frames)], least_overlap)
    tracks, points, events = found.tracks, found.points, found.events
    assert sorted(zip(points["window"], points["cluster_id"], strict=True)) == [
        (number, 10 * (k + 1)) for number, some in enumerate(frames) for k in range(len(some))
    ]
    assert tracks["track_id"].tolist() == list(range(len(tracks)))
    spans = points.groupby("track_id")["window"].agg(["min", "max", "size"])
    assert (spans["max"] - spans["min"] + 1 == spans["size"]).all()
    ends = {t for e in events.itertuples() for t in e.tracks_from if t not in e.tracks_to}
    begins = {t for e in events.itertuples() for t in e.tracks_to if t not in e.tracks_from}
    assert ends == set(tracks.loc[tracks["ended_by"] != "unseen", "track_id"])
    assert begins == set(tracks.loc[tracks["began_by"] != "unseen", "track_id"])
    assert (tracks.loc[tracks["began_by"] == "unseen", "first_window"] == 0).all()
    assert (tracks.loc[tracks["ended_by"] == "unseen", "last_window"] == len(frames) - 1).all()


@given(st.lists(squares, min_size=2, max_size=4))
def test_backwards_in_time_births_are_deaths(frames):
    there = track([seen(n, *some) for n, some in enumerate(frames)])
    back = track([seen(n, *some) for n, some in enumerate(reversed(frames))])
    turned = {"appear": "vanish", "vanish": "appear", "merge": "split", "split": "merge"}
    assert there.events["kind"].value_counts().to_dict() == {
        turned[kind]: number for kind, number in back.events["kind"].value_counts().items()
    }
    assert len(there.tracks) == len(back.tracks)


def test_the_median_lifetime_is_that_of_statsmodels():
    from statsmodels.duration.survfunc import SurvfuncRight

    rng = np.random.default_rng(0)
    for _ in range(20):
        tracks = pd.DataFrame(
            {
                "lifetime_frames": rng.integers(1, 30, 40),
                "began_by": rng.choice(["appear", "unseen"], 40, p=[0.8, 0.2]),
                "ended_by": rng.choice(["vanish", "merge", "unseen"], 40),
            }
        )
        kept = tracks[tracks["began_by"] == "appear"]
        expected = SurvfuncRight(kept["lifetime_frames"], (kept["ended_by"] != "unseen").to_numpy().astype(int))
        assert median_lifetime(tracks) == pytest.approx(expected.quantile(0.5), nan_ok=True)
