"""The stages of an analysis, as a table: those of a network of windows, and those of the field network."""

from __future__ import annotations

from caml_dask.networks.field.trained import is_field_network
from caml_dask.stages import (
    classify,
    cut,
    gather,
    link,
    measure,
    number,
    occupied,
    plan,
    points,
    publish,
    read,
    scatter,
    stitch,
)
from caml_dask.stages.drift import correct
from caml_dask.stages.drift.tables import DRIFT_FOUND, DRIFT_OF_FRAMES
from caml_dask.stages.field import enter, link_votes, neighborhoods, number_votes, regions, rounds, vote
from caml_dask.stages.merging import collect, estimate, prepare, results
from caml_dask.stages.merging import link as merging_link
from caml_dask.stages.merging.tables import LAW
from caml_dask.stages.stage import Stage, reading

_RESULTS = (measure.STAGE, points.STAGE, publish.STAGE)
WINDOW_STAGES = (
    read.STAGE,
    plan.STAGE,
    scatter.STAGE,
    gather.STAGE,
    classify.STAGE,
    link.STAGE,
    stitch.STAGE,
    cut.STAGE,
    number.STAGE,
    occupied.STAGE,
    *_RESULTS,
)
FIELD_STAGES = (
    read.STAGE,
    plan.STAGE,
    regions.STAGE,
    scatter.STAGE,
    gather.STAGE,
    neighborhoods.STAGE,
    enter.STAGE,
    *rounds.STAGES,
    vote.STAGE,
    link_votes.STAGE,
    number_votes.STAGE,
    occupied.STAGE,
    *_RESULTS,
)
FIRST, LAST = read.STAGE, publish.STAGE
FIXED_MERGING = (
    read.MERGING_STAGE,
    prepare.PLAN,
    prepare.SCATTER,
    prepare.GATHER,
    merging_link.LINK,
    merging_link.STITCH,
    collect.COLLECT,
    collect.JOIN,
    collect.COUNT,
)
"""Stages that merge detections by a radius and a gap; the molecules are the input of the stages behind `read`."""
AUTO_MERGING = (
    *FIXED_MERGING[:4],
    estimate.COUNT,
    estimate.FIND,
    estimate.LOOK,
    reading(merging_link.LINK, merging_link.ESTIMATED),
    merging_link.STITCH,
    reading(collect.COLLECT, merging_link.ESTIMATED),
    *FIXED_MERGING[7:],
)
"""The same by what is estimated of the image."""
MERGED_RESULTS = (measure.STAGE, results.MOLECULES_STAGE, results.DETECTIONS_STAGE, publish.MERGING_STAGE)
DRIFT_STAGES = (read.DRIFT_STAGE, *correct.STAGES)
"""Stages that correct drift: their rows are the input of the stages behind `read`."""
STAGE_NAMED = {
    stage.name: stage for stage in (*correct.STAGES, *AUTO_MERGING, *MERGED_RESULTS, *WINDOW_STAGES, *FIELD_STAGES)
}


def stages_of(network: str, merge: str | None = None, drift: str | None = None) -> tuple[Stage, ...]:
    """The stages of an analysis by a network, a rule of merging and a method for drift, which settings name."""
    stages = FIELD_STAGES if is_field_network(network) else WINDOW_STAGES
    if merge is not None:
        fixed = merge != "auto"
        last = MERGED_RESULTS[-1] if fixed else reading(MERGED_RESULTS[-1], (LAW,))
        before = FIXED_MERGING if fixed else AUTO_MERGING
        stages = (*before, *stages[1 : -len(_RESULTS)], *MERGED_RESULTS[:-1], last)
    if drift is None:
        return stages
    first = DRIFT_STAGES if merge is None else (read.DRIFT_MERGING_STAGE, *correct.MERGING_STAGES)
    return (*first, *stages[1:-1], reading(stages[-1], (DRIFT_FOUND, DRIFT_OF_FRAMES)))


def carried_by(network: str, merge: str | None = None, drift: str | None = None) -> tuple[str, ...]:
    """Columns of the input that flow through the tiles beside the coordinates, where it has them."""
    return tuple(dict.fromkeys(name for stage in stages_of(network, merge, drift) for name in stage.carries))


def stage_of(network: str, merge: str | None, drift: str | None, name: str) -> Stage:
    """The stage of a name in such an analysis."""
    return next(stage for stage in stages_of(network, merge, drift) if stage.name == name)
