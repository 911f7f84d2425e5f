from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from PIL import Image, ImageDraw

from caml_dask.overview.draw import METADATA, Spot, draw_overview, field_box
from caml_dask.overview.marks import frame_of, mark, places_of
from caml_dask.overview.panel import OUTLINE_COLOR
from caml_dask.overview.raster import BACKGROUND, CLUSTERED_COLOR, FIBER_COLOR, Bounds, Raster, zoom_bounds
from caml_dask.overview.scale import draw_bar
from caml_dask.overview.text import TEXT_COLOR, under_panel

FloatArray = npt.NDArray[np.float64]
# Where the panel of the whole image begins in the picture of a raster of 400 pixels: margin, and margin and title.
LEFT, TOP = 28, 28 + 2 * 16


def field(rng: np.random.Generator) -> tuple[FloatArray, npt.NDArray[np.bool_], list[shapely.Geometry]]:
    """Twelve discs of 40 localizations in 300 that are not clustered."""
    centers = rng.uniform(500, 9500, (12, 2))
    members = (centers[:, None] + rng.normal(0, 60, (12, 40, 2))).reshape(-1, 2)
    xy = np.vstack([members, rng.uniform(0, 10_000, (300, 2))])
    return xy, np.arange(len(xy)) < len(members), [shapely.Point(c).buffer(300) for c in centers]


def raster_of(xy: FloatArray, clustered: npt.NDArray[np.bool_], longest_px: int = 400) -> Raster:
    raster = Raster((0.0, 0.0, 10_000.0, 10_000.0), longest_px)
    raster.add(xy[:, 0], xy[:, 1], clustered)
    return raster


def panel(path: Path, raster: Raster) -> npt.NDArray[np.int64]:
    height, width = raster.shape
    return np.asarray(Image.open(path), dtype=np.int64)[TOP : TOP + height, LEFT : LEFT + width]


def pixel(raster: Raster, x_nm: float, y_nm: float) -> tuple[int, int]:
    return int((y_nm - raster.y0_nm) / raster.pixel_nm), int((x_nm - raster.x0_nm) / raster.pixel_nm)


def test_every_localization_is_counted_once_however_it_comes() -> None:
    rng = np.random.default_rng(1)
    xy, clustered, _ = field(rng)
    whole = raster_of(xy, clustered)
    assert whole.counts.sum(axis=(1, 2)).tolist() == [300, 480]
    counted = raster_of(xy[:0], clustered[:0])
    for part in (slice(0, 250), slice(250, None)):
        counted.add_counted(*counted.count(xy[part, 0], xy[part, 1], clustered[part]))
    assert np.array_equal(counted.counts, whole.counts)


def test_the_edges_belong_to_the_picture_and_what_is_not_finite_does_not() -> None:
    raster = Raster((0.0, 0.0, 100.0, 50.0), 64, margin=0.0)
    corners = np.array([[0.0, 0.0], [99.9, 49.9], [-0.1, 0.0], [0.0, 50.1], [np.nan, 1.0], [np.inf, 1.0]])
    raster.add(corners[:, 0], corners[:, 1], np.zeros(6, dtype=bool))
    assert raster.shape == (32, 64)
    assert np.argwhere(raster.counts[0]).tolist() == [[0, 0], [31, 63]]
    with_margin = Raster((0.0, 0.0, 100.0, 50.0), 64)
    with_margin.add(np.array([0.0, 100.0]), np.array([0.0, 50.0]), np.ones(2, dtype=bool))
    assert with_margin.counts.sum() == 2


def test_bounds_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="no extent"):
        Raster((0, 0, np.nan, 1))


