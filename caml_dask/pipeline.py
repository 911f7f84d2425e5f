"""The stages of an analysis, as a table: those of a network of windows, and those of the field network."""

from __future__ import annotations

from caml_dask.networks.field.trained import is_field_network
from caml_dask.stages import classify, cut, gather, link, measure, number, plan, points, publish, read, scatter, stitch
from caml_dask.stages.field import enter, link_votes, neighborhoods, number_votes, regions, rounds, vote
from caml_dask.stages.stage import Stage

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
    *_RESULTS,
)
FIRST, LAST = read.STAGE, publish.STAGE
STAGE_NAMED = {stage.name: stage for stage in (*WINDOW_STAGES, *FIELD_STAGES)}


def stages_of(network: str) -> tuple[Stage, ...]:
    """The stages of an analysis by a network, which settings name, in their order."""
    return FIELD_STAGES if is_field_network(network) else WINDOW_STAGES


def carried_by(network: str) -> tuple[str, ...]:
    """Columns of the input that flow through the tiles beside the coordinates, where it has them."""
    return tuple(dict.fromkeys(name for stage in stages_of(network) for name in stage.carries))
