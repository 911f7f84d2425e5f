"""Units of length, and how large fields and coordinates can be."""

from __future__ import annotations

NM_PER_UNIT = {"nm": 1.0, "um": 1e3, "µm": 1e3, "mm": 1e6, "m": 1e9}
# A field of view is a fraction of a um to a few mm wide; a stage moves by some cm.
SMALLEST_FIELD_NM, LARGEST_FIELD_NM, FARTHEST_NM = 500.0, 3e6, 1e8
# What can be computed with: squares of distances in float64 and distances in float32, far from their ends.
SMALLEST_SPAN_NM, FARTHEST_COMPUTED_NM = 1e-9, 1e15
