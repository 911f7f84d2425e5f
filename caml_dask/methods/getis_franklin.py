"""Getis and Franklin's local point pattern analysis: localizations with many neighbors, connected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from caml_dask.methods.method import Method, parameter, settle_number


@dataclass(frozen=True)
class GetisFranklin(Method):
    """Localizations whose local L(r) reaches a threshold, connected (Owen et al., J. Biophotonics 2010).

    L(r) of a localization is sqrt(A k / (pi (n - 1))) with its k neighbors within r, of n localizations on an area A;
    complete randomness gives r. n and A are those of the regions of interest where there are some, and of the image
    otherwise: on the area that is given, or the convex hull. No correction is made at edges, where L(r) is low.
    Distances are closed. Localizations over the threshold within `link_nm` of each other are in one cluster; all
    others are in none, so that nothing depends on the order of rows.

    Parameters
    ----------
    radius_nm : float
        Radius r in nm within which neighbors are counted.
    threshold_nm : float or None
        L(r) in nm from which on a localization is clustered. None takes twice `radius_nm`, a neighborhood four times
        denser than the field.
    link_nm : float or None
        Clustered localizations within this distance in nm are in one cluster; None takes `radius_nm`.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "getis-franklin"
    title: ClassVar[str] = "Getis & Franklin"
    reference: ClassVar[str] = (
        "Owen, D. M. et al. PALM imaging and cluster analysis of protein heterogeneity at the cell surface. J. "
        "Biophotonics 3, 446-454 (2010), after Getis, A. & Franklin, J. Second-order neighborhood analysis of mapped "
        "point patterns. Ecology 68, 473-477 (1987)"
    )
    least_members: ClassVar[int] = 3
    dimensions: ClassVar[int] = 2

    radius_nm: float = parameter("radius in nm within which neighbors are counted, such as 50", such_as=50)
    threshold_nm: float | None = parameter(
        "L(r) in nm from which on a localization is clustered; by default twice the radius", None, 100
    )
    link_nm: float | None = parameter(
        "distance in nm within which clustered localizations are connected; by default the radius", None, 50
    )

    def __post_init__(self) -> None:
        settle_number(self, "radius_nm", "a radius above 0 in nm")
        if self.threshold_nm is None:
            object.__setattr__(self, "threshold_nm", 2 * self.radius_nm)
        if self.link_nm is None:
            object.__setattr__(self, "link_nm", self.radius_nm)
        settle_number(self, "threshold_nm", "a threshold of L(r) above 0 in nm")
        settle_number(self, "link_nm", "a distance above 0 in nm")

    def least_samples(self, localizations: int, area_nm2: float) -> int:
        """Localizations within the radius of one, itself among them, from which on its L(r) reaches the threshold.

        Parameters
        ----------
        localizations : int
            How many there are, 2 or more.
        area_nm2 : float
            The area that they lie on.

        Returns
        -------
        int
            From 1 on.
        """
        threshold = float(self.threshold_nm or 0.0)

        def reaches(neighbors: int) -> bool:
            return math.sqrt(area_nm2 * neighbors / (math.pi * (localizations - 1))) >= threshold

        neighbors = math.ceil(math.pi * (localizations - 1) / area_nm2 * threshold**2)
        while not reaches(neighbors):
            neighbors += 1
        while neighbors > 0 and reaches(neighbors - 1):
            neighbors -= 1
        return neighbors + 1

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        return (
            "Clusters were found by local point pattern analysis (Getis and Franklin, 1987; Owen et al., 2010): "
            f"localizations whose L(r) for r = {self.radius_nm:g} nm is {self.threshold_nm:g} nm or more are "
            f"clustered, and those within {self.link_nm:g} nm of each other are in one cluster; edges were not "
            "corrected for."
        )
