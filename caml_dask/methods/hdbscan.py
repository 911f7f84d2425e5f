"""HDBSCAN, by scikit-learn: clusters of any density, from the tree of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caml_dask.errors import UsageError
from caml_dask.methods.method import Method, parameter, settle_whole


@dataclass(frozen=True)
class HDBSCAN(Method):
    """Clusters of any density, the most stable of the tree of all of them (Campello et al., PAKDD 2013).

    The tree is of the whole image, which one worker therefore holds: up to 100,000 localizations, as time grows with
    the square of their number. It is scikit-learn's, which takes localizations in the order of their coordinates, so
    that neither the order of rows nor tiles change anything.

    Parameters
    ----------
    min_cluster_size : int
        Localizations of the smallest cluster.
    min_samples : int or None
        Neighbor whose distance is a localization's core distance, itself among them; None takes `min_cluster_size`.
    leaf : bool
        Take the leaves of the tree of clusters, which are small and alike, in place of the most stable clusters.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "hdbscan"
    title: ClassVar[str] = "HDBSCAN"
    reference: ClassVar[str] = (
        "Campello, R. J. G. B., Moulavi, D. & Sander, J. Density-based clustering based on hierarchical density "
        "estimates. Proc. PAKDD 2013, 160-172 (2013)"
    )
    most_localizations: ClassVar[int] = 100_000

    min_cluster_size: int = parameter("localizations of the smallest cluster", 5)
    min_samples: int | None = parameter(
        "neighbor whose distance is a localization's core distance, itself among them; by default min-cluster-size",
        None,
        5,
    )
    leaf: bool = parameter("take the leaves of the tree of clusters in place of the most stable clusters", False)

    def __post_init__(self) -> None:
        settle_whole(self, "min_cluster_size", 2)
        if self.min_samples is None:
            object.__setattr__(self, "min_samples", self.min_cluster_size)
        settle_whole(self, "min_samples", 1)
        if not isinstance(self.leaf, bool):
            raise UsageError(f"leaf={self.leaf!r}: give True or False")

    @property
    def least_localizations(self) -> int:  # type: ignore[override]
        """Localizations that an image needs (int)."""
        return max(int(self.min_samples or 0), self.min_cluster_size, 2)

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        of = "the leaves of the tree" if self.leaf else "the most stable ones"
        return (
            "Clusters were found by HDBSCAN (Campello et al., 2013) as in scikit-learn, with min_cluster_size "
            f"{self.min_cluster_size} and min_samples {self.min_samples}: {of} of the clusters at all densities."
        )