def test_clustered_is_warm_and_non_clustered_is_blue_and_y_points_down(tmp_path: Path) -> None:
    xy = np.array([[2000.0, 1000.0], [8000.0, 9000.0]])
    raster = raster_of(xy, np.array([True, False]))
    draw_overview(raster, [], "two", [], tmp_path / "two.png", 0)
    shown = panel(tmp_path / "two.png", raster)
    top, bottom = pixel(raster, *xy[0]), pixel(raster, *xy[1])
    assert top[0] < bottom[0]
    red, _, blue = shown[top]
    assert red > blue + 80
    red, _, blue = shown[bottom]
    assert blue > red + 20
    assert shown[pixel(raster, 5000.0, 5000.0)].tolist() == BACKGROUND.tolist()


def test_a_lone_localization_covers_several_pixels_and_more_of_them_are_brighter() -> None:
    xy = np.array([[5000.0, 5000.0]] * 9 + [[1000.0, 1000.0]])
    raster = raster_of(xy, np.zeros(10, dtype=bool))
    colors = np.tile(BACKGROUND.astype(np.uint8), (*raster.shape, 1))
    raster.paint(colors)
    colors = colors.astype(int)
    row, column = pixel(raster, 1000.0, 1000.0)
    around = colors[row - 3 : row + 4, column - 3 : column + 4].sum(axis=2)
    assert (around > BACKGROUND.sum() + 60).sum() >= 4
    assert colors[pixel(raster, 5000.0, 5000.0)].sum() > colors[row, column].sum() + 50


