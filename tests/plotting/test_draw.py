from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
import shapely
from exported import FINITE, HOLLOW, IN_PARTS, NOWHERE, hand_drawn, points_table
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from support import HAND_DRAWN, HAND_DRAWN_CLUSTERS

from caml_dask.errors import UsageError
from caml_dask.plotting import draw
from caml_dask.plotting.colors import GRAY, PALETTE, Classes, color_of_cluster, coloring
from caml_dask.plotting.draw import plot
from caml_dask.plotting.pixels import Averaged, Counted, Grid

XY = HAND_DRAWN / 3
# As Viénot, Brettel & Mollon 1999 see linear red, green and blue without long, or medium, cones.
BLIND = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def dots(axes: Axes) -> dict[tuple[float, float], list[float]]:
    """Color of each dot."""
    found = {}
    for some in axes.collections:
        if isinstance(some, PathCollection):
            some.update_scalarmappable()
            colors = np.broadcast_to(some.get_facecolor(), (len(some.get_offsets()), 4))
            found |= {tuple(xy): color.tolist() for xy, color in zip(some.get_offsets().tolist(), colors, strict=True)}
    return found


def outlines(axes: Axes) -> list[np.ndarray]:
    return [line for some in axes.collections if isinstance(some, LineCollection) for line in some.get_segments()]


def test_every_analyzed_localization_is_a_dot_in_the_color_of_its_class():
    how = coloring(hand_drawn(), "label")
    assert isinstance(how, Classes)
    shown = dots(plot(hand_drawn()))
    assert set(shown) == {tuple(p) for p in XY.tolist()}
    for xy, cluster in zip(XY.tolist(), HAND_DRAWN_CLUSTERS, strict=True):
        assert shown[tuple(xy)][:3] == how.colors[int(cluster >= 0)].tolist()


def test_axes_are_in_nm_with_y_down_and_equal_scales():
    _, given = plt.subplots()
    axes = plot(hand_drawn(), (0.0, 0.0, 30.0, 15.0), given)
    assert axes is given
    assert (axes.get_xlim(), axes.get_ylim(), axes.get_aspect()) == ((0.0, 30.0), (15.0, 0.0), 1.0)
    assert set(dots(axes)) == {tuple(p) for p in XY.tolist() if p[0] <= 30 and p[1] <= 15}


def test_a_cluster_is_shown_in_the_middle_of_its_surroundings():
    axes = plot(hand_drawn(), 5)
    x, y = axes.get_xlim(), axes.get_ylim()
    assert ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2) == (51.0, pytest.approx(51.15))
    assert x[0] < 49 and x[1] > 53


def test_outlines_are_drawn_with_their_holes_and_parts_unless_too_narrow():
    rings = [shapely.get_coordinates(r) for r in shapely.get_rings(shapely.get_parts([HOLLOW, IN_PARTS]))]
    drawn = outlines(plot(hand_drawn(), (0.0, 0.0, 60.0, 60.0), outlines=True))
    assert all(np.array_equal(a, b) for a, b in zip(drawn, rings, strict=True))
    assert len(outlines(plot(hand_drawn(), (5.0, 5.0, 20.0, 20.0)))) == 2
    assert not outlines(plot(hand_drawn(), 0, outlines=False))
    assert not outlines(plot(hand_drawn(), (-5e4, -5e4, 5e4, 5e4)))


def test_clusters_keep_their_colors_in_every_view():
    whole, part = dots(plot(hand_drawn(), color="cluster")), dots(plot(hand_drawn(), 0, color="cluster"))
    assert len(part) >= 5 and all(whole[xy] == color for xy, color in part.items())
    for xy, cluster in zip(XY.tolist(), HAND_DRAWN_CLUSTERS, strict=True):
        expected = GRAY if cluster < 0 else PALETTE[color_of_cluster(np.array([cluster]))[0]]
        assert whole[tuple(xy)][:3] == expected.tolist()


def test_numbers_of_points_and_of_clusters_color_dots_and_what_has_none_is_gray():
    frames = dots(plot(hand_drawn(), color="frame"))
    assert len({tuple(color) for color in frames.values()}) > 5
    areas = dots(plot(hand_drawn(), color="area_nm2"))
    colors = [tuple(areas[tuple(xy)][:3]) for xy in XY.tolist()]
    assert {c for c, k in zip(colors, HAND_DRAWN_CLUSTERS, strict=True) if k < 0} == {tuple(GRAY)}
    assert len(set(colors)) == 3
    without = dots(plot(hand_drawn(), color="uncertainty [nm]"))[tuple(XY[7 - (NOWHERE < 7)])]
    assert without[:3] == GRAY.tolist()


