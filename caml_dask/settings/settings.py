"""Everything that decides a result, except the input and the weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any

from caml_dask.errors import UsageError
from caml_dask.methods import Method, method_as_kept
from caml_dask.rectangles import is_rectangles, parse_rectangles
from caml_dask.settings.columns import ColumnMap
from caml_dask.settings.merging import merge_rule
from caml_dask.settings.networks import DEFAULT_NETWORK, network_named

TILE_LOCALIZATIONS = 200_000
LARGE_TILE_LOCALIZATIONS = 1_000_000
LARGE_INPUT = 100_000_000
DRIFT_METHODS = ("aim", "rcc")
STEPS = ("read", "where", "drift", "merge", "region", "analysis")
"""The steps of an analysis, in their order."""


def _check_type(name: str, value: Any, kind: type, wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise UsageError(f"{name}={value!r} is of type {type(value).__name__}: give {wanted}")


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, except the input and the weights.

    Parameters
    ----------
    network : str or Path or None
        Name of a network that ships with the package, its code or alias in any case; or a folder that
        `caml-dask train --out` wrote. It is kept as its published code, or as an absolute path. None takes field-2d, or
        leaves the work to `method`.
    max_localizations : int or None
        Localizations a tile may hold; None chooses by the size of the input. It never changes a result.
    nonfinite : str
        "drop" keeps rows with non-finite coordinates with null results; "refuse" fails the image.
    area_um2 : float or None
        Area analyzed, in um2; None takes the convex hull of the image's localizations.
    min_points : int or None
        Smallest number of localizations in a cluster (DESIGN section 6). None takes 3 of a network; of a method 1 where
        that says itself what a cluster is (DBSCAN, HDBSCAN), 3 (Getis & Franklin, ToMATo, dominant sets) or 5
        (Voronoi).
    any_extent : bool
        Accept coordinates that can hardly be in nm, of a field under 500 nm or over 3 mm wide.
    save_features : bool
        Also store the neighbor distances that a network of windows sees, as Zarr.
    columns : ColumnMap
        Which columns hold the coordinates.
    where : str or None
        Filter of rows, such as ``"uncertainty_nm < 20 and frame >= 500"`` (:mod:`caml_dask.where`); rows that do not
        pass keep their place with null results. None takes all rows.
    roi : str or None
        Regions of interest: rectangles in nm, such as ``"x=1000..5000,y=0..2000"``, a file, or a folder that holds a
        file for each image, by its stem. They decide what is counted and on which area. None counts everything.
    roi_pixel_nm : float or None
        Size of a pixel of regions in pixels, in nm.
    cell_mask : str or None
        "auto" finds the part of the image that localizations occupy, as one would outline a cell
        (:mod:`caml_dask.spatial.occupied`), and takes it as the region of interest. None does not.
    merge : str or None
        How detections of one molecule are merged before the analysis: "auto", or a radius and a gap in frames such as
        "50nm,25frames"; None leaves them as they are.
    test : bool
        Compare the image with random fields (:mod:`caml_dask.stages.randomness`): a p value for the image, a q value
        for each cluster.
    fdr : float or None
        False discovery rate above which clusters are dropped, between 0 and 1; needs the test. None keeps all.
    bootstrap : int or None
        Resamples of the members of each cluster in 2D, 2 or more, for an interval of its area
        (:mod:`caml_dask.geometry.bootstrap`). None gives no interval.
    drift : str or None
        How drift is corrected before all else but the filter: "aim", adaptive intersection maximization, or "rcc",
        redundant cross-correlation; None leaves coordinates as they are.
    method : Method or None
        A method with its parameters that finds the clusters in place of a network, such as
        ``DBSCAN(eps_nm=30, min_samples=5)`` (:mod:`caml_dask.methods`).

    Raises
    ------
    UsageError
        A value has the wrong type or lies out of its range.
    """

    network: str | None = None
    max_localizations: int | None = None
    nonfinite: str = "drop"
    area_um2: float | None = None
    min_points: int | None = None
    any_extent: bool = False
    save_features: bool = False
    columns: ColumnMap = field(default_factory=ColumnMap)
    where: str | None = None
    roi: str | None = None
    roi_pixel_nm: float | None = None
    cell_mask: str | None = None
    merge: str | None = None
    drift: str | None = None
    test: bool = True
    fdr: float | None = None
    bootstrap: int | None = None
    method: Method | None = None

    def __post_init__(self) -> None:
        self._settle_finder()
        if self.merge is not None:
            rule = merge_rule(self.merge)
            text = rule if isinstance(rule, str) else f"{rule.radius_nm:g}nm,{rule.frames}frames"
            object.__setattr__(self, "merge", text)
        if self.drift not in (None, *DRIFT_METHODS):
            raise UsageError(f"--drift {self.drift!r}: use {' or '.join(DRIFT_METHODS)}")
        if self.max_localizations is not None:
            _check_type("max_localizations", self.max_localizations, Integral, "a whole number, or None")
        if self.area_um2 is not None:
            _check_type("area_um2", self.area_um2, Real, "a number of um2, or None")
        if self.max_localizations is not None and self.max_localizations < 1:
            raise UsageError(f"--max-localizations {self.max_localizations}: a tile holds at least 1")
        if self.nonfinite not in ("drop", "refuse"):
            raise UsageError(f"--nonfinite {self.nonfinite!r}: use drop or refuse")
        if self.area_um2 is not None and not 0 < self.area_um2 < float("inf"):
            raise UsageError(f"--area-um2 {self.area_um2}: give a positive area in um2")
        if self.roi_pixel_nm is not None:
            _check_type("roi_pixel_nm", self.roi_pixel_nm, Real, "a number of nm, or None")
            if not 0 < self.roi_pixel_nm < float("inf"):
                raise UsageError(f"--roi-pixel-nm {self.roi_pixel_nm}: give the positive size of a pixel in nm")
        if self.cell_mask is not None:
            self._check_cell_mask()
        if self.roi is not None:
            self._check_roi()
        if self.where is not None:
            _check_type("where", self.where, str, "a text such as 'uncertainty_nm < 20', or None")
            from caml_dask.where import parse_filter  # it loads Arrow, which the help of commands needs not

            parse_filter(self.where)
        if not isinstance(self.test, bool):
            raise UsageError(f"test={self.test!r}: give True or False")
        if self.fdr is not None:
            _check_type("fdr", self.fdr, Real, "a rate such as 0.05, or None")
            if not 0 < self.fdr < 1:
                raise UsageError(f"--fdr {self.fdr}: give a rate between 0 and 1, such as 0.05")
            if not self.test:
                raise UsageError("--fdr drops clusters by the test against randomness, which is off: use --test")
        if self.bootstrap is not None:
            _check_type("bootstrap", self.bootstrap, Integral, "a whole number of resamples, or None")
            if self.bootstrap < 2:
                raise UsageError(f"--bootstrap {self.bootstrap}: give 2 resamples or more, such as 100")

    def _settle_finder(self) -> None:
        """What finds the clusters, in one spelling, and what it takes for the smallest of them."""
        if isinstance(self.method, Mapping):  # as a manifest has it
            object.__setattr__(self, "method", method_as_kept(self.method))
        if self.method is None:
            object.__setattr__(
                self, "network", network_named(DEFAULT_NETWORK if self.network is None else self.network)
            )
        elif not isinstance(self.method, Method):
            raise UsageError(
                f"method={self.method!r} is of type {type(self.method).__name__}: give a method with its "
                "parameters, such as DBSCAN(eps_nm=30, min_samples=5)"
            )
        elif self.network is not None:
            raise UsageError("--method finds clusters in place of a --network: give one of them")
        elif self.save_features:
            raise UsageError("--save-features stores what a network of windows sees: leave it out with --method")
        least = (
            (3 if self.method is None else self.method.least_members) if self.min_points is None else self.min_points
        )
        _check_type("min_points", least, Integral, "a whole number, or None")
        if least < 1:
            raise UsageError(f"min_points {least}: a cluster has at least 1 localization")
        object.__setattr__(self, "min_points", least)

    def _check_cell_mask(self) -> None:
        if self.cell_mask != "auto":
            raise UsageError(f"--cell-mask {self.cell_mask!r}: give auto, or regions of your own with --roi")
        if self.roi is not None:
            raise UsageError("--cell-mask finds the region that --roi would give: leave one of them out")
        if self.area_um2 is not None:
            raise UsageError("--cell-mask finds the area that --area-um2 would give: leave one of them out")

    def _check_roi(self) -> None:
        if not isinstance(self.roi, str | os.PathLike):
            raise UsageError(f"roi={self.roi!r} is of type {type(self.roi).__name__}: give a text or a path")
        if self.area_um2 is not None:
            raise UsageError("--roi gives the area that --area-um2 would: leave one of them out")
        text = os.fspath(self.roi)
        if is_rectangles(text):
            parse_rectangles(text)
        else:
            text = os.path.abspath(text)  # noqa: PTH100 - workers may run elsewhere
        object.__setattr__(self, "roi", text)

    @property
    def finder(self) -> str:
        """Name of what finds the clusters (str): the network or the method."""
        return self.method.name if self.method is not None else str(self.network)

    @property
    def has_regions(self) -> bool:
        """Whether regions decide what is counted (bool): given ones, or the one that is found."""
        return self.roi is not None or self.cell_mask is not None

    def steps(self) -> list[str]:
        """What is done to an image, in the order in which it is done; steps that are not asked for are left out.

        Returns
        -------
        list of str
            Some of STEPS.
        """
        asked = {
            "where": self.where is not None,
            "drift": self.drift is not None,
            "merge": self.merge is not None,
            "region": self.has_regions,
        }
        return [step for step in STEPS if asked.get(step, True)]

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, as a manifest holds them.

        Returns
        -------
        dict
            Value by name; `columns` and `method` are dicts of their own.
        """
        return asdict(self) | {"method": None if self.method is None else self.method.as_dict()}

    def digest(self) -> str:
        """Digest of the settings; two runs with the same digest have the same settings.

        Returns
        -------
        str
            BLAKE2b of the settings, 32 hexadecimal digits.
        """
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
