"""The stages of an analysis, as a table: those of networks of windows, of the field network, and of methods."""

from __future__ import annotations

from dataclasses import replace

from caml_dask.methods import DBSCAN, HDBSCAN, DominantSets, GetisFranklin, ToMATo, Voronoi
from caml_dask.networks.field.trained import is_field_network
from caml_dask.settings import Settings
from caml_dask.stages import (
    classify,
    cut,
    gather,
    link,
    measure,
    members,
    number,
    occupied,
    plan,
    points,
    publish,
    randomness,
    read,
    scatter,
    stitch,
)
from caml_dask.stages.drift import correct
from caml_dask.stages.drift.tables import DRIFT_FOUND, DRIFT_OF_FRAMES
from caml_dask.stages.field import enter, link_votes, neighborhoods, number_votes, regions, rounds, vote
from caml_dask.stages.field.tables import TOLD
from caml_dask.stages.merging import collect, estimate, prepare, results
from caml_dask.stages.merging import link as merging_link
from caml_dask.stages.merging.tables import LAW
from caml_dask.stages.methods import cells, cores, dense_cells, fit, link_cells, link_cores, settle, sites
from caml_dask.stages.methods.tables import SETTLED
from caml_dask.stages.stage import Stage, reading
from caml_dask.stages.tables import CSR_TEST, VERDICTS

_MEASURES = (occupied.STAGE, measure.STAGE)
_RESULTS = (members.STAGE, points.STAGE, publish.STAGE)
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
    *_MEASURES,
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
    *_MEASURES,
    *_RESULTS[:-1],
    reading(publish.STAGE, (TOLD,)),
)


def _of_method(*finding: Stage) -> tuple[Stage, ...]:
    """The stages of a method, of those by which it finds clusters."""
    return (
        read.STAGE,
        settle.STAGE,
        plan.STAGE,
        scatter.STAGE,
        gather.STAGE,
        *finding,
        replace(number_votes.STAGE, name="number_linked"),
        *_MEASURES,
        *_RESULTS[:-1],
        reading(publish.STAGE, (SETTLED,)),
    )


DENSITY_STAGES = _of_method(cores.STAGE, link_cores.STAGE)
VORONOI_STAGES = _of_method(sites.STAGE, cells.STAGE, dense_cells.STAGE, link_cells.STAGE)
WHOLE_STAGES = _of_method(fit.FIT, fit.LINK_FITTED)
METHOD_STAGES = {
    DBSCAN.name: DENSITY_STAGES,
    GetisFranklin.name: DENSITY_STAGES,
    Voronoi.name: VORONOI_STAGES,
    HDBSCAN.name: WHOLE_STAGES,
    ToMATo.name: WHOLE_STAGES,
    DominantSets.name: WHOLE_STAGES,
}
"""The stages of each method, by its name."""
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
MERGED_RESULTS = (members.STAGE, results.MOLECULES_STAGE, results.DETECTIONS_STAGE, publish.MERGING_STAGE)
DRIFT_STAGES = (read.DRIFT_STAGE, *correct.STAGES)
"""Stages that correct drift: their rows are the input of the stages behind `read`."""
STAGE_NAMED = {
    stage.name: stage
    for stage in (
        *(*correct.STAGES, *AUTO_MERGING, *MERGED_RESULTS, randomness.STAGE, *WINDOW_STAGES, *FIELD_STAGES),
        *(stage for stages in METHOD_STAGES.values() for stage in stages),
    )
}


def stages_of(settings: Settings) -> tuple[Stage, ...]:
    """The stages of an analysis by some settings."""
    return stages_by(settings.finder, settings.merge, settings.drift, settings.test)


def stages_by(finder: str, merge: str | None, drift: str | None, tested: bool) -> tuple[Stage, ...]:
    """The stages of an analysis by a network or method, a rule of merging and a way to correct drift, with its test or
    without."""
    stages = METHOD_STAGES.get(finder) or (FIELD_STAGES if is_field_network(finder) else WINDOW_STAGES)
    finding, results, last = stages[1 : -len(_RESULTS)], stages[-len(_RESULTS) : -1], stages[-1]
    first: tuple[Stage, ...] = (stages[0],)
    if merge is not None:
        results, last = MERGED_RESULTS[:-1], MERGED_RESULTS[-1]
        if stages is FIELD_STAGES:
            last = reading(last, (TOLD,))
        elif finder in METHOD_STAGES:
            last = reading(last, (SETTLED,))
        if merge == "auto":
            first, last = AUTO_MERGING, reading(last, (LAW,))
        else:
            first = FIXED_MERGING
    if drift is not None:
        corrected = DRIFT_STAGES if merge is None else (read.DRIFT_MERGING_STAGE, *correct.MERGING_STAGES)
        first = (*corrected, *first[1:])
        last = reading(last, (DRIFT_FOUND, DRIFT_OF_FRAMES))
    if tested:
        test = randomness.stage_after(
            stages[: -len(_MEASURES) - len(_RESULTS)], (SETTLED,) if finder in METHOD_STAGES else ()
        )
        results, last = (test, members.JUDGED_STAGE, *results[1:]), reading(last, (VERDICTS, CSR_TEST))
    return (*first, *finding, *results, last)


def carried_by(settings: Settings) -> tuple[str, ...]:
    """Columns of the input that flow through the tiles beside the coordinates, where it has them."""
    return tuple(dict.fromkeys(name for stage in stages_of(settings) for name in stage.carries))


def stage_of(settings: Settings, name: str) -> Stage:
    """The stage of a name in such an analysis."""
    return next(stage for stage in stages_of(settings) if stage.name == name)