@pytest.mark.parametrize("size", [16, 1])
def test_many_localizations_become_a_picture_that_has_each_of_them(size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draw, "MOST_DOTS", 15)
    table = points_table()
    order = np.random.default_rng(size).permutation(len(table))
    pictures = []
    for given in (table, table.take(order)):
        image = hand_drawn(points=lambda columns, given=given: iter(given.select(columns).to_batches(size)))
        axes = plot(image, color="cluster")
        assert not dots(axes) and len(axes.images) == 1
        pictures.append(np.asarray(axes.images[0].get_array()))
    assert np.array_equal(*pictures)
    x0, x1, bottom, top = axes.images[0].get_extent()
    for x, y in XY:
        row, column = (
            int((y - top) / (bottom - top) * len(pictures[0])),
            int((x - x0) / (x1 - x0) * pictures[0].shape[1]),
        )
        assert pictures[0][row, column, 3] > 0
    assert (axes.get_xlim()[0], axes.get_ylim()[1]) == (x0, top), "the picture does not move what is shown"


def test_pixels_hold_all_counts_and_means():
    rng = np.random.default_rng(0)
    xy, of, values = rng.uniform(0, 100, (5000, 2)), rng.integers(0, 3, 5000), rng.normal(0, 1, 5000)
    values[::7] = np.nan
    grid = Grid((0.0, 0.0, 100.0, 50.0), 40)
    assert grid.shape == (20, 40)
    below = xy[:, 1] <= 50
    counted, averaged = Counted(grid, 3), Averaged(grid)
    for part in np.array_split(np.flatnonzero(below), 7):
        counted.add(xy[part], of[part])
        averaged.add(xy[part], values[part])
    for k in range(3):
        mine = below & (of == k)
        expected = np.histogram2d(xy[mine, 1], xy[mine, 0], (20, 40), ((0, 50), (0, 100)))[0]
        assert np.array_equal(counted.counts[k], expected)
    known = below & ~np.isnan(values)
    sums, ns = (
        np.histogram2d(xy[known, 1], xy[known, 0], (20, 40), ((0, 50), (0, 100)), weights=w)[0]
        for w in (values[known], None)
    )
    assert np.allclose(averaged.means()[ns > 0], sums[ns > 0] / ns[ns > 0])
    inside = counted.density_per_um2().sum() * (2.5 / 1000) ** 2
    assert inside == pytest.approx(below.sum(), rel=0.05)


def test_the_color_bar_of_a_density_is_in_localizations_per_um2():
    axes = plot(hand_drawn(), color="density")
    (bar,) = (child for child in axes.figure.get_axes() + axes.child_axes if child.get_ylabel())
    assert bar.get_ylabel() == "localizations per µm²"
    assert len(axes.images) == 1


@pytest.mark.parametrize(
    ("width", "length", "words"), [(30.0, 5, "5 nm"), (12_000.0, 2000, "2 µm"), (1e6, 2e5, "200 µm")]
)
def test_the_scale_bar_has_a_round_length_and_lies_under_the_picture(width: float, length: float, words: str):
    axes = plot(hand_drawn(), (0.0, 0.0, width, width))
    (bar,) = (artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar))
    assert bar.txt_label.get_text() == words
    assert bar.size_bar.get_children()[0].get_width() == length
    axes.figure.canvas.draw()
    for artist in (bar, *([axes.get_legend()] if axes.get_legend() else [])):
        assert artist.get_window_extent().y1 <= axes.get_window_extent().y0 + 1


def test_classes_differ_for_the_color_blind():
    """By fifteen of the differences that are just noticed, as CIE 1976 measures them."""
    how = coloring(hand_drawn(points_table().append_column("p_fiber", pa.array(np.zeros(len(FINITE))))), "label")
    assert isinstance(how, Classes) and len(how.names) == 3
    for matrix in (np.eye(3), *BLIND.values()):
        linear = np.where(how.colors <= 0.04045, how.colors / 12.92, ((how.colors + 0.055) / 1.055) ** 2.4)
        lab = to_lab(np.clip(linear @ np.array(matrix).T, 0, 1))
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert np.linalg.norm(lab[a] - lab[b]) > 35


def to_lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB."""
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    f = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"color": "colour"}, 'use "label", "cluster", "density" or one of loc_id, x_nm'),
        ({"color": "note"}, "is no column of numbers"),
        ({"region": (0, 0, 0, 5)}, "spans no area"),
        ({"region": (0, 0, 5, np.nan)}, "spans no area"),
        ({"region": (0, 5)}, "give x0, y0, x1, y1 in nm"),
        ({"region": "left"}, "give x0, y0, x1, y1 in nm"),
        ({"region": 7}, "no cluster of this cluster_id"),
        ({"region": 9}, "no cluster of this cluster_id with an outline"),
    ],
)
def test_what_cannot_be_drawn_is_said(options: dict[str, object], said: str):
    with pytest.raises(UsageError, match=said):
        plot(hand_drawn(), **options)
    assert not plt.get_fignums(), "no empty figure is left"


def test_an_empty_region_is_drawn_empty():
    for color in ("label", "cluster", "density", "frame", "area_nm2"):
        assert not dots(plot(hand_drawn(), (1e5, 1e5, 2e5, 2e5), color=color))
