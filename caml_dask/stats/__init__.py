"""Statistics of measured clusters, and of images that are compared; none of them knows where its values come from."""

from __future__ import annotations

from caml_dask.stats.medians import MedianIqr, median_iqr

__all__ = ["MedianIqr", "median_iqr"]
