"""The report of a cohort: images read back, compared by condition, and shown on one HTML page with tables beside it."""

from __future__ import annotations

from caml_dask.report.write import write_report

__all__ = ["write_report"]
