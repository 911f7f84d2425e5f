"""Samples of which nothing is known beforehand: a prior over fields, wide and mixed, from which networks learn."""

from __future__ import annotations

from caml_dask.simulate.unknown.fields import KINDS, Sample, draw_field

__all__ = ["KINDS", "Sample", "draw_field"]
