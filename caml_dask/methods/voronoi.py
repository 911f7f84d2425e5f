"""SR-Tesseler: cells of the Voronoi diagram that are denser than the field, connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caml_dask.errors import UsageError
from caml_dask.methods.method import Method, parameter, settle_number


@dataclass(frozen=True)
class Voronoi(Method):
    """Cells of the Voronoi diagram that are denser than the field, connected (SR-Tesseler, Levet et al., 2015).

    Localizations at one place share a cell. The density of a cell is the number of its localizations over its area;
    of rank 1, that of the cell and its neighbors together. A cell is dense if it has at least `density_factor` times
    the mean density, which is that of the regions of interest where there are some, and of the image otherwise: on the
    area that is given, or the convex hull. Dense cells that share a side are in one cluster; a side counts if it is
    longer than a millionth of the cell's reach, so that four localizations on a circle have no diagonal. A cell ends at
    the bounding box of the localizations.

    Parameters
    ----------
    density_factor : float
        Cells at least this many times denser than the field on average are clustered.
    rank : int
        1 takes the density over a cell and its neighbors, 0 over the cell alone.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "voronoi"
    title: ClassVar[str] = "SR-Tesseler"
    reference: ClassVar[str] = (
        "Levet, F. et al. SR-Tesseler: a method to segment and quantify localization-based super-resolution microscopy "
        "data. Nat. Methods 12, 1065-1071 (2015)"
    )
    least_localizations: ClassVar[int] = 3
    least_members: ClassVar[int] = 5
    dimensions: ClassVar[int] = 2

    density_factor: float = parameter("times the mean density from which on a Voronoi cell is clustered", 2.0)
    rank: int = parameter("1 takes the density of a cell with its neighbors, 0 of the cell alone", 1)

    def __post_init__(self) -> None:
        settle_number(self, "density_factor", "a factor above 0")
        if isinstance(self.rank, bool) or self.rank not in (0, 1):
            raise UsageError(f"rank={self.rank!r}: give 0 (a cell alone) or 1 (with its neighbors)")
        object.__setattr__(self, "rank", int(self.rank))

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        of = "together with its neighbors" if self.rank else "by itself"
        return (
            "Clusters were found by the Voronoi diagram of the localizations, as in SR-Tesseler (Levet et al., 2015): "
            f"a cell that {of} is at least {self.density_factor:g} times denser than the field on average is "
            "clustered, and such cells that share a side are in one cluster."
        )
