"""Settings of an analysis: frozen values with a digest, so that two runs can be told apart."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

from caml_dask.errors import UsageError
from caml_dask.methods import Method, method_as_kept
from caml_dask.rectangles import is_rectangles, parse_rectangles

NM_PER_UNIT = {"nm": 1.0, "um": 1e3, "µm": 1e3, "mm": 1e6, "m": 1e9}
# A field of view is a fraction of a um to a few mm wide; a stage moves by some cm.
SMALLEST_FIELD_NM, LARGEST_FIELD_NM, FARTHEST_NM = 500.0, 3e6, 1e8
# What can be computed with: squares of distances in float64 and distances in float32, far from their ends.
SMALLEST_SPAN_NM, FARTHEST_COMPUTED_NM = 1e-9, 1e15
TILE_LOCALIZATIONS = 200_000
LARGE_TILE_LOCALIZATIONS = 1_000_000
LARGE_INPUT = 100_000_000
NETWORK_ALIASES = {
    "XPILJZ": "dense-100",
    "07VEJJ": "lstm-100",
    "87B144": "lstm-1000",
    "GAXJPR": "dense-1000-3d",
    "3TXKFS": "conv-1000-3class",
}
"""Published code of each network that ships with the package, and its alias: architecture, window, what is special.

They are here so that the help lists them without loading a network.
"""

FIBER_NETWORK = "field-2d-fibers"
FIELD_NETWORKS = ("field-2d", "field-3d", FIBER_NETWORK)
"""Networks that see whole fields, and need no window; the last one tells fibers from round clusters."""
DEFAULT_NETWORK = FIELD_NETWORKS[0]
DRIFT_METHODS = ("aim", "rcc")


STEPS = ("read", "where", "drift", "merge", "region", "analysis")
"""The steps of an analysis, in their order."""


def network_named(network: str | os.PathLike[str]) -> str:
    """The one spelling of a network: its published code, or the absolute path of a folder or card of one's own.

    Parameters
    ----------
    network : str or Path
        A code or alias in any case, or a path. A text is a path where it has a separator or names an existing file.
        Any other text is returned unchanged, and rejected when the network is loaded.

    Returns
    -------
    str
        The published code, the absolute path, or the unknown text.

    Raises
    ------
    UsageError
        The value is neither a text nor a path.
    """
    if not isinstance(network, str | os.PathLike):
        raise UsageError(
            f"network={network!r} is of type {type(network).__name__}: give a name such as 'XPILJZ', or the folder "
            "of a network of your own"
        )
    if isinstance(network, str):
        for code, alias in [*NETWORK_ALIASES.items(), *zip(FIELD_NETWORKS, FIELD_NETWORKS, strict=True)]:
            if network.casefold() in (code.casefold(), alias.casefold()):
                return code
    path = os.fspath(network)
    is_path = not isinstance(network, str) or os.sep in path or os.path.exists(path)  # noqa: PTH110 - a str stays one
    return os.path.abspath(path) if is_path else path  # noqa: PTH100 - a link in it may be replaced: it stays


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a table are the coordinates, and in which unit.

    Parameters
    ----------
    x, y, z : str or None
        Names of the coordinate columns; None lets the reader find them by their headers.
    unit : str or None
        "nm", "um", "mm", "m" or "px"; None takes the unit from the header, and rejects a header without one.
    pixel_nm : float or None
        Size of a pixel in nm; needed with "px".
    channel : str or None
        Name of the column that holds the channel; each channel becomes an image.

    Raises
    ------
    UsageError
        The map names too few coordinates, an unknown unit, "px" without the size of a pixel, or a size that is not
        positive.
    """

    x: str | None = None
    y: str | None = None
    z: str | None = None
    unit: str | None = None
    pixel_nm: float | None = None
    channel: str | None = None

    def __post_init__(self) -> None:
        if (self.x is None) != (self.y is None):
            raise UsageError("--columns names only one of x and y: name both, such as x=X,y=Y,unit=nm")
        if self.z is not None and self.x is None:
            raise UsageError("--columns names z but not x and y: name all three")
        if self.unit is not None and self.unit not in (*NM_PER_UNIT, "px"):
            raise UsageError(f"unknown unit {self.unit!r}: use one of {', '.join(NM_PER_UNIT)}, or px with pixel_nm=")
        if self.unit == "px" and self.pixel_nm is None:
            raise UsageError("unit=px needs the size of a pixel: add pixel_nm=, such as pixel_nm=160")
        if self.pixel_nm is not None and not 0 < self.pixel_nm < float("inf"):
            raise UsageError(f"pixel_nm={self.pixel_nm} is not a size: give a positive number of nm")

    @classmethod
    def of(cls, columns: Any) -> ColumnMap:
        """Take a column map in any form that the interface accepts.

        Parameters
        ----------
        columns : ColumnMap or str or None
            A map, its text (:meth:`parse`), or None, which reads the headers.

        Returns
        -------
        ColumnMap
            The map; an empty one for None.

        Raises
        ------
        UsageError
            The value is of another type, or its text cannot be used.
        """
        if isinstance(columns, str):
            return cls.parse(columns)
        if columns is not None and not isinstance(columns, cls):
            raise UsageError(
                f"columns={columns!r} is of type {type(columns).__name__}: give a text such as "
                "'x=X,y=Y,unit=um', or a ColumnMap"
            )
        return columns or cls()

    @classmethod
    def parse(cls, text: str) -> ColumnMap:
        """Read ``x=...,y=...,z=...,unit=...,pixel_nm=...,channel=...`` as the command line takes it.

        Parameters
        ----------
        text : str
            Pairs of key and value, separated by commas; each key at most once.

        Returns
        -------
        ColumnMap
            The map that the text describes.

        Raises
        ------
        UsageError
            A key is unknown or repeated, or the combination names no unit or too few coordinates.
        """
        found: dict[str, Any] = {}
        for part in text.split(","):
            key, equals, value = (s.strip() for s in part.partition("="))
            if not equals or not value or key not in cls.__dataclass_fields__ or key in found:
                known = ", ".join(f"{k}=" for k in cls.__dataclass_fields__)
                raise UsageError(f"--columns {text!r}: cannot use {part!r}; known, once each: {known}")
            found[key] = value
        if "pixel_nm" in found:
            try:
                found["pixel_nm"] = float(found["pixel_nm"])
            except ValueError:
                raise UsageError(f"pixel_nm={found['pixel_nm']!r} is not a number of nm") from None
        return cls(**found)


