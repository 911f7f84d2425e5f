"""DBSCAN: dense localizations, and what lies within reach of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caml_dask.methods.method import AUTO, Method, parameter, settle_number, settle_whole


@dataclass(frozen=True)
class DBSCAN(Method):
    """Density-based clusters (Ester et al., KDD 1996): cores within `eps_nm` of each other, and what they reach.

    A core has `min_samples` localizations within `eps_nm`, itself among them; distances compare as squares, closed, so
    that cores and noise are those of scikit-learn. Cores within `eps_nm` of each other are in one cluster. A
    localization that is no core belongs to the cluster of its nearest core within `eps_nm`; of cores equally far, to
    that of the one with the smallest x, then y, then z. scikit-learn takes the first cluster in the order of rows.

    Parameters
    ----------
    eps_nm : float or str
        Radius in nm, closed, within which localizations are counted and linked; "auto" takes it from the data
        (:mod:`caml_dask.spatial.plateau`).
    min_samples : int
        Localizations within `eps_nm` that make one a core, itself among them.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "dbscan"
    title: ClassVar[str] = "DBSCAN"
    reference: ClassVar[str] = (
        "Ester, M., Kriegel, H.-P., Sander, J. & Xu, X. A density-based algorithm for discovering clusters in large "
        "spatial databases with noise. Proc. KDD-96, 226-231 (1996)"
    )

    eps_nm: float | str = parameter(
        "radius in nm within which localizations are counted and linked, such as 30; or auto, which takes it from the "
        "data",
        such_as=30,
    )
    min_samples: int = parameter("localizations within the radius that make one a core, itself among them", 5)

    def __post_init__(self) -> None:
        # one digest, however the numbers are spelled
        if self.eps_nm != AUTO:
            settle_number(self, "eps_nm", "a radius above 0 in nm")
        settle_whole(self, "min_samples", 1)

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        radius = (
            "a radius that was taken from each image, on the widest plateau of radii that find nearly the same clusters"
            if self.eps_nm == AUTO
            else f"a radius of {self.eps_nm:g} nm"
        )
        return (
            f"Clusters were found by DBSCAN (Ester et al., 1996) with {radius} and min_samples "
            f"{self.min_samples}: a localization with at least {self.min_samples} within the radius, itself counted, "
            "is a core; cores within the radius of each other are in one cluster, and so is any other localization "
            "within the radius of a core, with the nearest one."
        )
