"""Dominant sets: clusters whose members are all as similar to the cluster as it is coherent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caml_dask.errors import UsageError
from caml_dask.methods.method import Method, parameter, settle_number


@dataclass(frozen=True)
class DominantSets(Method):
    """Sets of localizations that are more similar to each other than to all others (Pavan and Pelillo, 2007).

    Two localizations at distance d have the similarity exp(-d^2 / sigma^2); beyond four sigma it counts as 0, for it is
    below 1.2e-7. A dominant set is the support of weights x that sum to 1 and maximize the cohesiveness x'Ax locally,
    with the matrix A of similarities. Sets are found one after another, each among the localizations that earlier ones
    left, until none is left. Two rules are of this package: the dynamics of a set begin at the localization with the
    largest sum of similarities to those that are left, of equal ones at that with the smallest x, then y, then z; and
    sets of little cohesiveness are noise.

    The dynamics are infection and immunization (Rota Bulò et al., 2011), until no mean similarity contradicts a maximum
    by more than 1e-6, as in the demonstrations of DSLib (Vascon et al., 2020). They take a localization out of a set
    entirely, so the support needs no threshold. Each set depends on those before it, wherever these are in the image:
    one worker holds it, up to 50,000 localizations, as time grows with the square of those within reach of each other.

    Parameters
    ----------
    sigma_nm : float
        Distance in nm at which the similarity is 1/e. A cluster of N localizations, evenly on a disc of radius R, is
        about one dominant set where sigma is R sqrt(N); with a shorter one, it is cut into several.
    min_cohesiveness : float
        Sets of a lower cohesiveness are noise; from 0, which keeps all, to below 1. k localizations reach at most
        1 - 1/k, where all are at one place; where r localizations per nm2 lie at random, sets have about
        1 - 2 / (sigma sqrt(pi r)).

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "dominant-sets"
    title: ClassVar[str] = "Dominant sets"
    reference: ClassVar[str] = (
        "Pavan, M. & Pelillo, M. Dominant sets and pairwise clustering. IEEE Trans. Pattern Anal. Mach. Intell. 29, "
        "167-172 (2007), with the dynamics of Rota Bulò, S., Pelillo, M. & Bomze, I. M. Graph-based quadratic "
        "optimization: a fast evolutionary approach. Comput. Vis. Image Underst. 115, 984-995 (2011)"
    )
    least_members: ClassVar[int] = 3
    most_localizations: ClassVar[int] = 50_000

    sigma_nm: float = parameter(
        "distance in nm at which the similarity of two localizations is 1/e, such as 200", such_as=200
    )
    min_cohesiveness: float = parameter("weighted mean similarity in a set, 0 to below 1, below which it is noise", 0.8)

    def __post_init__(self) -> None:
        settle_number(self, "sigma_nm", "a distance above 0 in nm")
        meaning = "a cohesiveness from 0 to below 1"
        settle_number(self, "min_cohesiveness", meaning, 0.0)
        if self.min_cohesiveness >= 1:
            raise UsageError(f"min_cohesiveness={self.min_cohesiveness!r}: give {meaning}, such as 0.8")

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        return (
            "Clusters were found as dominant sets (Pavan and Pelillo, 2007), one after another by infection and "
            "immunization (Rota Bulò et al., 2011), where two localizations at distance d have the similarity "
            f"exp(-(d / {self.sigma_nm:g} nm)^2); sets of a cohesiveness below {self.min_cohesiveness:g} are noise."
        )
