"""The arrays of the field network: how many numbers stand for what, and the shape of each."""

from __future__ import annotations

from itertools import pairwise

from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS, NODE_INPUTS, ROUNDS, WIDTH
from caml_dask.networks.field.ranks import EDGE_RANKS
from caml_dask.networks.field.region import QUANTILE_INPUTS, REGION_INPUTS

TRAITS = (
    "blinking",
    "log_precision",
    "log_detections",
    "share",
    "log_radius",
    "log_members",
    "radius_spread",
    "members_spread",
)
"""What is told of a region from its histograms. Logits: that molecules re-blink, and of the share in clusters. Logs:
where molecules re-blink, their mean precision in the region's unit and the detections of one; over localizations in
clusters, mean and standard deviation for the cluster's root mean square radius in that unit, and for its size."""
SURE = 0.98
"""Probability that molecules re-blink, above which users are warned: few fields that do not are told to."""
TRAIT_WIDTHS = 256, 128, 32
"""Of the layers before; the last is what the network goes on with."""
SHARED = 16
"""Numbers that a localization gives to its region after each round."""
SHARED_STEPS = 255
"""They are counted in whole steps, so that their sum does not depend on an order."""
CONTEXT = 32
"""Numbers that stand for a region."""
NODE_HEADS = 4
"""Of a localization: clustered, weight of its own place, log radius, log scale of the offset's error."""
EDGE_HEADS = 2
"""Of an edge: weight of the neighbor's place in the offset, same cluster."""


BENDS = 2
"""Numbers that bend the logit of "clustered" at last, so that probabilities mean what they say."""
FIBER_WIDTH = 32
"""Of the layer before what tells fibers from round clusters."""
DECISIONS = 2
"""Probability from which a localization counts as clustered; share of the radius that it expects of its cluster within
which its vote is linked to others."""


def weight_shapes(fibers: bool = False) -> dict[str, tuple[int, ...]]:
    """The shape of each weight array by name.

    Parameters
    ----------
    fibers : bool
        Of a network that tells fibers from round clusters.

    Returns
    -------
    dict of str to tuple of int
        Shapes.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}_kernel"], shapes[f"{name}_bias"] = (inputs, outputs), (outputs,)

    for i, (before, width) in enumerate(pairwise((REGION_INPUTS, *TRAIT_WIDTHS, len(TRAITS))), 1):
        dense(f"traits{i}", before, width)
    dense("region1", QUANTILE_INPUTS + TRAIT_WIDTHS[-1], 2 * CONTEXT)
    dense("region2", 2 * CONTEXT, CONTEXT)
    dense("enter1", NODE_INPUTS + CONTEXT, WIDTH)
    dense("enter2", WIDTH, WIDTH)
    for r in range(ROUNDS + 1):
        dense(f"own{r}", WIDTH + CONTEXT, WIDTH)
        shapes[f"other{r}_kernel"] = WIDTH, WIDTH
        shapes[f"edge{r}_bias"] = len(EDGE_RANKS), WIDTH
        shapes[f"edge{r}_kernel"] = EDGE_INPUTS + 3 * CHANNELS, WIDTH
        shapes[f"edge{r}_head"] = WIDTH, CHANNELS if r < ROUNDS else EDGE_HEADS
        if r < ROUNDS:
            dense(f"update{r}a", 3 * WIDTH + CONTEXT, WIDTH)
            dense(f"update{r}b", WIDTH, WIDTH)
            shapes[f"keep{r}"] = 1, CHANNELS, 1
            dense(f"early{r}", WIDTH, 1)
            dense(f"share{r}", WIDTH, SHARED)
            dense(f"shared{r}", SHARED, CONTEXT)
    dense("last", 3 * WIDTH, WIDTH)
    dense("heads", WIDTH, NODE_HEADS)
    if fibers:
        dense("fiber1", 3 * WIDTH + CONTEXT, FIBER_WIDTH)
        dense("fiber2", FIBER_WIDTH, 1)
    shapes["bend"], shapes["decision"] = (BENDS,), (DECISIONS,)
    return shapes
