"""Localizations described in memory: what :func:`caml_dask.describe` does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pandas as pd
from joblib import effective_n_jobs

from caml_dask.describing.image import Asked, describe_image, work_on
from caml_dask.describing.picture import draw_description
from caml_dask.describing.summary import words_of
from caml_dask.errors import UsageError
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import Localizations, as_localizations
from caml_dask.io.rois.given import refuse_missing
from caml_dask.io.store import MemoryStore
from caml_dask.settings import ColumnMap


class DescribeSettings(TypedDict, total=False):
    """Settings that :func:`describe` takes by name, as of :class:`caml_dask.settings.Settings`."""

    max_localizations: int | None
    nonfinite: str
    any_extent: bool
    where: str | None
    roi: str | None
    roi_pixel_nm: float | None
    cell_mask: str | None
    merge: str | None
    drift: str | None


@dataclass(frozen=True, repr=False, eq=False)
class Description:
    """How localizations are spread over their regions.

    Attributes
    ----------
    curves : pandas.DataFrame
        A row for each distance of each region; columns as of ``describing.tables.DESCRIPTION``.
    summary : dict
        Counts, areas, the scale of the largest L(r) - r and p values of each region, and warnings.
    """

    curves: pd.DataFrame
    summary: dict[str, Any]

    def __repr__(self) -> str:
        lines = ["Description", *(f"  {words_of(region)}" for region in self.summary["regions"])]
        lines += [f"  warning: {warning}" for warning in self.summary["warnings"]]
        return "\n".join([*lines, "  .curves, .summary, .draw()"])

    def draw(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Write a picture of the functions of the first regions beside those of random fields, as PNG.

        Parameters
        ----------
        path : path
            File to write.
        title : str
            What stands above.

        Raises
        ------
        UsageError
            Matplotlib is not installed.
        """
        draw_description(self.curves, title, Path(path))


def describe(
    localizations: Localizations,
    *,
    most_nm: float | None = None,
    simulations: int = 99,
    seed: int = 0,
    columns: ColumnMap | str | None = None,
    n_jobs: int | None = -1,
    **settings: Unpack[DescribeSettings],
) -> Description:
    """Describe how localizations are spread: Ripley's K and L, pair correlation, nearest-neighbor distances.

    Each region of interest is described by itself; without regions, what the convex hull of the localizations holds, or
    where that is mostly empty the part that they occupy. Functions are corrected for the border of the region and
    compared with random fields of the same region (:mod:`caml_dask.describing.curves`,
    :mod:`caml_dask.describing.envelopes`).

    Parameters
    ----------
    localizations : path, array or table
        As :func:`caml_dask.analyze` takes them, in 2D.
    most_nm : float, optional
        Largest distance, in nm; by default 500 nm, or a quarter of the shorter side of the region if that is less.
    simulations : int
        Random fields; 0 for none, or at least 19. The smallest p value is 1 / (1 + simulations).
    seed : int
        Of all chance.
    columns : str or ColumnMap, optional
        Which columns are the coordinates, such as ``"x=X,y=Y,unit=um"``, where the headers do not say.
    n_jobs : int, optional
        Threads, as scikit-learn counts them: -1 for one a core. Never changes a result.
    **settings
        Other fields of :class:`caml_dask.settings.Settings`: ``where=``, ``roi=``, ``roi_pixel_nm=``, ``cell_mask=``,
        ``drift=``, ``merge=``, ``nonfinite=``, ``any_extent=`` and ``max_localizations=``.

    Returns
    -------
    Description
        Functions and summary.

    Raises
    ------
    UsageError
        Settings that cannot be used.
    InputError
        Localizations that cannot be described, or no region with enough of them.
    """
    unknown = sorted(set(settings) - set(DescribeSettings.__annotations__))
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}: use one of {', '.join(DescribeSettings.__annotations__)}")
    asked, named = Asked(most_nm, simulations, seed), ColumnMap.of(columns)
    work = work_on(Image("in_memory"), {**settings, "columns": named}, MemoryStore())
    refuse_missing(work.settings.roi)
    table = as_localizations(localizations, named)
    return Description(*describe_image(work, [table], asked, effective_n_jobs(n_jobs)))
