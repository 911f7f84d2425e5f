from __future__ import annotations

import numpy as np
import pytest
from support import simulated_table

from caml_dask import open_run
from caml_dask.overview.spots import Found, spots_of
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

BOUNDS = (0.0, 0.0, 20_000.0, 20_000.0)


def found(order: np.ndarray | None = None) -> Found:
    """Nine alike at the left, and at the right a large, a doubtful and an odd one; the third is the typical one."""
    xy = np.array([[1000.0 + 100 * k, 1000.0] for k in range(9)] + [[10_000, 5000], [15_000, 5000], [15_000, 15_000.0]])
    n = np.array([8.0, 9, 10, 11, 12, 13, 7, 6, 14, 200, 10, 500])
    area = np.array([8e3, 9e3, 1e4, 11e3, 12e3, 13e3, 7e3, 6e3, 14e3, 9e5, 1e3, 2e3])
    score = np.array([*np.linspace(0.8, 0.9, 9), 0.95, 0.5, 0.99])
    rows = np.arange(12) if order is None else order
    return Found(xy[rows], n[rows], area[rows], np.sqrt(area / np.pi / 2)[rows], score[rows])


def inside(bounds: tuple[float, float, float, float], x: float, y: float) -> bool:
    return bounds[0] <= x <= bounds[2] and bounds[1] <= y <= bounds[3]


def test_spots_show_what_they_are_called():
    spots = dict(spots_of(found(), BOUNDS))
    assert list(spots) == ["most clusters", "typical", "largest", "least certain"]
    assert sum(inside(spots["most clusters"], 1000 + 100 * k, 1000) for k in range(9)) == 9
    for name, (x, y) in {"largest": (10_000, 5000), "least certain": (15_000, 5000)}.items():
        x0, y0, x1, y1 = spots[name]
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((x, y))
    x0, _, x1, _ = spots["typical"]
    assert (x0 + x1) / 2 in (pytest.approx(1200), pytest.approx(1300))
    assert spots["largest"][2] - spots["largest"][0] == pytest.approx(8 * np.sqrt(9e5 / np.pi / 2))


def test_order_of_clusters_changes_no_spot():
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert spots_of(found(rng.permutation(12)), BOUNDS) == spots_of(found(), BOUNDS)


def test_a_cluster_is_shown_once_and_none_is_no_error():
    one = Found(np.array([[50.0, 50.0]]), np.ones(1), np.zeros(1), np.zeros(1), np.ones(1))
    spots = spots_of(one, (0.0, 0.0, 1000.0, 1000.0))
    assert [name for name, _ in spots] == ["most clusters", "typical"]
    assert all(x0 >= 0 and y0 >= 0 and x1 > x0 and y1 > y0 for _, (x0, y0, x1, y1) in spots)
    none = Found(np.zeros((0, 2)), *(np.zeros(0) for _ in range(4)))
    assert [name for name, _ in spots_of(none, BOUNDS)] == ["middle"]


def test_tiles_change_no_byte_of_the_picture(tmp_path):
    table = simulated_table(tmp_path / "cell.csv", side_nm=3500.0)
    pictures = []
    for tile in (None, 300):
        out = tmp_path / str(tile)
        execute([table], out, Settings("XPILJZ", max_localizations=tile, test=False), workers=0)
        (image,) = open_run(out).images.values()
        assert (image.summary["tiles"] > 1) == (tile is not None)
        pictures.append((image.directory / "overview.png").read_bytes())
    assert pictures[0] == pictures[1]
