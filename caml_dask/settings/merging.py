"""How detections are merged to molecules: rules as users write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from caml_dask.errors import UsageError
from caml_dask.settings.units import LARGEST_FIELD_NM, NM_PER_UNIT


@dataclass(frozen=True)
class FixedRule:
    """Detections at most `radius_nm` and `frames` frames apart are linked, and connected ones are a molecule.

    Parameters
    ----------
    radius_nm : float
        Longest distance of a link in nm, closed.
    frames : int
        Largest difference of frames, closed.
    """

    radius_nm: float
    frames: int


_RADIUS_AND_GAP = re.compile(r"([0-9]*\.?[0-9]+)\s*(nm|um|µm)\s*,\s*([0-9]+)\s*frames?", re.IGNORECASE)


def merge_rule(text: str) -> FixedRule | Literal["auto"]:
    """Read how detections are merged to molecules.

    Parameters
    ----------
    text : str
        "auto", or a radius and a gap in frames, such as "50nm,25frames".

    Returns
    -------
    FixedRule or "auto"
        The rule.

    Raises
    ------
    UsageError
        The text is neither.
    """
    if not isinstance(text, str):
        raise UsageError(f"merge={text!r} is of type {type(text).__name__}: give 'auto', or such as '50nm,25frames'")
    if text.strip().lower() == "auto":
        return "auto"
    found = _RADIUS_AND_GAP.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--merge {text!r}: give auto, or a radius and a gap in frames such as 50nm,25frames")
    radius, frames = float(found[1]) * NM_PER_UNIT[found[2].lower()], int(found[3])
    if not 0 < radius <= LARGEST_FIELD_NM or not 0 < frames < 1 << 40:
        raise UsageError(f"--merge {text!r}: give a positive radius and a gap of at least 1 frame")
    return FixedRule(radius, frames)
