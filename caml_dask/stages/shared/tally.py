"""What a summary counts over all tiles of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from caml_dask.schema import NO_CLUSTER, NO_REGION, NON_CLUSTERED
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import LABELS, TALLY

# Distances are counted in bins of a 32nd of an octave, 2 % wide, between 1e-6 nm and 1e13 nm: their quantiles
# then need no memory that grows with the image, and do not depend on its tiles.
_BINS_AN_OCTAVE = 32
_LOWEST, _HIGHEST = -20, 44
_BINS = (_HIGHEST - _LOWEST) * _BINS_AN_OCTAVE


@dataclass(frozen=True)
class Counts:
    """What the summary counts over all tiles.

    duplicates : localizations that share their coordinates with another
    window_saturated : localizations whose window holds none of another class
    labelled, in_clusters : (classes,) int64, localizations of each class, and of those in clusters
    nearest : (2, bins) int64, nearest-neighbor distances of non-clustered localizations and of all others
    windows : (bins,) int64, distances of non-clustered localizations to the last neighbor of their window
    dimensions : coordinates a localization
    labelled_by_region, in_clusters_by_region : (regions, classes) int64, the same of each region of interest
    """

    duplicates: int
    window_saturated: int
    labelled: np.ndarray
    in_clusters: np.ndarray
    nearest: np.ndarray
    windows: np.ndarray
    dimensions: int
    labelled_by_region: np.ndarray
    in_clusters_by_region: np.ndarray

    @property
    def labelled_clustered(self) -> int:
        """Localizations of any class but non-clustered."""
        return int(self.labelled[NON_CLUSTERED + 1 :].sum())

    @property
    def contrast(self) -> float | None:
        """How many times denser clustered localizations lie than the others; None where there are not both.

        Of a Poisson process the median nearest-neighbor distance goes with density to the power -1/d, so the ratio of
        the two medians to the power d is that of the densities where each class is found: voids of a field do not
        count. Tests hold it to 0.75 to 1.6 times the contrast of simulated scenarios.
        """
        outside, inside = self.nearest.sum(axis=1)
        if not outside or not inside:
            return None
        return self._density_ratio(_bin_of(self.nearest[0], 0.5) - _bin_of(self.nearest[1], 0.5))

    @property
    def spread(self) -> float | None:
        """How many times denser non-clustered localizations lie in the densest than in the emptiest twentieth of
        their windows; None where there are none.

        From inside a structure that is larger than the window all looks even, so that a network calls it
        non-clustered. The limit that a warning takes, 20, lies between fields of clusters
        smaller than the window and fields of clusters of 150 and 200 localizations under a window of 100, in tests.
        """
        if not self.windows.any():
            return None
        return self._density_ratio(_bin_of(self.windows, 0.95) - _bin_of(self.windows, 0.05))

    def _density_ratio(self, bins: int) -> float:
        return float(2.0 ** (self.dimensions * bins / _BINS_AN_OCTAVE))


def _bin_of(counts: np.ndarray, share: float) -> int:
    """The bin below which a share of what is counted lies."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum()))


def _bins(distances_nm: np.ndarray) -> np.ndarray:
    octave = np.log2(np.maximum(distances_nm, 2.0**_LOWEST)) - _LOWEST
    return np.minimum((octave * _BINS_AN_OCTAVE).astype(np.int64), _BINS - 1)


def put_tally(
    work: Work, unit: int, cluster_id: np.ndarray, window_saturated: np.ndarray, region_id: np.ndarray
) -> None:
    """Count what the summary needs of one tile, whose localizations' clusters, windows and regions of interest are
    given, (n,) each."""
    classes, regions = len(work.network.classes), len(work.rois())
    found = work.get(LABELS, unit, ["label", "nearest_nm", "window_nm"])
    label, nearest_nm, window_nm = (found[name].to_numpy() for name in ("label", "nearest_nm", "window_nm"))
    non = label == NON_CLUSTERED
    counts = {
        "duplicates": [np.count_nonzero(nearest_nm == 0)],
        "window_saturated": [np.count_nonzero(window_saturated)],
        "labelled": np.bincount(label, minlength=classes),
        "in_clusters": np.bincount(label[cluster_id != NO_CLUSTER], minlength=classes),
        "nearest_non": np.bincount(_bins(nearest_nm[non]), minlength=_BINS),
        "nearest": np.bincount(_bins(nearest_nm[~non]), minlength=_BINS),
        "windows": np.bincount(_bins(window_nm[non]), minlength=_BINS),
    }
    inside, clustered = region_id != NO_REGION, cluster_id != NO_CLUSTER
    place = region_id.astype(np.int64) * classes + label
    counts["labelled_by_region"] = np.bincount(place[inside], minlength=regions * classes)
    counts["in_clusters_by_region"] = np.bincount(place[inside & clustered], minlength=regions * classes)
    work.put(TALLY, unit, pa.table({name: [np.asarray(c, np.int64)] for name, c in counts.items()}))


def tally(work: Work) -> Counts:
    """Add up over all tiles what the summary counts."""
    tables = [work.get(TALLY, tile) for tile in range(work.partition().n_tiles)]
    sums = {name: sum(t[name][0].values.to_numpy() for t in tables) for name in tables[0].column_names}
    return Counts(
        duplicates=int(sums["duplicates"][0]),
        window_saturated=int(sums["window_saturated"][0]),
        labelled=sums["labelled"],
        in_clusters=sums["in_clusters"],
        nearest=np.stack([sums["nearest_non"], sums["nearest"]]),
        windows=sums["windows"],
        dimensions=work.dimensions(),
        labelled_by_region=sums["labelled_by_region"].reshape(-1, len(work.network.classes)),
        in_clusters_by_region=sums["in_clusters_by_region"].reshape(-1, len(work.network.classes)),
    )
