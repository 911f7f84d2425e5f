"""Molecules inside a component of links: what is likeliest of one molecule is joined first, until nothing is likely."""

from __future__ import annotations

import heapq

import numpy as np

from caml_dask.compiled import njit

DOUBTFUL = float(np.log(9.0))
"""Log odds below which a joining is called doubtful: a chance below 90 %."""


@njit()
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit()
def _gaps(frame, first, following, a, b, log_return):  # type: ignore[no-untyped-def]
    """Sum of the logarithms of the returns of two groups of detections taken as one, in the order of their frames."""
    i, j = first[a], first[b]
    total, before = 0.0, -1
    last = len(log_return) - 1
    while i >= 0 or j >= 0:
        if j < 0 or (i >= 0 and i < j):
            at, i = i, following[i]
        else:
            at, j = j, following[j]
        if before >= 0:
            total += log_return[min(frame[at] - frame[before], last)]
        before = at
    return total


@njit()
def _odds(points, variance, begin, score, a, b, together):  # type: ignore[no-untyped-def]
    apart2, volume2 = 0.0, 1.0
    for axis in range(points.shape[1]):
        both = variance[a, axis] + variance[b, axis]
        apart2 += (points[a, axis] - points[b, axis]) ** 2 / both
        volume2 *= 2.0 * np.pi * both
    space = -0.5 * apart2 - 0.5 * np.log(volume2)
    return together - score[a] - score[b] + space - 0.5 * (begin[a] + begin[b])


@njit()
def agglomerate(points, frame, variance, begin, log_return, one, other, molecule, odds):  # type: ignore[no-untyped-def]
    """Join detections to molecules, the likeliest pair of groups first (compiled).

    The odds of a pair of groups compare one molecule with two: its center is the inverse-variance mean, its returns are
    the gaps between successive detections. Whatever order detections come in must not matter: the caller sorts them.

    Parameters
    ----------
    points : (n, d) float64
        Detections in nm, by frame; overwritten.
    frame : (n,) int64
        Frames, ascending inside each component.
    variance : (n, d) float64
        Squared spreads; overwritten.
    begin : (n,) float64
        As in :class:`caml_dask.blinking.links.Detections`; overwritten.
    log_return : (t,) float64
        Logarithm of the chance of a return by lag.
    one, other : (l,) int64
        Links, each once.
    molecule : (n,) int64
        Output: the first row of each detection's molecule.
    odds : (n,) float64
        Output: of each row that was joined to an earlier group, the log odds; otherwise infinity.
    """
    n = len(frame)
    count = np.ones(n, np.int64)
    score = np.zeros(n)
    version = np.zeros(n, np.int64)
    first = np.arange(n)
    following = np.full(n, -1, np.int64)
    head = np.full(n, -1, np.int64)
    tail = np.full(n, -1, np.int64)
    after = np.full(2 * len(one), -1, np.int64)
    ends = np.empty(2 * len(one), np.int64)
    for e in range(len(one)):
        for half in range(2):
            at, to = (one[e], other[e]) if half == 0 else (other[e], one[e])
            slot = 2 * e + half
            ends[slot] = to
            if head[at] < 0:
                head[at] = slot
            else:
                after[tail[at]] = slot
            tail[at] = slot
    for i in range(n):
        molecule[i] = i
        odds[i] = np.inf
    seen = np.full(n, -1, np.int64)
    waiting = [(0.0, np.int64(0), np.int64(0), np.int64(0), np.int64(0), 0.0) for _ in range(0)]
    for e in range(len(one)):
        a, b = min(one[e], other[e]), max(one[e], other[e])
        together = _gaps(frame, first, following, a, b, log_return)
        found = _odds(points, variance, begin, score, a, b, together)
        if found > 0.0:
            waiting.append((-found, a, b, np.int64(0), np.int64(0), together))
    heapq.heapify(waiting)
    while len(waiting) > 0:
        found, a, b, version_a, version_b, together = heapq.heappop(waiting)
        if molecule[a] != a or molecule[b] != b or version[a] != version_a or version[b] != version_b:
            continue
        odds[b] = -found
        molecule[b] = a
        for axis in range(points.shape[1]):
            total = 1.0 / variance[a, axis] + 1.0 / variance[b, axis]
            weighted = points[a, axis] / variance[a, axis] + points[b, axis] / variance[b, axis]
            points[a, axis] = weighted / total
            variance[a, axis] = 1.0 / total
        begin[a] = (begin[a] * count[a] + begin[b] * count[b]) / (count[a] + count[b])
        count[a] += count[b]
        score[a] = together
        version[a] += 1
        i, j = first[a], first[b]
        before = np.int64(-1)
        while i >= 0 or j >= 0:
            if j < 0 or (i >= 0 and i < j):
                at, i = i, following[i]
            else:
                at, j = j, following[j]
            if before < 0:
                first[a] = at
            else:
                following[before] = at
            before = at
        following[before] = -1
        if head[a] < 0:
            head[a], tail[a] = head[b], tail[b]
        elif head[b] >= 0:
            after[tail[a]] = head[b]
            tail[a] = tail[b]
        slot, kept = head[a], np.int64(-1)
        head[a] = -1
        seen[a] = a
        while slot >= 0:
            c = _root(molecule, ends[slot])
            if c != a and seen[c] != a:
                seen[c] = a
                ends[slot] = c
                if kept < 0:
                    head[a] = slot
                else:
                    after[kept] = slot
                kept = slot
                x, y = min(a, c), max(a, c)
                union = _gaps(frame, first, following, x, y, log_return)
                likely = _odds(points, variance, begin, score, x, y, union)
                if likely > 0.0:
                    heapq.heappush(waiting, (-likely, x, y, version[x], version[y], union))
            slot = after[slot]
        tail[a] = kept
        if kept >= 0:
            after[kept] = -1
        slot = head[a]
        while slot >= 0:
            seen[ends[slot]] = -1
            slot = after[slot]
        seen[a] = -1
    for i in range(n):
        molecule[i] = _root(molecule, i)
