"""Which neighbors of a localization the field network looks at, the nearest being the first."""

from __future__ import annotations

import numpy as np

NEIGHBORS = 100
RANKS = np.array([1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 100])
"""Neighbors whose distance a localization starts from."""
EDGE_RANKS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 24, 32, 43, 58, 77, 100])
"""Neighbors with which it exchanges messages: near ones, and far ones that give reach without cost."""
NEAR_EDGES = 8
"""Edges of the near group; messages are averaged apart in the near and in the far group."""
REGION_RANKS = np.array([1, 3, 5, 10, 20, 50, 100])
REGION_STEPS = np.array([[2, 10], [5, 30], [10, 50], [30, 100]])
"""Pairs of ranks: how distances grow from the one to the other tells clusters from re-blinks and from chance."""
USED_RANKS = np.unique(np.concatenate([RANKS, EDGE_RANKS, REGION_RANKS, REGION_STEPS.ravel()]))
"""Neighbors of which the distance is kept."""
SCALE_AT = int(np.searchsorted(USED_RANKS, 8))
"""Place in USED_RANKS of the distance that is usual around a localization."""
