"""The methods paragraph: what it says of settings and counts."""

from __future__ import annotations

from pathlib import Path

from caml_dask.methods import DBSCAN
from caml_dask.report.methods import methods_paragraph
from caml_dask.report.results import Measured, Results


def paragraph(settings, *summaries):
    facts = {
        "caml_dask": "9.8.7",
        "network": {"name": "field-2d", "weights_sha256": "abc123"},
        "settings": {"min_points": 4, **settings},
    }
    images = tuple(Measured(f"{i}", "", {}, Path(), summary, {}) for i, summary in enumerate(summaries))
    return methods_paragraph(Results(Path(), images, (), facts, ()))


PLAIN = {"rows": 1200, "dropped_nonfinite": 3, "dropped_where": 0, "outside_regions": 0, "localizations": 1197}
PLAIN |= {"clusters": 40, "area_um2": 12.5}


def test_it_is_one_paragraph_of_what_was_done():
    said = paragraph({}, PLAIN)
    assert "\n" not in said and "  " not in said
    for part in (
        "Localizations of 1 image were analyzed with caml_dask 9.8.7",
        "field-2d (SHA-256 of its weights: abc123)",
        "1,200 localizations were read and 3 without finite coordinates were left out.",
        "fewer than 4 localizations were discarded",
        "convex hull of the localizations of each image (12.5 um2), with 1,197 localizations and 40 clusters.",
        "Nat. Commun. 11, 1493 (2020)",
    ):
        assert part in said
    assert "merged" not in said and "mask" not in said and "filter" not in said


def test_a_method_is_said_with_its_parameters_and_no_network():
    method = DBSCAN(25, 6).as_dict()
    said = paragraph({"network": None, "method": method, "min_points": 1}, PLAIN | {"csr_test": {"p_value": 0.01}})
    assert "were analyzed with caml_dask 9.8.7. 1,200 localizations were read" in said
    assert "by DBSCAN (Ester et al., 1996) with a radius of 25 nm and min_samples 6: a localization with at" in said
    assert "labeled by the same method; p was below 0.05 in 1 of 1 image." in said
    assert said.endswith("Proc. KDD-96, 226-231 (1996).")
    assert "Williamson" not in said and "The network" not in said and "SHA-256" not in said and "fewer" not in said
    assert "fewer than 4 localizations were discarded" in paragraph({"method": method, "min_points": 4}, PLAIN)


def test_filters_merging_and_regions_come_in_their_order():
    merge = {"detections": 1100, "molecules": 500}
    summary = PLAIN | {"dropped_where": 97, "localizations": 450, "outside_regions": 50, "merge": merge}
    settings = {"where": "photons > 300", "merge": "50nm,25frames", "cell_mask": "auto"}
    said = paragraph(settings, summary, summary)
    parts = (
        "2 images",
        "2,400 localizations were read, 6 without finite coordinates were left out and 194 were left out by the filter",
        "photons > 300",
        "within 50nm and 25 frames of each other: 2,200 detections became 1,000 molecules",
        "half-maximum contour",
        "(cell mask auto) was counted (25 um2 in all), with 900 localizations and 80 clusters; 100 local",
    )
    places = [said.index(part) for part in parts]
    assert places == sorted(places)
    assert "re-blinking that was estimated" in paragraph({"merge": "auto"}, summary)
    assert "within regions of interest was counted" in paragraph({"roi": "/data/cell.zip"}, summary)
    assert "refer to the stated area of" in paragraph({"area_um2": 9.0}, PLAIN)
