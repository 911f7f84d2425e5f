"""Molecules of detections: which there are, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caml_dask.blinking.law import Law
from caml_dask.blinking.links import Detections, links
from caml_dask.blinking.refine import agglomerate
from caml_dask.settings import FixedRule


def components(n: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Connected components of links.

    Parameters
    ----------
    n : int
        Number of detections.
    one, other : (l,) int64
        Rows at the ends of each link.

    Returns
    -------
    (n,) int64
        Component of each row.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def canonical(group: np.ndarray, seen: Detections, loc_id: np.ndarray) -> np.ndarray:
    """The order in which detections are looked at, whatever order they come in: by group, frame, coordinates.

    Parameters
    ----------
    group : (n,)
        Group of each.
    seen : Detections
        The detections.
    loc_id : (n,) uint64
        Their ids, which decide between detections that are alike.

    Returns
    -------
    (n,) int64
        Rows in that order.
    """
    return np.lexsort((loc_id, *seen.spread_nm.T[::-1], *seen.points_nm.T[::-1], seen.frame, group))


def refine(seen: Detections, group: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Molecules inside the groups that links make.

    Parameters
    ----------
    seen : Detections
        Detections of whole groups, in the order of :func:`canonical`.
    group : (n,)
        Group of each.
    law : Law
        What was estimated.

    Returns
    -------
    molecule : (n,) int64
        The first row of each one's molecule.
    odds : (n,) float64
        Log odds of the joinings, one fewer than a molecule's detections; infinity for the others.
    """
    rows = np.arange(len(group))
    molecule, odds = np.empty(len(group), np.int64), np.empty(len(group))
    starts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    inside = [starts]
    for one, other in links(seen, rows, law):
        mine = (group[one] == group[other]) & (one < other)
        inside.append((one[mine], other[mine]))
    one, other = (np.concatenate(end) for end in zip(*inside, strict=True))
    order = np.lexsort((other, one))
    agglomerate(
        seen.points_nm.copy(),
        seen.frame,
        seen.spread_nm**2,
        seen.log_begin.copy(),
        law.log_return(),
        one[order],
        other[order],
        molecule,
        odds,
    )
    return molecule, odds


@dataclass(frozen=True)
class Molecules:
    """What is known of molecules.

    Attributes
    ----------
    points_nm : (m, d) float64
        Positions in nm, means of the detections weighted by the inverse variance where precisions are known.
    detections : (m,) int64
        Detections.
    first_frame, last_frame : (m,) int64
        Frames of the first and the last of them.
    photons : (m,) float64 or None
        Sum over the detections; NaN where one has none.
    uncertainty_nm, uncertainty_z_nm : (m,) float64 or None
        Standard errors of the position; None where nothing is known of the detections'.
    """

    points_nm: np.ndarray
    detections: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    photons: np.ndarray | None
    uncertainty_nm: np.ndarray | None
    uncertainty_z_nm: np.ndarray | None


def combine(
    molecule: np.ndarray,
    points_nm: np.ndarray,
    frame: np.ndarray,
    *,
    photons: np.ndarray | None = None,
    uncertainty_nm: np.ndarray | None = None,
    uncertainty_z_nm: np.ndarray | None = None,
) -> Molecules:
    """Put the detections of each molecule together; sums run in the order that detections come in.

    Parameters
    ----------
    molecule : (n,) int64
        Molecule of each detection, 0 to m - 1, each with one at least.
    points_nm : (n, d) float64
        Detections in nm.
    frame : (n,) int64
        Their frames.
    photons : (n,) float64, optional
        Their photons.
    uncertainty_nm, uncertainty_z_nm : (n,) float64, optional
        Their precisions, all positive; equal weights where they are not known. Without an axial one, the lateral one
        weighs z.

    Returns
    -------
    Molecules
        A row a molecule.
    """
    count = np.bincount(molecule)
    first = np.full(len(count), np.iinfo(np.int64).max)
    last = np.full(len(count), np.iinfo(np.int64).min)
    np.minimum.at(first, molecule, frame)
    np.maximum.at(last, molecule, frame)
    lateral = np.ones(len(molecule)) if uncertainty_nm is None else uncertainty_nm**-2.0
    axial = lateral if uncertainty_z_nm is None else uncertainty_z_nm**-2.0
    places = np.empty((len(count), points_nm.shape[1]))
    alone = count == 1
    for axis, values in enumerate(points_nm.T):
        weights = axial if axis == 2 else lateral
        total = np.bincount(molecule, weights=weights)
        start = np.empty(len(count))
        start[molecule[::-1]] = values[::-1]  # offsets from the first detection lose no digits to far origins
        offset = np.bincount(molecule, weights=weights * (values - start[molecule])) / total
        places[:, axis] = np.where(alone, start, start + offset)
    return Molecules(
        places,
        count,
        first,
        last,
        None if photons is None else np.bincount(molecule, weights=photons),
        None if uncertainty_nm is None else np.bincount(molecule, weights=lateral) ** -0.5,
        None if uncertainty_z_nm is None else np.bincount(molecule, weights=axial) ** -0.5,
    )


def fixed_groups(seen: Detections, rule: FixedRule | Law) -> np.ndarray:
    """Components of the links among detections.

    Parameters
    ----------
    seen : Detections
        The detections.
    rule : FixedRule or Law
        The rule.

    Returns
    -------
    (n,) int64
        Component of each.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64)), *links(seen, np.arange(len(seen.frame)), rule)]
    return components(len(seen.frame), *(np.concatenate(end) for end in zip(*found, strict=True)))
