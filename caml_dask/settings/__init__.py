"""Settings of an analysis: frozen values with a digest, so that two runs can be told apart."""

from caml_dask.settings.columns import ColumnMap
from caml_dask.settings.merging import FixedRule, merge_rule
from caml_dask.settings.networks import (
    DEFAULT_NETWORK,
    FIBER_NETWORK,
    FIELD_NETWORKS,
    NETWORK_ALIASES,
    network_named,
)
from caml_dask.settings.settings import (
    DRIFT_METHODS,
    LARGE_INPUT,
    LARGE_TILE_LOCALIZATIONS,
    STEPS,
    TILE_LOCALIZATIONS,
    Settings,
)
from caml_dask.settings.units import (
    FARTHEST_COMPUTED_NM,
    FARTHEST_NM,
    LARGEST_FIELD_NM,
    NM_PER_UNIT,
    SMALLEST_FIELD_NM,
    SMALLEST_SPAN_NM,
)

__all__ = [
    "DEFAULT_NETWORK",
    "DRIFT_METHODS",
    "FARTHEST_COMPUTED_NM",
    "FARTHEST_NM",
    "FIBER_NETWORK",
    "FIELD_NETWORKS",
    "LARGEST_FIELD_NM",
    "LARGE_INPUT",
    "LARGE_TILE_LOCALIZATIONS",
    "NETWORK_ALIASES",
    "NM_PER_UNIT",
    "SMALLEST_FIELD_NM",
    "SMALLEST_SPAN_NM",
    "STEPS",
    "TILE_LOCALIZATIONS",
    "ColumnMap",
    "FixedRule",
    "Settings",
    "merge_rule",
    "network_named",
]
