"""How two channels were compared, in sentences that a paper can take as they are."""

from __future__ import annotations

from caml_dask.channels.colocalization import Colocalization
from caml_dask.channels.colocalize import TESTED_DEGREES, TESTED_LOCALIZATIONS
from caml_dask.channels.randomized import PLACEMENT, SHIFT
from caml_dask.channels.region import FOUND, GIVEN

_CITED = (
    "References: Malkusch, S. et al. Histochem. Cell Biol. 137, 1 (2012), doi:10.1007/s00418-011-0880-5. "
    "Pageon, S. V. et al. Mol. Biol. Cell 27, 3627 (2016), doi:10.1091/mbc.E16-07-0478."
)


def methods_of(pair: Colocalization, command: str) -> str:
    """A methods paragraph on a pair.

    Parameters
    ----------
    pair : Colocalization
        The pair.
    command : str
        Version of the program and seed.

    Returns
    -------
    str
        Sentences of plain text.
    """
    measures = pair.measures
    where = {
        GIVEN: "in the regions of interest that both images share",
        FOUND: "in the part of the field that the localizations of both channels occupy",
    }.get(pair.region, "in the cell masks of either channel")
    body = "volume" if pair.a.axes == 3 else "area"
    sentences = [
        f"Two channels of a field at a time were compared with {command}, {where}.",
        f"Overlap of clusters is the share of the {body} inside the outlines of one channel's clusters that lies "
        "inside those of the other.",
        f"Coordinate-based colocalization (Malkusch et al., 2012) used radii up to {measures.last_nm:g} nm in steps "
        f"of {measures.step_nm:g} nm; Clus-DoC's degree of colocalization (Pageon et al., 2016) was computed likewise "
        f"from localizations with more others of either channel within {measures.close_nm:g} nm than the mean density "
        f"gives, and localizations of {measures.threshold:g} or more count as colocalized.",
        f"The cross pair correlation was summed up to {measures.near_nm:g} nm and corrected for the edges of "
        "the region.",
        *_shift(pair),
        *_tests(pair),
    ]
    return " ".join([*sentences, _CITED])


def _shift(pair: Colocalization) -> list[str]:
    shift = pair.shift
    if shift.source == "none":
        return []
    of = "beads" if shift.source == "fiducials" else "the peak of the cross-correlation of the localizations"
    done = "was taken from channel B" if shift.applied else "was left as it is"
    return [f"The shift between the channels was estimated from {of} and {done}."]


def _tests(pair: Colocalization) -> list[str]:
    ways = {
        SHIFT: "channel B shifted as a whole by random ways in the largest upright rectangle inside the region, with "
        "opposite sides joined",
        PLACEMENT: "the clusters of channel B, with their localizations, put at random places in the region",
    }
    used = [
        f"{max(t.randomizations for t in way.tests)} times with {ways[name]}" for name, way in pair.randomized.items()
    ]
    if not used:
        return []
    aligned = (
        " Each randomization was aligned to channel A as the data were."
        if pair.shift.applied and pair.shift.source == "data"
        else ""
    )
    return [
        f"Each figure was compared with randomness: {', and '.join(used)}; at most {TESTED_LOCALIZATIONS:,} "
        f"localizations of each channel ({TESTED_DEGREES:,} for degrees of colocalization) entered each comparison."
        f"{aligned} P values are two-sided, by the add-one rule."
    ]
