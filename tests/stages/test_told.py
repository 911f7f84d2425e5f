from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from caml_dask import analyze
from caml_dask.simulate import Scenario, draw_cell, simulate


def molecules(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cell = draw_cell(rng, base_radius_nm=2_000, roughness_nm=400, field_nm=6_000)
    return simulate(Scenario(20, 50.0, 50.0, 60.0), rng, cell=cell).points_nm


def detections(seed: int, mean: float, sd_nm: float) -> pd.DataFrame:
    rng, places = np.random.default_rng(seed), molecules(seed)
    which = np.repeat(np.arange(len(places)), rng.geometric(1 / mean, len(places)))
    return pd.DataFrame(places[which] + rng.normal(0, sd_nm, (len(which), 2)), columns=["x [nm]", "y [nm]"])


def warned_of(summary: dict) -> list[str]:
    return [warning.split(":")[0] for warning in summary["warnings"]]


@pytest.mark.parametrize(("mean", "sd_nm"), [(3.0, 12.0), (6.0, 6.0)])
def test_how_molecules_re_blink_is_told_from_coordinates_alone(mean: float, sd_nm: float) -> None:
    summary = analyze(detections(1, mean, sd_nm), test=False).summary
    told = summary["re_blinking"]
    assert told["probability"] > 0.98
    assert told["detections_per_molecule"] == pytest.approx(mean, rel=0.35)
    assert told["precision_nm"] == pytest.approx(sd_nm, rel=0.3)
    assert warned_of(summary).count("looks-repeated") == 1


def test_molecules_that_are_detected_once_are_told_apart() -> None:
    summary = analyze(molecules(1), test=False).summary
    assert summary["re_blinking"]["probability"] < 0.5
    assert summary["re_blinking"]["detections_per_molecule"] is None
    assert "looks-repeated" not in warned_of(summary)


def test_what_is_told_depends_on_no_tiling() -> None:
    table = detections(2, 4.0, 8.0)
    whole, cut = (analyze(table, test=False, max_localizations=most).summary for most in (1_000_000, 700))
    assert cut["tiles"] > whole["tiles"] == 1
    assert cut["re_blinking"] == whole["re_blinking"]


def test_networks_of_windows_tell_nothing_of_it() -> None:
    assert "re_blinking" not in analyze(molecules(1), "XPILJZ", test=False).summary
