"""What a summary says of drift."""

from __future__ import annotations

from typing import Any

from caml_dask.stages.drift.tables import DRIFT_FOUND, DRIFT_OF_FRAMES
from caml_dask.stages.shared.work import Work

_UNSURE_NM = 10.0


def summary_of_drift(work: Work) -> dict[str, Any]:
    """Method, intervals, range and standard error by axis, and how sharp the image is before and after."""
    found, frames = work.get(DRIFT_FOUND, 0).to_pylist()[0], work.get(DRIFT_OF_FRAMES, 0)
    axes = frames.column_names[1:]
    ranges = {name[1:]: float(frames[name].to_numpy().max() - frames[name].to_numpy().min()) for name in axes}
    return {
        "method": work.settings.drift,
        "localizations": found["used"],
        "intervals": found["intervals"],
        "frames": [found["first"], found["last"]],
        "range": ranges,
        "standard_error": dict(zip(ranges, found["error_nm"])),
        "ring_correlation_nm": dict(zip(("before", "after"), found["ring_correlation_nm"])),
        "nena_nm": dict(zip(("before", "after"), found["nena_nm"])),
    }


def warnings_of_drift(found: dict[str, Any]) -> list[str]:
    """What a user should know of the correction before trusting it, a sentence each."""
    if found["intervals"] < 2:
        return [
            f"drift-uncorrected: --drift {found['method']} corrected nothing: {found['localizations']} localizations "
            f"in frames {found['frames'][0]} to {found['frames'][1]} are too few to estimate drift"
        ]
    apart = {axis: found["standard_error"][axis] for axis, nm in found["range"].items() if nm == 0.0}
    if apart:
        named = " and ".join(axis.removesuffix("_nm") for axis in apart)
        return [
            f"drift-inconsistent: --drift {found['method']} corrected nothing on {named}: what two halves of the field "
            f"take for drift is unlike, with a standard error of {max(apart.values()):.0f} nm; localizations are too "
            "few, or too few of them come back to where others were: leave --drift out"
        ]
    known = [error for error in found["standard_error"].values() if error is not None]
    if known and max(known) > _UNSURE_NM:
        return [
            f"drift-uncertain: --drift {found['method']} is uncertain by {max(known):.0f} nm: localizations are too "
            "few, or lie too evenly, to estimate drift well; look at drift.parquet, or leave --drift out"
        ]
    return []
