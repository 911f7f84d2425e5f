"""What is found of two channels that were compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from caml_dask.channels.channel import Channel
from caml_dask.channels.chromatic import Shift
from caml_dask.channels.domain import Domain
from caml_dask.channels.figures import A, B, Found, Measures
from caml_dask.channels.randomized import Randomized, Tested
from caml_dask.errors import UsageError
from caml_dask.schema import NO_CLUSTER

HEADLINES = ("area_share_a", "localizations_share_a", "doc_a", "cbc_a", "pair_correlation")
"""Figures that a short account names."""


@dataclass(frozen=True, eq=False, repr=False)
class Colocalization:
    """Two channels of a field, compared.

    Attributes
    ----------
    a, b : Channel
        What of the channels was compared; of B, after a shift that was taken from it.
    domain : Domain
        The region.
    region : str
        What the region is.
    measures : Measures
        Radii and numbers.
    shift : Shift
        The shift between the channels.
    found : Found
        Figures, curves, and what is found for each localization and cluster.
    randomized : dict of str to Randomized
        The figures beside randomness, by the way of randomization.
    notes : tuple of str
        What is to be known of this pair.
    """

    a: Channel
    b: Channel
    domain: Domain
    region: str
    measures: Measures
    shift: Shift
    found: Found
    randomized: dict[str, Randomized]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [f"Colocalization of {self.a.name} (A) and {self.b.name} (B) on {self.domain.area_nm2 / 1e6:.4g} um2"]
        lines += [
            f"  {test.figure} {test.value:.3g}, by {test.test} {test.expected:.3g} "
            f"({test.low:.3g} to {test.high:.3g}), p {test.p_value:.2g}"
            for test in self.tests
            if test.figure in HEADLINES and np.isfinite(test.p_value)
        ]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, "  .figures, .tests, .curves, .localizations(), .clusters(), .shift"])

    @property
    def figures(self) -> dict[str, float]:
        """Name to value in the region, NaN where there is none; `_a` is of A with B, `_b` of B with A."""
        return self.found.figures

    @property
    def tests(self) -> tuple[Tested, ...]:
        """Each figure beside each way of randomization."""
        return tuple(test for way in self.randomized.values() for test in way.tests)

    @property
    def curves(self) -> pd.DataFrame:
        """Curves by radius: curve, radius_nm, value, and for each way of randomization its mean and 95 % of it."""
        rows = []
        for name, values in self.found.curves.items():
            table = pd.DataFrame({"curve": name, "radius_nm": self.measures.radii_nm, "value": values})
            for test, way in self.randomized.items():
                table[f"{test}_observed"] = way.observed[name]
                table[f"{test}_expected"] = way.curves[name].mean(axis=0)
                low, high = np.percentile(way.curves[name], [2.5, 97.5], axis=0)
                table[f"{test}_low"], table[f"{test}_high"] = low, high
            rows.append(table)
        return pd.concat(rows, ignore_index=True)

    def localizations(self, of: str = A) -> pd.DataFrame:
        """What is found for each localization of a channel in the region.

        Parameters
        ----------
        of : str
            "a" or "b".

        Returns
        -------
        pandas.DataFrame
            loc_id (molecule_id where detections were merged), cluster_id, in_other_cluster, nearest_other_nm, doc
            (NaN for localizations with no more around them than randomness gives), cbc; by loc_id.
        """
        channel, found = self._channel(of), self.found.localized[of]
        ids = np.append(channel.cluster_id, NO_CLUSTER)
        table = pd.DataFrame(
            {
                "loc_id": channel.loc_id,
                "cluster_id": ids[channel.member_of],
                "in_other_cluster": found.in_other,
                "nearest_other_nm": found.nearest_nm,
                "doc": found.doc,
                "cbc": found.cbc,
            }
        )
        return table.sort_values("loc_id", ignore_index=True)

    def clusters(self, of: str = A) -> pd.DataFrame:
        """What is found for each cluster of a channel in the region.

        Parameters
        ----------
        of : str
            "a" or "b".

        Returns
        -------
        pandas.DataFrame
            cluster_id, with_other (its outline overlaps that of a cluster of the other channel), other_share (of its
            area; of its volume in 3D), nearest_other_nm (between centroids), colocalized_localizations (members at or
            above the threshold of the degree of colocalization), mean_doc; by cluster_id.
        """
        channel, found, members = self._channel(of), self.found.overlapped[of], self.found.localized[of]
        n = len(channel.cluster_id)
        inside = (channel.member_of != NO_CLUSTER) & ~np.isnan(members.doc)
        member, doc = channel.member_of[inside], members.doc[inside]
        counts = np.bincount(member, minlength=n)
        high = np.bincount(member[doc >= self.measures.threshold], minlength=n)
        sums = np.bincount(member, doc, minlength=n)
        bodies = channel.bodies if n else np.zeros(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            table = pd.DataFrame(
                {
                    "cluster_id": channel.cluster_id,
                    "with_other": found.shared > 0,
                    "other_share": np.where(bodies > 0, found.shared / bodies, np.nan),
                    "nearest_other_nm": np.where(np.isfinite(found.nearest_nm), found.nearest_nm, np.nan),
                    "colocalized_localizations": high,
                    "mean_doc": np.where(counts > 0, sums / counts, np.nan),
                }
            )
        return table.sort_values("cluster_id", ignore_index=True)

    def _channel(self, of: str) -> Channel:
        if of not in (A, B):
            raise UsageError(f"{of!r} is no channel of a pair: use 'a' or 'b'")
        return self.a if of == A else self.b
