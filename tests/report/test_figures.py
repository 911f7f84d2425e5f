"""Figures: what is drawn is what was measured, a file is SVG whatever names are, and none grows with the clusters."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import made
import numpy as np
import pytest
from scipy import stats

from caml_dask.report.distributions import distributions
from caml_dask.report.figures import sections_of, write_figures
from caml_dask.report.measures import measures_of
from caml_dask.report.plots import LEFT_PX, condition_labels, log_axis
from caml_dask.report.superplots import superplot

MEASURES = measures_of({"n_localizations", "area_nm2", "density_per_um2"})
AREA = next(m for m in MEASURES if m.name == "area_nm2")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(folder, images, within=()):
    """The figures of a cohort as XML, by name."""
    from caml_dask.report.families import families

    found, _ = families(made.results(images), "condition", within)
    write_figures(folder, sections_of(found, MEASURES))
    return {path.stem: ElementTree.parse(path).getroot() for path in folder.glob("*.svg")}


def marks(svg, kind):
    return [e for e in svg.iter() if e.get("class") == kind]


def place(mark):
    return tuple(map(float, re.findall(r"translate\(([\d.]+) ([\d.]+)\)", mark.get("transform"))[0]))


def values_on(svg, heights):
    """Values of heights in pixels, by the labels of the axis."""
    ticks = [
        (float(t.get("y")) - 4.5, float(t.text.replace(",", "")))
        for t in svg.iter(f"{SVG}text")
        if t.get("x") == f"{LEFT_PX - 6}"
    ]
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    return v0 + (np.array(heights) - y0) * (v1 - v0) / (y1 - y0)


def test_a_superplot_has_a_dot_for_each_image_and_a_mark_for_each_replicate(tmp_path):
    images = made.cohort()
    svg = drawn(tmp_path, images)["superplot_area_nm2"]
    dots, larger = marks(svg, "image"), marks(svg, "replicate")
    assert len(dots) == len(images) == 24 and len(larger) == 8
    areas = [np.median(i.clusters["area_nm2"]) for i in images]
    assert values_on(svg, [place(dot)[1] for dot in dots]) == pytest.approx(areas, rel=0.01)
    medians = [np.median(areas[k : k + 3]) for k in range(0, 24, 3)]
    assert values_on(svg, [place(mark)[1] for mark in larger]) == pytest.approx(medians, rel=0.01)
    looks = {(mark.get("fill"), mark.get("d")) for mark in larger}
    assert len(looks) == 4, "a replicate looks the same in both conditions, and no two look alike"
    assert {(dot.get("fill"), dot.get("d")) for dot in dots} == looks
    assert dots[0].find(f"{SVG}title").text.startswith("0001_image: ")


def test_a_superplot_names_the_test_of_replicates(tmp_path):
    images = made.cohort()
    p = []
    for m in MEASURES:
        values = np.array([image.values[m.name] for image in images])
        medians = np.median(values.reshape(2, 4, 3), axis=2)
        p.append(stats.mannwhitneyu(medians[1], medians[0], method="exact").pvalue)
    adjusted = stats.false_discovery_control(p)[[m.name for m in MEASURES].index("area_nm2")]
    plot = superplot(made.family(images), AREA, "name")
    assert plot.test == f"Mann-Whitney of medians of replicates: p = {adjusted:.2f}, adjusted for 5 measures"
    alone = [made.image(np.random.default_rng(k), k, {"condition": "ab"[k % 2]}) for k in range(8)]
    assert superplot(made.family(alone), AREA, "name").test.startswith("Mann-Whitney of images: p ")


def test_pairs_that_differ_are_bracketed():
    rng = np.random.default_rng(1)
    images = [made.image(rng, k, {"condition": "abc"[k % 3]}, size=(1, 1, 9)[k % 3], n=200) for k in range(24)]
    family = made.family(images)
    plot = superplot(family, AREA, "name")
    pairs = sorted(family.images.pairs_found("area_nm2"), key=lambda pair: pair.p_holm)
    assert len(plot.brackets) == len(pairs) > 0
    at = {label.name: label.x for label in plot.labels}
    assert [(b.left, b.right) for b in plot.brackets] == [(at[p.first], at[p.second]) for p in pairs]
    assert all(b.y < plot.top for b in plot.brackets)


def test_dots_of_one_value_lie_beside_each_other():
    images = made.cohort(replicates=2, images=3)
    for image in images:
        image.summary["area_um2"] = 10.0
    plot = superplot(made.family(images), MEASURES[0], "name")
    for column in plot.columns:
        places = {(dot.x, dot.y) for dot in column.dots}
        assert len(places) == 6 and len({y for _, y in places}) == 1
        assert all(abs(x - column.x) <= column.half_width for x, _ in places)


def test_distributions_are_those_of_the_clusters(tmp_path):
    images = made.cohort()
    ecdf, violin = distributions(made.family(images), AREA, "")
    assert [len(c.points.split()) for c in ecdf.curves] == [201, 201]
    assert len(ecdf.replicates) == 8 and all(c.color in {d.color for d in ecdf.curves} for c in ecdf.replicates)
    pooled = [np.concatenate([i.clusters["area_nm2"] for i in images[k : k + 12]]) for k in (0, 12)]
    axis = log_axis(*np.quantile(np.concatenate(pooled), (0.001, 0.999)))
    for values, curve, shape in zip(pooled, ecdf.curves, violin.violins):
        x, y = np.array([p.split(",") for p in curve.points.split()], float).T
        middle = axis.low + (x[100] - LEFT_PX) / (ecdf.width - LEFT_PX - 16) * (axis.high - axis.low)
        assert y[100] == 145 and 10**middle == pytest.approx(np.quantile(values, 0.5, method="inverted_cdf"), rel=0.01)
        height = axis.low + (280 - shape.median) / 270 * (axis.high - axis.low)
        assert 10**height == pytest.approx(np.median(values), rel=0.01)
        outline = np.array([p.split(",") for p in shape.outline.split()], float)
        right = outline[len(outline) // 2 :][::-1]
        density = stats.gaussian_kde(np.log10(values))
        values_at = axis.low + (280 - right[:, 1]) / 270 * (axis.high - axis.low)
        widths = right[:, 0] - shape.x
        assert widths / widths.max() == pytest.approx(density(values_at) / density(values_at).max(), abs=0.02)


def test_few_clusters_are_drawn_one_by_one(tmp_path):
    images = [made.image(np.random.default_rng(k), k, {"condition": "ab"[k % 2]}, n=(3, 10)[k % 2]) for k in range(6)]
    assert len(marks(drawn(tmp_path, images)["violin_area_nm2"], "cluster")) == 9, "30 clusters have an outline"


def test_figures_do_not_grow_with_the_clusters(tmp_path):
    rng = np.random.default_rng(0)
    images = [made.image(rng, k, {"condition": "ab"[k % 2], "replicate": f"{k // 4}"}, n=100_000) for k in range(8)]
    drawn(tmp_path, images)
    assert max(path.stat().st_size for path in tmp_path.glob("*.svg")) < 40_000


HOSTILE = """<b>&"'</svg><script>alert(1)</script>\x00\x1b\x07\ufffe\udce9 {{7*7}}"""


