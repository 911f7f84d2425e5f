"""The tables that flow through an analysis: every column with its type, unit and meaning.

A column's unit is the suffix of its name: ``_nm``, ``_nm2``, ``_nm3``, ``_um2``, ``_um3``, ``_deg``; without a suffix
it is a pure number.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

NON_CLUSTERED = 0
CLUSTERED = 1
FIBER = 2
NO_CLUSTER = -1
NO_REGION = -1
COORDINATES = ("x_nm", "y_nm", "z_nm")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Name of the column, with its unit as suffix.
    type : pyarrow.DataType
        Arrow type of its values.
    meaning : str
        What a value means, in a few words.
    optional : bool
        Whether the table may lack the column.
    """

    name: str
    type: pa.DataType
    meaning: str
    optional: bool = False


POINTS = (
    Column("loc_id", pa.uint64(), "row of the localization in the input file, from 0"),
    Column("x_nm", pa.float64(), "x coordinate"),
    Column("y_nm", pa.float64(), "y coordinate"),
    Column("z_nm", pa.float64(), "z coordinate, only where the input has one", optional=True),
    Column(
        "p_clustered",
        pa.float32(),
        "the network's score for clustered, 0 to 1, from a network of two classes",
        optional=True,
    ),
    Column(
        "p_non",
        pa.float32(),
        "the network's score for non-clustered, 0 to 1, from a network of three classes",
        optional=True,
    ),
    Column("p_round", pa.float32(), "its score for clustered in a round cluster", optional=True),
    Column("p_fiber", pa.float32(), "its score for clustered in a fiber", optional=True),
    Column("label", pa.int8(), "the network's or method's class: 0 non-clustered, 1 clustered, 2 fiber"),
    Column("cluster_id", pa.int64(), "smallest loc_id of the cluster it belongs to; -1 where it belongs to none"),
    Column(
        "window_saturated",
        pa.bool_(),
        "its neighbor window holds no localization of another class; false where there is none",
    ),
    Column(
        "region_id",
        pa.int32(),
        "region of interest it lies in, from 0; -1 outside; only with regions",
        optional=True,
    ),
    Column(
        "molecule_id",
        pa.int64(),
        "smallest loc_id of the detections of its molecule, only where detections are merged",
        optional=True,
    ),
)

MOLECULES = (
    Column("molecule_id", pa.int64(), "smallest loc_id of its detections"),
    *(column for column in POINTS if column.name not in ("loc_id", "molecule_id")),
    Column("detections", pa.int64(), "detections of the molecule"),
    Column("first_frame", pa.int64(), "frame of the first of them"),
    Column("last_frame", pa.int64(), "frame of the last of them"),
    Column("photons", pa.float64(), "photons of all of them, only where the input has photons", optional=True),
    Column(
        "uncertainty_nm",
        pa.float64(),
        "standard error of x and of y, where precisions are in the input or were estimated",
        optional=True,
    ),
    Column("uncertainty_z_nm", pa.float64(), "standard error of z, where axial precisions are in the input", True),
)
"""Columns of the molecules that detections are merged to."""

DRIFT = (
    Column("frame", pa.int64(), "a frame that has localizations"),
    Column("dx_nm", pa.float64(), "drift along x since the first frame, which was taken from x_nm"),
    Column("dy_nm", pa.float64(), "drift along y"),
    Column("dz_nm", pa.float64(), "drift along z, only where the input has one", optional=True),
)
"""Columns of the drift that coordinates were corrected for."""

CARRIED = (
    Column("frame", pa.int64(), "frame of the acquisition, as the file counts them"),
    Column("photons", pa.float64(), "photons of the localization"),
    Column("background_photons", pa.float64(), "background, in photons"),
    Column("uncertainty_nm", pa.float64(), "lateral localization precision, one standard deviation"),
    Column("uncertainty_z_nm", pa.float64(), "axial localization precision, one standard deviation"),
)
"""Columns that stages may ask for beside the coordinates, under these names and in these units whatever the file's."""

_Q_VALUE = Column(
    "q_value",
    pa.float64(),
    "smallest false discovery rate at which it is kept: expected share of clusters of a random field among those as "
    "large and dense; only with the test",
    optional=True,
)

_OF_PRECISION = (
    Column(
        "radius_of_gyration_corrected_nm",
        pa.float64(),
        "radius of gyration of its molecules, the precision of its localizations taken out in squares; 0 where that "
        "explains all; only with precisions",
        optional=True,
    ),
    Column(
        "area_corrected_nm2",
        pa.float64(),
        "area of its molecules: that of the outline, shrunk as the members' ellipse is once the precision is taken out "
        "along both axes; 0 where that explains its width; only with precisions",
        optional=True,
    ),
    Column(
        "centroid_uncertainty_nm",
        pa.float64(),
        "standard error of the centroid along x and y from the precision of its localizations; only with precisions",
        optional=True,
    ),
)

