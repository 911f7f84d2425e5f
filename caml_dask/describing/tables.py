"""The table of a description, a row for each distance of each region."""

from __future__ import annotations

import pyarrow as pa

from caml_dask.schema import Column

SUMMARY, TABLE = "summary.json", "describe.parquet"
"""Of a directory, and of an image in it."""
_POINTWISE = "of 95 % of random fields at this distance; null without simulations"
_GLOBAL = "end of the band that 95 % of random fields leave nowhere; null without simulations"

DESCRIPTION = (
    Column("region_id", pa.int32(), "number of the region, from 0"),
    Column("region", pa.string(), "region of interest, or how the region was found"),
    Column("r_nm", pa.float64(), "distance"),
    Column("pairs", pa.int64(), "pairs of localizations between the distance of the row before and this one"),
    Column("k_nm2", pa.float64(), "Ripley's K: neighbors within the distance, over the density; random pi r2"),
    Column("l_minus_r_nm", pa.float64(), "Besag's L, the root of K / pi, less the distance; random 0"),
    Column("l_minus_r_low_nm", pa.float64(), f"lowest {_POINTWISE}"),
    Column("l_minus_r_high_nm", pa.float64(), f"highest {_POINTWISE}"),
    Column("l_minus_r_global_low_nm", pa.float64(), f"lower {_GLOBAL}"),
    Column("l_minus_r_global_high_nm", pa.float64(), f"upper {_GLOBAL}"),
    Column(
        "pair_correlation",
        pa.float64(),
        "density of neighbors between the distance of the row before and this one, over the density; random 1",
    ),
    Column("pair_correlation_low", pa.float64(), f"lowest {_POINTWISE}"),
    Column("pair_correlation_high", pa.float64(), f"highest {_POINTWISE}"),
    Column("nearest_neighbor_share", pa.float64(), "share of localizations whose nearest neighbor is within it (G)"),
    Column("nearest_neighbor_share_random", pa.float64(), "the same of complete spatial randomness"),
    Column("nearest_neighbor_share_low", pa.float64(), f"lowest {_POINTWISE}"),
    Column("nearest_neighbor_share_high", pa.float64(), f"highest {_POINTWISE}"),
    Column("nearest_neighbor_share_global_low", pa.float64(), f"lower {_GLOBAL}"),
    Column("nearest_neighbor_share_global_high", pa.float64(), f"upper {_GLOBAL}"),
)
