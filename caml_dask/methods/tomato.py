"""ToMATo: clusters are the peaks of a density that persist, with their slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caml_dask.methods.method import Method, parameter, settle_number, settle_whole


@dataclass(frozen=True)
class ToMATo(Method):
    """Peaks of the density that persist, with their slopes (Chazal et al., 2013; on localizations Pike et al., 2020).

    The density at a localization is k over the area of the disc that reaches its k-th neighbor. Localizations within
    `link_nm` of each other are neighbors in a graph, on which each goes up to its densest neighbor until it is at a
    peak. Of localizations as dense as each other, the one with the smaller x, then y is the denser one. A peak is
    compared with others over the whole extent of what is connected, which knows no bound: one worker holds the image,
    up to 200,000 localizations.

    Parameters
    ----------
    link_nm : float
        Localizations within this distance in nm, closed, are neighbors in the graph.
    persistence_per_um2 : float
        A peak that rises above the saddle to a higher peak by less than this is merged into it; a peak lower than
        this is noise with its slopes. In localizations per um2.
    k : int
        The neighbor whose distance gives the density.
    min_density_per_um2 : float
        Localizations of a lower density are noise from the start.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "tomato"
    title: ClassVar[str] = "ToMATo"
    reference: ClassVar[str] = (
        "Pike, J. A. et al. Topological data analysis quantifies biological nano-structure from single molecule "
        "localization microscopy. Bioinformatics 36, 1614-1621 (2020), after Chazal, F., Guibas, L. J., Oudot, S. Y. & "
        "Skraba, P. Persistence-based clustering in Riemannian manifolds. J. ACM 60, 41 (2013)"
    )
    least_members: ClassVar[int] = 3
    most_localizations: ClassVar[int] = 200_000
    dimensions: ClassVar[int] = 2

    link_nm: float = parameter("distance in nm within which localizations are neighbors, such as 50", such_as=50)
    persistence_per_um2: float = parameter(
        "how far a peak of the density rises above a saddle, in localizations per um2, such as 1000", such_as=1000
    )
    k: int = parameter("the neighbor whose distance gives the density", 10)
    min_density_per_um2: float = parameter("localizations per um2 below which one is noise from the start", 0.0)

    def __post_init__(self) -> None:
        settle_number(self, "link_nm", "a distance above 0 in nm")
        settle_number(self, "persistence_per_um2", "a density from 0 on per um2", 0.0)
        settle_number(self, "min_density_per_um2", "a density from 0 on per um2", 0.0)
        settle_whole(self, "k", 1)

    @property
    def least_localizations(self) -> int:  # type: ignore[override]
        """Localizations that an image needs (int)."""
        return self.k + 1

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        return (
            "Clusters were found by ToMATo (Chazal et al., 2013; Pike et al., 2020): peaks of the density by the "
            f"{self.k}-th neighbor that persist over {self.persistence_per_um2:g} localizations per um2, on the graph "
            f"of localizations within {self.link_nm:g} nm of each other"
            + (
                f"; those of less than {self.min_density_per_um2:g} per um2 are noise."
                if self.min_density_per_um2
                else "."
            )
        )
