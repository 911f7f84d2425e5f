"""The stages of an analysis, as a table."""

from __future__ import annotations

from caml_dask.stages import classify, cut, gather, link, measure, number, plan, points, publish, read, scatter, stitch

STAGES = (
    read.STAGE,
    plan.STAGE,
    scatter.STAGE,
    gather.STAGE,
    classify.STAGE,
    link.STAGE,
    stitch.STAGE,
    cut.STAGE,
    number.STAGE,
    measure.STAGE,
    points.STAGE,
    publish.STAGE,
)
FIRST, LAST = STAGES[0], STAGES[-1]
CARRIED = tuple(dict.fromkeys(name for stage in STAGES for name in stage.carries))
"""Columns of the input that flow through the tiles beside the coordinates, where it has them."""
STAGE_NAMED = {stage.name: stage for stage in STAGES}
