"""Stage `enter`: what localizations and their edges start from, in the unit of length of their region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from caml_dask.networks.field.graph import CHANNELS, edges_of, inputs
from caml_dask.networks.field.ranks import EDGE_RANKS, USED_RANKS
from caml_dask.stages.field.neighborhoods import precision_of
from caml_dask.stages.field.surroundings import View
from caml_dask.stages.field.tables import (
    CONTEXTS,
    EDGES,
    HALO,
    NEIGHBORHOODS,
    REGION_BOXES,
    REGION_CUTS,
    SCALES,
    STATES,
    SURVEY,
    TOLD,
)
from caml_dask.stages.field.told import told_of_tile
from caml_dask.stages.shared.matrices import lists, matrix
from caml_dask.stages.shared.precision import PRECISION
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import OWNED_ROWS, Stage
from caml_dask.stages.tables import BOXES, CUTS, FACTS, TILE


def enter(work: Work, unit: int) -> dict[str, Any]:
    """Make the inputs of a tile's localizations and edges, and take the first step of the network."""
    view = View(work, unit)
    context, traits = view.first_context()
    at = np.searchsorted(context.regions, view.region)
    found = work.get(NEIGHBORHOODS, unit)
    neighbors, present = edges_of(matrix(found, "neighbors", len(EDGE_RANKS)), view.k)
    precision = precision_of(view.tile)
    nodes, edges = inputs(
        matrix(found, "distances_nm", len(USED_RANKS)),
        np.array(view.around(SCALES, ["scale_nm"])["scale_nm"]),
        np.zeros(len(found)) if precision is None else precision,
        neighbors,
        present,
        context.unit_nm[at],
    )
    work.put(EDGES, unit, pa.table({"inputs": lists(edges)}))
    work.put(TOLD, unit, told_of_tile(traits, context.unit_nm, np.bincount(at, minlength=len(traits))))
    vectors = np.zeros((len(found), CHANNELS, work.dimensions()), np.float32)
    view.put_state(0, view.layers.enter(nodes, context.values[at], traits[at]), vectors)
    return {"rows": len(found)}


STAGE = Stage(
    name="enter",
    title="entering the network",
    per="tile",
    run=enter,
    effort=20,
    conserves=OWNED_ROWS,
    reads=(FACTS, BOXES, CUTS, REGION_BOXES, REGION_CUTS, TILE, NEIGHBORHOODS, HALO, SCALES, SURVEY),
    writes=(EDGES, TOLD, CONTEXTS[0], STATES[0]),
    carries=(PRECISION,),
)