def test_hostile_names_stay_text_in_every_figure(tmp_path):
    images = made.cohort(conditions=("plain", "other"))
    plain = {e.tag for svg in drawn(tmp_path / "plain", images).values() for e in svg.iter()}
    poisoned = [
        made.image(
            np.random.default_rng(k),
            k,
            {"condition": f"{i.factors['condition']} {HOSTILE}", "replicate": f"{i.factors['replicate']}{HOSTILE}"},
        )
        for k, i in enumerate(images)
    ]
    figures = drawn(tmp_path / "hostile", poisoned)
    assert len(figures) == 11 and {e.tag for svg in figures.values() for e in svg.iter()} == plain
    titles = {e.text for e in figures["superplot_area_nm2"].iter(f"{SVG}title")}
    wanted = HOSTILE.replace("\x00", "\\x00").replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    assert f"plain {wanted.replace(chr(0xFFFE), chr(92) + 'xfffe').replace(chr(0xDCE9), chr(92) + 'udce9')}" in titles


def test_files_of_families_have_harmless_names_and_old_ones_are_removed(tmp_path):
    images = [*made.cohort(replicates=1, images=2), *made.cohort(replicates=1, images=2)]
    for k, image in enumerate(images):
        image.factors["protein"] = "../<Csk>" if k < 4 else "..\\/<Csk>"
    (tmp_path / "superplot_area_nm2.svg").write_text("old")
    names = set(drawn(tmp_path, images))
    assert len(names) == 22 and all(re.fullmatch(r"[12]_Csk_[a-z0-9_]+", name) for name in names)


def test_labels_fit_side_by_side_or_slope():
    labels, width, _ = condition_labels({name: ["12 images"] for name in ("naive", "naive, activated")})
    assert [label.lines for label in labels] == [("naive", "12 images"), ("naive, activated", "12 images")]
    many, wide, below = condition_labels({f"condition number {k}": ["12 images"] for k in range(14)})
    assert all(label.slopes for label in many) and wide > width and below > 80
    gaps = np.diff([label.x for label in many])
    assert np.allclose(gaps, gaps[0], atol=0.2) and many[-1].x < wide


@pytest.mark.parametrize(("low", "high"), [(52.0, 98.0), (0.3, 0.31), (1.0, 1e9), (7.0, 7.0)])
def test_every_logarithmic_axis_is_labeled(low, high):
    axis = log_axis(low, high)
    assert 1 <= len(axis.marks) <= 12 and axis.low < axis.high
    assert all(axis.low <= np.log10(mark) <= axis.high for mark in axis.marks)
