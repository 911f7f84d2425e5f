"""Tests that know of replicates: which the design allows, on which units, and that they are scipy's."""

from __future__ import annotations

import math

import made
import numpy as np
import pytest
from scipy import stats

from caml_dask.report.nesting import PAIRED, RANDOM, WITHIN


def test_shared_replicates_are_compared_within():
    images = made.cohort(replicates=6, images=3)
    tests = made.family(images).nested
    assert [t.unit for t in tests] == [PAIRED] * 5 + [WITHIN] * 5
    raw = []
    for test in tests[:5]:
        values = np.array([image.values[test.measure] for image in images]).reshape(2, 6, 3)
        differences = np.subtract(*np.median(values, axis=2)[::-1])
        raw.append(stats.wilcoxon(differences, method="exact").pvalue)
        assert test.difference == pytest.approx(np.median(differences))
        assert test.p == pytest.approx(raw[-1]) and (test.n_first, test.n_second) == (6, 6)
    assert [t.p_adjusted for t in tests[:5]] == pytest.approx(stats.false_discovery_control(raw))
    assert all(t.note == "" for t in tests) and {(t.n_first, t.n_second) for t in tests[5:]} == {(18, 18)}
    found = {t.measure: t.p for t in tests[5:]}
    assert found["area_nm2"] < 0.01 < 0.05 < found["density_per_um2"]


def test_few_shared_replicates_say_what_cannot_be_found():
    three = made.family(made.cohort(replicates=3, images=2)).nested
    assert three[0].note == "3 pairs cannot give a p below 0.25, however much they differ"
    two = made.family(made.cohort(replicates=2, images=2)).nested
    assert math.isnan(two[0].p) and "3 or more replicates" in two[0].note
    assert two[-1].unit == WITHIN and not math.isnan(two[-1].p)


def test_replicates_of_one_condition_each_are_random_in_a_mixed_model():
    images = made.cohort(replicates=5, images=4, shared=False)
    tests = made.family(images).nested
    assert {t.unit for t in tests} == {RANDOM} and len(tests) == 5
    (area,) = [t for t in tests if t.measure == "area_nm2"]
    values = np.array([image.values["area_nm2"] for image in images]).reshape(2, 5, 4).mean(axis=2)
    wanted = stats.ttest_ind(values[1], values[0])
    assert area.p == pytest.approx(wanted.pvalue, rel=0.01) and (area.n_first, area.n_second) == (20, 20)
    assert area.low < area.difference == pytest.approx(np.subtract(*values.mean(axis=1)[::-1]), rel=1e-3)
    for test in tests:
        assert math.isnan(test.p) == test.note.startswith("no p: ")


def test_a_design_that_allows_none_gets_none():
    assert made.family([i for i in made.cohort() if i.factors["condition"] == "control"]).nested == ()
    assert made.family(made.cohort(images=1, shared=False)).nested == ()
    partly = made.cohort()
    del partly[3].factors["replicate"]
    assert made.family(partly).nested == ()
    assert made.family(made.cohort(), by="replicate").nested == ()


def test_one_image_a_replicate_is_still_paired():
    tests = made.family(made.cohort(replicates=6, images=1)).nested
    assert {t.unit for t in tests} == {PAIRED}
    assert all(not math.isnan(t.p) for t in tests if t.unit == PAIRED)
