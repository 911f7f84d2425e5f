"""The part of the plane that localizations occupy: where cells are drawn, and the same in any order and any chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts

from caml_dask.spatial.occupied import occupied


def bounds(xy):
    return [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()]


def found(xy):
    return occupied([xy], len(xy), bounds(xy))


def area(mask):
    return mask.inside.sum() * np.diff(mask.x_nm)[0] * np.diff(mask.y_nm)[0]


def holds(mask, xy):
    nx, ny = mask.inside.shape
    x = np.clip(np.searchsorted(mask.x_nm, xy[:, 0], side="right") - 1, 0, nx - 1)
    y = np.clip(np.searchsorted(mask.y_nm, xy[:, 1], side="right") - 1, 0, ny - 1)
    return mask.inside[x, y]


def disc(rng, n, radius, center=(0.0, 0.0)):
    angle, r = rng.uniform(0, 2 * np.pi, n), radius * np.sqrt(rng.uniform(0, 1, n))
    return np.column_stack([r * np.cos(angle), r * np.sin(angle)]) + center


def clustered(rng, center):
    """A cell of 3 um with 100 clusters, which hold two thirds of its localizations."""
    centers = disc(rng, 100, 2900)
    members = np.repeat(centers, 20, axis=0) + rng.normal(0, 30, (2000, 2))
    return np.vstack([members, disc(rng, 1000, 3000)]) + center


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_outlined_whole_and_what_lies_around_them_is_left_out(seed):
    rng = np.random.default_rng(seed)
    cells = np.vstack([clustered(rng, (5000, 5000)), clustered(rng, (14000, 12000))])
    loose = rng.uniform(0, 20_000, (600, 2))
    mask = found(np.vstack([cells, loose]))
    assert mask.outlined
    assert area(mask) == pytest.approx(2 * np.pi * 3000**2, rel=0.12)
    assert holds(mask, cells).mean() > 0.95 and holds(mask, loose).mean() < 0.22


@pytest.mark.parametrize("sides", [(5000, 5000), (30_000, 7000), (3000, 100_000)])
def test_an_even_field_is_occupied_whole(sides):
    xy = np.random.default_rng(2).uniform(0, 1, (6000, 2)) * sides
    mask = found(xy)
    assert mask.outlined and mask.inside.all()
    assert [mask.x_nm[0], mask.y_nm[0], mask.x_nm[-1], mask.y_nm[-1]] == bounds(xy)


def test_a_void_as_wide_as_a_nucleus_is_left_out_and_a_gap_is_not():
    rng = np.random.default_rng(3)
    cell = disc(rng, 20_000, 6000)
    mask = found(cell[np.hypot(*cell.T) > 2000])
    assert area(mask) == pytest.approx(np.pi * (6000**2 - 2000**2), rel=0.06)
    assert found(cell[np.hypot(*cell.T) > 100]).inside.sum() == found(cell).inside.sum()


def test_few_localizations_have_no_outline():
    mask = found(np.random.default_rng(4).uniform(0, 5000, (60, 2)))
    assert not mask.outlined and mask.inside.shape == (1, 1) and mask.inside.all()


@settings(max_examples=25, deadline=None)
@given(layouts(least=20), st.integers(0, 2**32 - 1), st.integers(50, 1000), st.sampled_from([0.25, 1.0, 1024.0]))
def test_order_and_chunks_change_nothing_and_scale_scales(layout, seed, chunk, scale):
    rng = np.random.default_rng(seed)
    xy = np.vstack([np.repeat(layout, 20, axis=0), disc(rng, 1500, 400, (600, 600))])
    scaled = scale * rng.permutation(xy)
    parts = (scaled[i : i + chunk] for i in range(0, len(xy), chunk))
    whole, again = found(xy), occupied(parts, len(xy), bounds(scaled))
    assert np.array_equal(again.inside, whole.inside) and again.outlined == whole.outlined
    assert np.array_equal(again.x_nm, scale * whole.x_nm) and np.array_equal(again.y_nm, scale * whole.y_nm)