@dataclass(frozen=True)
class FixedRule:
    """Detections at most `radius_nm` and `frames` frames apart are linked, and connected ones are a molecule.

    Parameters
    ----------
    radius_nm : float
        Longest distance of a link in nm, closed.
    frames : int
        Largest difference of frames, closed.
    """

    radius_nm: float
    frames: int


_RADIUS_AND_GAP = re.compile(r"([0-9]*\.?[0-9]+)\s*(nm|um|µm)\s*,\s*([0-9]+)\s*frames?", re.IGNORECASE)


def merge_rule(text: str) -> FixedRule | Literal["auto"]:
    """Read how detections are merged to molecules.

    Parameters
    ----------
    text : str
        "auto", or a radius and a gap in frames, such as "50nm,25frames".

    Returns
    -------
    FixedRule or "auto"
        The rule.

    Raises
    ------
    UsageError
        The text is neither.
    """
    if not isinstance(text, str):
        raise UsageError(f"merge={text!r} is of type {type(text).__name__}: give 'auto', or such as '50nm,25frames'")
    if text.strip().lower() == "auto":
        return "auto"
    found = _RADIUS_AND_GAP.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--merge {text!r}: give auto, or a radius and a gap in frames such as 50nm,25frames")
    radius, frames = float(found[1]) * NM_PER_UNIT[found[2].lower()], int(found[3])
    if not 0 < radius <= LARGEST_FIELD_NM or not 0 < frames < 1 << 40:
        raise UsageError(f"--merge {text!r}: give a positive radius and a gap of at least 1 frame")
    return FixedRule(radius, frames)


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
        that says itself what a cluster is (DBSCAN, HDBSCAN), 3 (Getis & Franklin, ToMATo) or 5 (Voronoi).
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