_INTERVAL = (
    Column(
        "area_low_nm2",
        pa.float64(),
        "lower end of the area's 95 % interval over resamples of the members; only with a bootstrap",
        optional=True,
    ),
    Column("area_high_nm2", pa.float64(), "its upper end; only with a bootstrap", optional=True),
)

_REGION = Column(
    "region_id",
    pa.int32(),
    "region of interest that holds its centroid, from 0; -1 outside; only with regions",
    optional=True,
)

CLUSTERS = (
    Column("cluster_id", pa.int64(), "smallest loc_id of its members"),
    Column("image_id", pa.string(), "the image it lies in"),
    Column("label", pa.int8(), "class of its members: 1 clustered, 2 fiber"),
    Column("n_localizations", pa.int64(), "localizations in the cluster"),
    Column("area_nm2", pa.float64(), "area inside the outline, holes excluded"),
    *_INTERVAL,
    Column("perimeter_nm", pa.float64(), "length of the outline, holes included"),
    Column("circularity", pa.float64(), "4 pi area / perimeter^2 (1 for a disc); null where the area is 0"),
    Column("elongation", pa.float64(), "1 - minor / major axis of the members' covariance ellipse (0 round, 1 a line)"),
    Column("orientation_deg", pa.float64(), "direction of the major axis, counter-clockwise from x, 0 to 180"),
    Column("radius_of_gyration_nm", pa.float64(), "root mean squared distance of the members from their centroid"),
    *_OF_PRECISION,
    Column("mean_nn_nm", pa.float64(), "mean distance of the members to their nearest localization"),
    Column("density_per_um2", pa.float64(), "localizations of the cluster per area of its outline; null where 0"),
    Column("centroid_x_nm", pa.float64(), "mean x of the members"),
    Column("centroid_y_nm", pa.float64(), "mean y of the members"),
    Column(
        "nearest_cluster_nm", pa.float64(), "distance from its centroid to the nearest other cluster's; null if alone"
    ),
    Column("b_nm", pa.float64(), "radius that drew its outline: discs of 2b on the members, united, then eroded by b"),
    Column("touches_border", pa.bool_(), "the outline comes within 2b of the image's bounding box"),
    _Q_VALUE,
    _REGION,
)

CLUSTERS_3D = (
    *CLUSTERS[:4],
    Column(
        "volume_nm3", pa.float64(), "volume of balls of 2b on the members, united, then eroded by b; voids excluded"
    ),
    Column("projected_area_nm2", pa.float64(), "area inside the outline of the members seen along z, holes excluded"),
    Column("extent_x_nm", pa.float64(), "width along x of the box that bounds the members"),
    Column("extent_y_nm", pa.float64(), "its width along y"),
    Column("extent_z_nm", pa.float64(), "its width along z"),
    Column("elongation", pa.float64(), "1 - smallest / largest axis of the members' covariance ellipsoid (0 round)"),
    Column("radius_of_gyration_nm", pa.float64(), "root mean squared distance of the members from their centroid"),
    Column("mean_nn_nm", pa.float64(), "mean distance of the members to their nearest localization"),
    Column("density_per_um3", pa.float64(), "localizations of the cluster per volume; null where that is 0"),
    Column("centroid_x_nm", pa.float64(), "mean x of the members"),
    Column("centroid_y_nm", pa.float64(), "mean y of the members"),
    Column("centroid_z_nm", pa.float64(), "mean z of the members"),
    *CLUSTERS[-5:-3],
    Column("touches_border", pa.bool_(), "the outline comes within 2b of the image's bounding box in x and y"),
    _Q_VALUE,
    _REGION,
)
"""Columns of clusters of 3D localizations."""


def cluster_columns(dimensions: int) -> tuple[Column, ...]:
    """Columns of the table of clusters.

    Parameters
    ----------
    dimensions : int
        Coordinates of a localization, 2 or 3.

    Returns
    -------
    tuple of Column
        `CLUSTERS_3D` for 3 coordinates, otherwise `CLUSTERS`.
    """
    return CLUSTERS_3D if dimensions == 3 else CLUSTERS


def descriptors(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Names of the measures among the columns of clusters, of which a summary gives medians.

    Parameters
    ----------
    columns : tuple of Column
        Columns of clusters, in 2D or 3D.

    Returns
    -------
    tuple of str
        Names of the floating-point columns, centroids and optional ones left out.
    """
    measures = (c.name for c in columns if pa.types.is_floating(c.type) and not c.optional)
    return tuple(name for name in measures if not name.startswith("centroid"))


def arrow_schema(columns: tuple[Column, ...], *, leave_out: tuple[str, ...] = ()) -> pa.Schema:
    """The Arrow schema of columns; the metadata of each field carries its meaning.

    Parameters
    ----------
    columns : tuple of Column
        Columns in the order of the schema.
    leave_out : tuple of str
        Names of columns that the schema lacks.

    Returns
    -------
    pyarrow.Schema
        One field a column.
    """
    return pa.schema(
        [pa.field(c.name, c.type, metadata={"meaning": c.meaning}) for c in columns if c.name not in leave_out]
    )
