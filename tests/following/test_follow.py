"""Clusters of simulated films against what was simulated, and what may not change them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from live_made import Film, events_found, made_film, tracks_of_discs

from caml_dask import follow
from caml_dask.errors import InputError, UsageError

WIDTH = 200
NEAR_NM = 150.0


@pytest.fixture(scope="module")
def film() -> Film:
    return made_film(np.random.default_rng(0), width=WIDTH)


@pytest.fixture(scope="module")
def followed(film):
    return follow(film.table, time_window=WIDTH, min_points=10)


def test_events_are_those_that_were_simulated(film, followed):
    found = events_found(film, followed.events, WIDTH, NEAR_NM, least_share=0.2)
    assert found["true"].min() >= 4 and found["true"].sum() > 25
    assert (found["found"] >= 0.75 * found["true"]).all()
    assert found.loc[["appear", "vanish"], "found"].equals(found.loc[["appear", "vanish"], "true"])
    assert found.loc[["appear", "vanish"], "false"].sum() <= 1
    assert found["false"].sum() <= 3, "pairs that just touch come and go"


def test_lifetimes_and_displacements_are_those_that_were_simulated(film, followed):
    discs = tracks_of_discs(film, followed.tracks, followed.points, NEAR_NM / 2)
    assert (discs["tracks"] == 1).all(), "no disc is lost on its way"
    off = (discs["lifetime_found"] - discs["lifetime"]).abs()
    assert off.max() < WIDTH, "none but a window that a disc is in for a part is missed"
    assert (off < WIDTH / 2).mean() >= 0.9
    assert (discs["lifetime_found"] / discs["lifetime"]).median() == pytest.approx(1, abs=0.03)
    # centroids are those of windows' middles: less by the halves of a window at both ends
    seen = discs["displacement_nm"] * (1 - WIDTH / discs["lifetime"])
    assert (discs["displacement_found_nm"] - seen).abs().max() < 40
    assert (discs["displacement_found_nm"] - seen).abs().median() < 12


def test_windows_are_analyzed_as_images_of_their_own(film, followed):
    """The first window is what an analysis of its frames alone finds."""
    from caml_dask import analyze

    alone = film.table[film.table["frame"] < WIDTH].sort_values(["frame", "x [nm]", "y [nm]"])
    expected = analyze(alone, test=False, min_points=10)
    pd.testing.assert_frame_equal(followed.analyses[0].clusters, expected.clusters)
    assert followed.windows.loc[0, ["localizations", "clusters"]].tolist() == [len(alone), len(expected.clusters)]
    assert followed.summary["windows"] == 12 and followed.summary["warnings"] == []


@pytest.mark.parametrize("changed", ["order", "tiles"])
def test_neither_the_order_of_rows_nor_tiles_change_anything(film, followed, changed):
    table = film.table.sample(frac=1, random_state=3) if changed == "order" else film.table
    other = follow(table, time_window=WIDTH, min_points=10, max_localizations=100 if changed == "tiles" else None)
    for name in ("tracks", "points", "events", "windows"):
        pd.testing.assert_frame_equal(getattr(followed, name), getattr(other, name), check_exact=True)


def test_windows_that_overlap_follow_what_moves_far():
    film = made_film(np.random.default_rng(4), width=WIDTH, move=3.0, singles=8, merging=0, splitting=0, side_nm=9000.0)
    tracks = []
    for step in (WIDTH, WIDTH // 4):
        found = follow(film.table, time_window=WIDTH, time_step=step)
        tracks.append(tracks_of_discs(film, found.tracks, found.points, NEAR_NM)["tracks"].sum())
    assert tracks[1] <= 10 < 20 < tracks[0]
    assert "hardly-followed" in follow(film.table, time_window=WIDTH).summary["warnings"][0]


def test_drift_of_the_whole_is_taken_out_before_windows_are_cut():
    """Discs that stay where they are; all drifts by some widths of a disc."""
    film = made_film(
        np.random.default_rng(5), width=WIDTH, move=0.0, singles=40, merging=0, splitting=0, loners=50, side_nm=8000.0
    )
    drifted = film.table.assign(**{"x [nm]": film.table["x [nm]"] + 0.25 * film.table["frame"]})
    raw, corrected = (follow(drifted, time_window=WIDTH, min_points=10, drift=way) for way in (None, "aim"))
    assert raw.tracks["displacement_nm"].max() > 400 > 60 > corrected.tracks["displacement_nm"].max()


def test_molecules_belong_to_the_window_of_their_first_detection(film):
    """Each localization is detected again three frames on; merged, they are one again."""
    twice = pd.concat([film.table, film.table.assign(frame=film.table["frame"] + 3)])
    merged = follow(twice, time_window=WIDTH, merge="0.01nm,5frames")
    counts = film.table.groupby(film.table["frame"] // WIDTH).size()
    assert merged.windows["localizations"].tolist() == counts.tolist()


def test_a_window_with_few_localizations_is_empty_and_said(film):
    gap = film.table[film.table["frame"] // WIDTH != 5]
    found = follow(gap, time_window=WIDTH)
    assert found.windows["clusters"].isna().tolist() == [k == 5 for k in range(12)]
    assert found.summary["warnings"][0].startswith("window-too-empty: 1 windows have fewer than the")
    assert not found.events["window"].isin([5, 6]).any()
    assert (found.tracks.loc[found.tracks["first_window"] == 6, "began_by"] == "unseen").all()
    assert (found.tracks.loc[found.tracks["last_window"] == 4, "ended_by"] == "unseen").all()


def test_frames_that_are_left_out_are_said(film):
    found = follow(film.table[film.table["frame"] < 3.4 * WIDTH], time_window=WIDTH)
    assert len(found.windows) == 3 and found.summary["frames_left_out"] == 80
    assert found.summary["warnings"] == [
        "frames-left-out: the last 80 frames are less than half a window and were left out: choose a --time-window "
        "that divides the frames to use them"
    ]


def test_only_rows_that_pass_the_filter_are_followed(film):
    found = follow(film.table, time_window=WIDTH, where="x_nm < 3000")
    expected = film.table[film.table["x [nm]"] < 3000]
    assert found.windows["localizations"].sum() == len(expected)


def test_the_film_strip_is_drawn(followed, tmp_path):
    from PIL import Image

    followed.draw(tmp_path / "film.png", "cell")
    with Image.open(tmp_path / "film.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 40


@pytest.mark.parametrize(
    ("columns", "options", "error", "words"),
    [
        (["x [nm]", "y [nm]"], {}, InputError, "--time-window needs the frame of each localization"),
        (["x [nm]", "y [nm]", "frame"], {"time_window": 1.5}, UsageError, "--time-window 1.5: give a whole number"),
        (["x [nm]", "y [nm]", "frame"], {"time_window": 5000}, UsageError, "2,400 frames .* fewer than --time-window"),
        (["x [nm]", "y [nm]", "frame"], {"time_step": 300}, UsageError, "leaves frames out"),
        (["x [nm]", "y [nm]", "frame"], {"least_overlap": 0}, UsageError, "--least-overlap 0: give a share"),
        (["x [nm]", "y [nm]", "frame"], {"network": "GAXJPR"}, UsageError, "followed in the plane"),
        (["x [nm]", "y [nm]", "frame"], {"roi": "x=0..1,y=0..1"}, UsageError, "unknown setting 'roi'"),
        (["x [nm]", "y [nm]", "frame"], {"time_window": 1}, InputError, "no window has the .* localizations"),
    ],
)
def test_what_cannot_be_followed_is_refused(film, columns, options, error, words):
    with pytest.raises(error, match=words):
        follow(film.table[columns], **{"time_window": WIDTH, **options})


def test_heights_are_refused_with_what_to_do(film):
    with pytest.raises(InputError, match="followed in the plane.*leave z out with --columns"):
        follow(film.table.assign(**{"z [nm]": film.table["frame"] / 7}), time_window=WIDTH)


def test_frames_that_are_no_numbers_are_refused(film):
    with pytest.raises(InputError, match="holds what is no whole number: --time-window needs"):
        follow(film.table.assign(frame=film.table["frame"] + 0.5), time_window=WIDTH)
