"""What a summary counts over all tiles of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.schema import NO_CLUSTER, NON_CLUSTERED
from caml_dask.stages.work import Work

# Nearest-neighbor distances are counted in bins of a 32nd of an octave, 2 % wide, between 1e-6 nm and 1e13 nm: their
# medians then need no memory that grows with the image, and do not depend on its tiles.
_BINS_AN_OCTAVE = 32
_LOWEST, _HIGHEST = -20, 44


@dataclass(frozen=True)
class Counts:
    """What the summary counts over all tiles.

    duplicates : localizations that share their coordinates with another
    window_saturated : localizations whose window holds none of another class
    labelled, in_clusters : (classes,) int64, localizations of each class, and of those in clusters
    nearest : (2, bins) int64, nearest-neighbor distances of non-clustered localizations and of all others
    dimensions : coordinates a localization
    """

    duplicates: int
    window_saturated: int
    labelled: np.ndarray
    in_clusters: np.ndarray
    nearest: np.ndarray
    dimensions: int

    @property
    def labelled_clustered(self) -> int:
        """Localizations of any class but non-clustered."""
        return int(self.labelled[NON_CLUSTERED + 1 :].sum())

    @property
    def contrast(self) -> float | None:
        """How many times denser clustered localizations lie than the others; None where there are not both.

        Of a Poisson process the median nearest-neighbor distance goes with density to the power -1/d, so the ratio of
        the two medians to the power d is that of the densities where each class is found: voids of a field do not
        count. On simulated fields it is 1.0 to 1.3 times the contrast of the scenario.
        """
        outside, inside = self.nearest.sum(axis=1)
        if not outside or not inside:
            return None
        median = [np.searchsorted(np.cumsum(counts), counts.sum() / 2) for counts in self.nearest]
        return float(2.0 ** (self.dimensions * (median[0] - median[1]) / _BINS_AN_OCTAVE))


def tally(work: Work) -> Counts:
    """Add up over all tiles what the summary counts."""
    classes = len(work.classifier.classes)
    duplicates = saturated = 0
    labelled, in_clusters = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    nearest = np.zeros((2, (_HIGHEST - _LOWEST) * _BINS_AN_OCTAVE), np.int64)
    for tile in range(work.partition().n_tiles):
        rows = work.store.get("membership", tile)
        label, member = rows["label"].to_numpy(), rows["cluster_id"].to_numpy() != NO_CLUSTER
        saturated += int(np.count_nonzero(rows["window_saturated"].to_numpy(zero_copy_only=False)))
        labelled += np.bincount(label, minlength=classes)
        in_clusters += np.bincount(label[member], minlength=classes)
        found = work.store.get("labels", tile, ["label", "nearest_nm"])
        nearest_nm = found["nearest_nm"].to_numpy()
        duplicates += int(np.count_nonzero(nearest_nm == 0))
        octave = np.log2(np.maximum(nearest_nm, 2.0**_LOWEST)) - _LOWEST
        at = np.minimum((octave * _BINS_AN_OCTAVE).astype(np.int64), nearest.shape[1] - 1)
        clustered = (found["label"].to_numpy() != NON_CLUSTERED).astype(np.int64)
        np.add.at(nearest, (clustered, at), 1)
    return Counts(duplicates, saturated, labelled, in_clusters, nearest, work.dimensions())
