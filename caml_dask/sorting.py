"""Sorts and searches for kernels, in as little code as they need: numpy's own take a compiler seconds each."""

from __future__ import annotations

import numpy as np

from caml_dask.compiled import njit

_FEW = 15  # so many are sorted by insertion


@njit()
def first_from(keys, value):  # type: ignore[no-untyped-def]
    """The first place of ascending keys that holds `value` or more; their number where none does."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit()
def smallest(values, n, k):  # type: ignore[no-untyped-def]
    """What stands at place k once the first n values are sorted; they are moved about."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit()
def _insert(values, order, low, high):  # type: ignore[no-untyped-def]
    """Sort a stretch of the order, `high` included; equal values stay as they stand."""
    for i in range(low + 1, high + 1):
        k, j = order[i], i
        value = values[k]
        while j > low and value < values[order[j - 1]]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = k


@njit()
def _part(values, order, low, high):  # type: ignore[no-untyped-def]
    """Part a stretch of the order at the median of three, `high` included; returns the median's place."""
    middle = (low + high) >> 1
    if values[order[middle]] < values[order[low]]:
        order[low], order[middle] = order[middle], order[low]
    if values[order[high]] < values[order[middle]]:
        order[high], order[middle] = order[middle], order[high]
    if values[order[middle]] < values[order[low]]:
        order[low], order[middle] = order[middle], order[low]
    pivot = values[order[middle]]
    order[high], order[middle] = order[middle], order[high]
    i, j = low, high - 1
    while True:
        while i < high and values[order[i]] < pivot:
            i += 1
        while j >= low and pivot < values[order[j]]:
            j -= 1
        if i >= j:
            break
        order[i], order[j] = order[j], order[i]
        i += 1
        j -= 1
    order[i], order[high] = order[high], order[i]
    return i


@njit()
def quick_order(values, n):  # type: ignore[no-untyped-def]
    """Order of the first n values, none NaN.

    How equal ones come out decides which of two circles that cut a third one in the same place is followed: the steps
    are those of numba's `np.argsort`, by which outlines of lattices were made from the first.
    """
    order = np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    waiting = np.empty((64, 2), np.int64)
    waiting[0, 0], waiting[0, 1] = 0, n - 1
    top = 1
    while top > 0:
        top -= 1
        low, high = waiting[top, 0], waiting[top, 1]
        while high - low >= _FEW:
            i = _part(values, order, low, high)
            if high - i > i - low:  # the smaller part first, so that few wait
                waiting[top, 0], waiting[top, 1] = i + 1, high
                high = i - 1
            else:
                waiting[top, 0], waiting[top, 1] = low, i - 1
                low = i + 1
            top += 1
        _insert(values, order, low, high)
    return order


@njit()
def stable_order(values, n):  # type: ignore[no-untyped-def]
    """Order of the first n values, none NaN; equal ones in the order in which they stand."""
    order, merged = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    width = _FEW + 1
    for low in range(0, n, width):
        _insert(values, order, low, min(low + width, n) - 1)
    while width < n:
        for low in range(0, n, 2 * width):
            middle, stop = min(low + width, n), min(low + 2 * width, n)
            i, j = low, middle
            for k in range(low, stop):
                if i < middle and (j >= stop or not values[order[j]] < values[order[i]]):
                    merged[k] = order[i]
                    i += 1
                else:
                    merged[k] = order[j]
                    j += 1
        order, merged = merged, order
        width *= 2
    return order
