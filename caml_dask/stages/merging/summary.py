"""What a summary says of merging."""

from __future__ import annotations

from typing import Any

import numpy as np

from caml_dask.blinking.law import Law
from caml_dask.blinking.pairs import LAGS
from caml_dask.settings import FixedRule
from caml_dask.stages.merging.law import law_of, rule_of
from caml_dask.stages.merging.tables import MERGE_TALLY
from caml_dask.stages.shared.work import Work

_UNSURE = 0.2
_FEW = 0.01  # share of the detections, joined, below which doubt about them changes no figure


def summary_of_merging(work: Work) -> dict[str, Any]:
    """Detections, molecules, the rule, detections a molecule and dark times; of an estimated rule, what was found."""
    facts, tiles = work.detection_facts(), work.detection_tiles().n_tiles
    tables = [work.get(MERGE_TALLY, tile) for tile in range(tiles)]
    sizes, gaps, doubtful = (
        np.sum([table[name][0].values.to_numpy() for table in tables], axis=0) for name in ("sizes", "gaps", "doubtful")
    )
    molecules = work.facts()["finite"]
    rule = rule_of(work)
    found: dict[str, Any] = {
        "rule": work.settings.merge,
        "detections": facts["finite"],
        "molecules": molecules,
        "detections_per_molecule": facts["finite"] / max(1, molecules),
        "molecules_by_detections": {str(n): int(sizes[n]) for n in np.flatnonzero(sizes)},
        "returns_by_least_frames": {str(LAGS[n]): int(gaps[n]) for n in np.flatnonzero(gaps)},
        "tiles": tiles,
    }
    if isinstance(rule, FixedRule):
        return found | {"radius_nm": rule.radius_nm, "frames": rule.frames}
    return found | _estimated(work, rule, int(doubtful[0]), facts["finite"])


def _estimated(work: Work, law: Law, doubtful: int, detections: int) -> dict[str, Any]:
    _, medians = law_of(work)
    last = float((law.weights / law.rates).sum()) if law.blinks else 0.0
    found = {
        "precision_nm": float(law.spread * medians.scales_nm(2)[0]) if law.blinks else None,
        "precision_times_stated": law.spread if law.blinks and medians.lateral_nm is not None else None,
    }
    if work.dimensions() == 3:
        found |= {
            "axial_precision_nm": float(law.spread_z * medians.scales_nm(3)[2]) if law.blinks else None,
            "axial_precision_times_stated": law.spread_z if law.blinks and medians.axial_nm is not None else None,
        }
    return found | {
        "chance_of_return": law.returns,
        "mean_dark_frames": float((law.weights / law.rates**2).sum() / last) if last > 0 else None,
        "molecules_expected": detections * (1.0 - law.returns),
        "signal_in_standard_errors": law.signal,
        "doubtful_joinings": doubtful,
    }


def warnings_of_merging(found: dict[str, Any]) -> list[str]:
    """What a user should know of merging before trusting it, a sentence each."""
    if found["rule"] != "auto":
        return []
    if found["precision_nm"] is None:
        return [
            "nothing-merged: --merge auto found not clearly more pairs of detections close in time than far apart: "
            "nothing was merged; if molecules re-blink, give a radius and a gap such as --merge 50nm,25frames"
        ]
    joinings = found["detections"] - found["molecules"]
    if joinings > _FEW * found["detections"] and found["doubtful_joinings"] > _UNSURE * joinings:
        share = 100.0 * found["doubtful_joinings"] / joinings
        return [
            f"merging-uncertain: --merge auto joined {joinings} detections to others, {share:.0f} % of them with a "
            "chance below 90 % to be right: molecules lie too densely to be told apart well"
        ]
    return []