def test_outlines_are_drawn_where_they_are_with_their_holes(tmp_path: Path) -> None:
    ring = shapely.box(2000, 2000, 6000, 6000).difference(shapely.box(3500, 3500, 4500, 4500))
    parts = shapely.MultiPolygon([ring, shapely.box(8000, 8000, 9000, 9000)])
    raster = raster_of(np.zeros((0, 2)), np.zeros(0, dtype=bool))
    draw_overview(raster, [parts, None], "ring", [], tmp_path / "ring.png", 2)
    shown = panel(tmp_path / "ring.png", raster)
    for x, y in ((2000, 4000), (4000, 6000), (3500, 4000), (8000, 8500)):
        row, column = pixel(raster, x, y)
        near = shown[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
        # A line one pixel wide may be shared between two.
        assert np.abs(near - OUTLINE_COLOR).sum(axis=1).min() < 280, (x, y)
    assert shown[pixel(raster, 4000, 4000)].tolist() == BACKGROUND.tolist()
    as_array = np.array(ring.exterior.coords)
    draw_overview(raster, [as_array, None], "ring", [], tmp_path / "array.png", 2)
    assert panel(tmp_path / "array.png", raster)[pixel(raster, 2000, 4000)].sum() > 300


def test_small_clusters_get_their_outlines_in_the_zoom_only(tmp_path: Path) -> None:
    xy, clustered, _ = field(np.random.default_rng(3))
    whole = raster_of(xy, clustered)
    outline = shapely.box(2000, 2000, 2150, 2150)
    zoom = Raster(zoom_bounds(np.array([[2075.0, 2075.0]]), (0, 0, 10_000, 10_000), 50.0), 300, margin=0.0)
    paths = [tmp_path / name for name in ("without.png", "with.png")]
    for path, outlines in zip(paths, ([None], [outline]), strict=True):
        draw_overview(whole, outlines, "small", [], path, 1, [Spot("here", zoom)])
    without, with_it = (np.asarray(Image.open(p), dtype=int) for p in paths)
    assert np.array_equal(panel(paths[0], whole), panel(paths[1], whole))
    in_zoom = with_it[TOP : TOP + 300, LEFT + whole.shape[1] + 28 :][:, :300]
    assert (np.abs(in_zoom - OUTLINE_COLOR).sum(axis=2) < 280).sum() > 100
    # The region is framed in the whole image.
    row, column = pixel(whole, zoom.bounds_nm[0], 2075.0)
    assert without[TOP + row, LEFT + column - 1].tolist() == list(TEXT_COLOR)


def test_order_changes_no_byte(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    xy, clustered, outlines = field(rng)
    centroids = shapely.get_coordinates(shapely.centroid(outlines))
    written = []
    for k in range(3):
        order, c = rng.permutation(len(xy)), rng.permutation(len(outlines))
        zoom = Raster(zoom_bounds(centroids[c], (0, 0, 10_000, 10_000), 50.0), 200, margin=0.0)
        zoom.add(xy[order, 0], xy[order, 1], clustered[order])
        path, spots = tmp_path / f"{k}.png", [Spot("here", zoom)] * 3
        draw_overview(raster_of(xy[order], clustered[order]), [outlines[i] for i in c], "a", ["b"], path, 12, spots)
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize(
    "xy",
    [
        np.zeros((0, 2)),
        np.full((5, 2), 123.0),
        np.column_stack([np.linspace(0, 5000, 50), np.full(50, 7.0)]),
        np.column_stack([np.full(50, 7.0), np.linspace(0, 5000, 50)]),
        np.array([[0.0, 0.0], [1e12, 1e12]]),
        np.array([[40_000.0, 40_000.0], [40_000.0 + 1e-6, 40_000.0]]),
    ],
    ids=["none", "one spot", "along x", "along y", "vast", "minute"],
)
def test_degenerate_extents_are_drawn(xy: FloatArray, tmp_path: Path) -> None:
    bounds = (*xy.min(axis=0), *xy.max(axis=0)) if len(xy) else (0.0, 0.0, 0.0, 0.0)
    raster = Raster(bounds, 200)
    raster.add(xy[:, 0], xy[:, 1], np.zeros(len(xy), dtype=bool))
    assert raster.counts.sum() == len(xy)
    zoom = Raster(zoom_bounds(xy, bounds, 0.0), 100, margin=0.0)
    draw_overview(raster, [], "edge case", [], tmp_path / "edge.png", 0, [Spot("here", zoom)])
    assert min(Image.open(tmp_path / "edge.png").size) > 200


def test_long_titles_and_captions_stay_inside(tmp_path: Path) -> None:
    raster = raster_of(np.zeros((0, 2)), np.zeros(0, dtype=bool))
    draw_overview(raster, [], "name" * 500, ["word " * 100, "x" * 1000], tmp_path / "long.png", 0)
    picture = np.asarray(Image.open(tmp_path / "long.png"), dtype=int)
    assert (picture[:, -20:] == BACKGROUND).all()
    assert (picture[-10:] == BACKGROUND).all()
    assert (picture[10:50, 30:200] != BACKGROUND).any()


@pytest.mark.parametrize(("width_nm", "height_nm"), [(10_000.0, 10_000.0), (10_000.0, 2_000.0), (900.0, 10_000.0)])
def test_the_field_is_found_in_its_picture(width_nm: float, height_nm: float, tmp_path: Path) -> None:
    """Beside spots, above them, and without any."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, (width_nm, height_nm), (500, 2))
    whole, zoom = Raster((0.0, 0.0, width_nm, height_nm), 400), Raster((0.0, 0.0, 500.0, 500.0), 200)
    for raster in (whole, zoom):
        raster.add(xy[:, 0], xy[:, 1], rng.random(500) < 0.5)
    height, width = whole.shape
    for spots in range(5):
        draw_overview(whole, [], "title", ["caption"], tmp_path / "a.png", 0, [Spot("here", zoom)] * spots)
        with Image.open(tmp_path / "a.png") as opened:
            place = json.loads(opened.text[METADATA])["panels"][0]
            left, top, right, bottom = box = field_box(np.asarray(opened.convert("RGB")))
        assert box == (LEFT, place["top_px"], LEFT + width, place["top_px"] + height)
        assert (left, right - left, bottom - top) == (place["left_px"], place["width_px"], place["height_px"])


def test_no_field_is_found_where_there_is_no_frame() -> None:
    for shape in ((400, 400, 3), (5, 5, 3), (400, 28, 3), (1, 400, 3)):
        assert field_box(np.zeros(shape, dtype=np.uint8)) is None


def test_zoom_goes_where_most_clusters_are_and_stays_in_the_image() -> None:
    rng = np.random.default_rng(9)
    bounds = (0.0, 0.0, 32_000.0, 20_000.0)
    spread = rng.uniform((0, 0), (32_000, 20_000), (30, 2))
    crowd = rng.uniform(-500, 500, (20, 2)) + np.array([31_400.0, 19_400.0])
    x0, y0, x1, y1 = zoom_bounds(np.vstack([spread, crowd]), bounds, 200.0)
    assert (x1 - x0, y1 - y0) == pytest.approx((4000, 4000))
    assert ((crowd > (x0, y0)) & (crowd < (x1, y1))).all()
    assert (np.array([x1, y1]) <= bounds[2:]).all()
    assert zoom_bounds(np.zeros((0, 2)), bounds, 0.0) == (14_000.0, 8_000.0, 18_000.0, 12_000.0)


def test_zoom_of_a_large_field_stays_a_few_um_wide() -> None:
    x0, _, x1, _ = zoom_bounds(np.array([[5e5, 5e5]]), (0.0, 0.0, 1e6, 1e6), 0.0)
    assert x1 - x0 == pytest.approx(5000)
    assert (x0 + x1) / 2 == pytest.approx(5e5)


def test_fibers_have_a_color_and_a_name_of_their_own(tmp_path: Path) -> None:
    x, y = np.array([2000.0, 5000.0, 8000.0]), np.full(3, 5000.0)
    raster = Raster((0.0, 0.0, 10_000.0, 10_000.0), 400, classes=3)
    raster.add(x, y, np.array([0, 1, 2], np.int8))
    assert raster.counts.sum(axis=(1, 2)).tolist() == [1, 1, 1]
    draw_overview(raster, [], "a", [], tmp_path / "3.png", 0, classes=("non-clustered", "round", "fiber"))
    shown = panel(tmp_path / "3.png", raster)
    for at, color in ((5000, CLUSTERED_COLOR), (8000, FIBER_COLOR)):
        seen = shown[pixel(raster, at, 5000)]
        assert np.abs(seen - color).sum() < 60, seen
    both = Raster((0.0, 0.0, 10_000.0, 10_000.0), 400)
    both.add(x, y, np.array([False, True, True]))
    draw_overview(both, [], "a", [], tmp_path / "2.png", 0)
    legends = [
        np.asarray(Image.open(tmp_path / name), dtype=int)[TOP + raster.shape[0] :] for name in ("3.png", "2.png")
    ]
    assert [bool((np.abs(part - FIBER_COLOR).sum(axis=2) < 20).any()) for part in legends] == [True, False]


def crowded(rng: np.random.Generator) -> tuple[Raster, list[Bounds]]:
    """Clusters nearly everywhere, and spots that overlap, touch the rim and are too small to be seen."""
    raster = Raster((0.0, 0.0, 10_000.0, 10_000.0), 600)
    xy = rng.uniform(0, 10_000, (20_000, 2))
    raster.add(xy[:, 0], xy[:, 1], np.ones(len(xy), np.int8))
    return raster, [(0, 0, 900, 900), (4000, 4000, 8000, 8000), (4100, 4100, 4110, 4110), (9900, 5000, 10_000, 5100)]


@pytest.mark.parametrize("size", [10, 14])
def test_letters_lie_on_no_cluster_on_no_frame_and_on_no_letter(size: int) -> None:
    raster, spots = crowded(np.random.default_rng(4))
    frames = [frame_of(raster, bounds) for bounds in spots]
    places = places_of(raster, frames, size)
    covered = np.zeros(raster.shape, int)
    for place, box in zip(places, frames, strict=True):
        assert place is not None, "the margin has room"
        left, top, right, bottom = place
        assert 0 <= left < right <= raster.shape[1] and 0 <= top < bottom <= raster.shape[0]
        near = raster.counts[1, max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4]
        assert not near.any(), "nor on the dots of clusters beside it"
        assert right <= box[0] or left >= box[2] or bottom <= box[1] or top >= box[3]
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    pixels = np.zeros((*raster.shape, 3), np.uint8)
    mark(pixels, raster, spots, size)
    for left, top, right, bottom in places:
        assert (pixels[top:bottom, left:right].min(axis=2) > 100).sum() > size


def test_a_letter_is_beside_its_frame_where_there_is_room() -> None:
    raster = Raster((0.0, 0.0, 1000.0, 1000.0), 400)
    (place,) = places_of(raster, [(100, 100, 200, 200)], 20)
    assert place[3] == 100 or place[2] == 100


def test_no_letter_is_written_where_clusters_leave_no_room() -> None:
    raster = Raster((0.0, 0.0, 1000.0, 1000.0), 100, margin=0.0)
    raster.counts[1] = 1
    pixels = np.zeros((*raster.shape, 3), np.uint8)
    mark(pixels, raster, [(400.0, 400.0, 600.0, 600.0)], 16)
    pixels[38:62, 38:62] = 0
    assert not pixels.any()


def test_the_png_says_where_each_panel_lies_in_nm(tmp_path: Path) -> None:
    xy, clustered, _ = field(np.random.default_rng(3))
    whole = raster_of(xy, clustered)
    zoom = Raster((1000.0, 2000.0, 2000.0, 3000.0), 200, margin=0.0)
    zoom.add(xy[:, 0], xy[:, 1], clustered)
    name = "µ cell"
    draw_overview(whole, [], name, [], tmp_path / "a.png", 12, [Spot("largest", zoom)])
    with Image.open(tmp_path / "a.png") as opened:
        about, picture = json.loads(opened.text[METADATA]), np.asarray(opened, dtype=int)
    assert about["image_id"] == name
    assert [panel["name"] for panel in about["panels"]] == ["whole image", "A  largest"]
    for panel, raster in zip(about["panels"], (whole, zoom), strict=True):
        assert (panel["pixel_nm"], panel["x0_nm"], panel["y0_nm"]) == (raster.pixel_nm, raster.x0_nm, raster.y0_nm)
        for x, y in xy[clustered]:
            column, row = int((x - panel["x0_nm"]) / panel["pixel_nm"]), int((y - panel["y0_nm"]) / panel["pixel_nm"])
            if 0 <= column < panel["width_px"] and 0 <= row < panel["height_px"]:
                assert picture[panel["top_px"] + row, panel["left_px"] + column].sum() > BACKGROUND.sum() + 60


def test_scale_bars_have_the_length_that_they_say() -> None:
    for pixel_nm, size in ((18.4, 40), (0.33, 20), (1.0, 16)):
        strip = np.asarray(under_panel("A  name", 540, pixel_nm, size), dtype=int)
        longest = max(run_length(row == TEXT_COLOR) for row in strip)
        nm = longest * pixel_nm
        nearest = min((f * 10.0**d for f in (1, 2, 5) for d in range(6)), key=lambda length: abs(length - nm))
        assert abs(nm - nearest) <= pixel_nm
        assert longest <= 0.3 * 540 + 1


@pytest.mark.parametrize(
    ("pixel_nm", "length_nm", "words"), [(18.4, 2000.0, "2 um"), (0.33, 50.0, "50 nm"), (1.0, 200.0, "200 nm")]
)
def test_bars_on_pictures_have_the_length_that_they_say(pixel_nm: float, length_nm: float, words: str) -> None:
    sheet = Image.new("RGB", (400, 20))
    left, said = draw_bar(ImageDraw.Draw(sheet), 390, 5, 200, pixel_nm, (255, 255, 255))
    assert said == words and left == pytest.approx(390 - length_nm / pixel_nm)
    lit = np.asarray(sheet).any(axis=2).any(axis=0)
    assert lit[390] and not lit[391] and abs(lit.sum() - length_nm / pixel_nm - 1) <= 1


def run_length(same: npt.NDArray[np.bool_]) -> int:
    """The longest run of pixels in a row."""
    whole = np.concatenate([[False], same.all(axis=1), [False]])
    edges = np.flatnonzero(np.diff(whole.astype(int)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
