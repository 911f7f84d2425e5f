"""Warnings by identifier, and how images were prepared."""

from __future__ import annotations

import made
import numpy as np
import pytest

from caml_dask.report.remarks import preparations, warnings_of
from caml_dask.report.rendering import whole_options


def test_warnings_are_counted_by_image():
    images = made.cohort(replicates=1, images=3)
    for image in images[:4]:
        image.summary["warnings"] = ["few-clustered: 3 %: too few", "few-clustered: again"]
    images[5].summary["warnings"] = ["no-area: none"]
    many, one = warnings_of(images)
    assert (many.identifier, one.identifier) == ("few-clustered", "no-area")
    assert many.images == ("0001_image", "0002_image", "0003_image", "0004_image") and one.images == ("0006_image",)
    assert one.example == "none" and warnings_of([]) == []


def test_images_of_one_name_on_two_nights_count_twice():
    images = [made.image(np.random.default_rng(k), 1, {}) for k in range(2)]
    for image in images:
        image.summary["warnings"] = ["no-area: none"]
    assert warnings_of(images)[0].images == ("0001_image", "0001_image")


def test_preparation_is_shown_by_condition_where_there_was_some():
    images = made.cohort(replicates=1, images=3)
    assert preparations(images, "condition") == []
    for k, image in enumerate(images):
        image.summary["drift"] = {
            "range": {"x_nm": 10.0 * k, "y_nm": 5.0},
            "ring_correlation_nm": {"before": 60.0, "after": None if k == 0 else 40.0},
        }
        image.summary["csr_test"] = {"detections_per_molecule": 1.0 + k, "precision_nm": None}
    images[1].summary.update(dropped_where=500, dropped_nonfinite=20)
    found = {item.label: item for item in preparations(images, "condition")}
    assert set(found) == {
        *("Drift along x", "Drift along y", "Rows left out", "Detections per molecule, not merged"),
        *(f"Fourier ring correlation {when} drift correction" for when in ("before", "after")),
    }
    assert found["Drift along x"].groups["treated"].median == 40
    after = found["Fourier ring correlation after drift correction"].groups
    assert (after["control"].n, after["treated"].n, after["control"].median) == (2, 3, 40)
    assert found["Rows left out"].groups["control"].median == pytest.approx(26)
    assert found["Detections per molecule, not merged"].groups["control"].n == 2


def test_what_the_network_tells_of_re_blinking_stands_in_where_frames_and_precision_do_not():
    images = made.cohort(replicates=1, images=3)
    for image in images:
        image.summary["re_blinking"] = {"probability": 0.99, "detections_per_molecule": 4.0, "precision_nm": 12.0}
    found = {item.label: item for item in preparations(images, "condition")}
    assert found["Detections per molecule, by how they lie"].groups["control"].median == 4
    assert found["Precision, by how detections lie"].groups["control"].median == 12
    for image in images:
        image.summary["csr_test"] = {"detections_per_molecule": 3.0, "precision_nm": 9.0}
    assert {item.label for item in preparations(images, "condition")} == {
        *("Detections per molecule, not merged", "Precision, median")
    }


def test_options_in_sentences_stay_whole_and_nothing_else_is_markup():
    assert whole_options('on 3 um2 with --roi, or --cell-mask auto: <b>--x</b> a--by"') == (
        "on 3 µm² with <code>--roi</code>, or <code>--cell-mask</code> auto: &lt;b&gt;--x&lt;/b&gt; a--by&#34;"
    )
