from __future__ import annotations

import numpy as np

from caml_dask.stats import median_iqr


def test_quartiles_interpolate_between_order_statistics() -> None:
    found = median_iqr([4.0, 1.0, 3.0, 2.0])
    assert (found.q25, found.median, found.q75, found.n) == (1.75, 2.5, 3.25, 4)


def test_null_values_do_not_count() -> None:
    assert median_iqr(np.array([np.nan, 7.0, np.nan])) == median_iqr([7.0])
    assert median_iqr([7.0]).n == 1


def test_nothing_known_gives_nulls() -> None:
    for values in ([], [np.nan, np.nan]):
        found = median_iqr(values)
        assert found.n == 0
        assert np.isnan([found.median, found.q25, found.q75]).all()


def test_integers_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(0, 100, 37)
    assert median_iqr(values) == median_iqr(rng.permutation(values).astype(float))
