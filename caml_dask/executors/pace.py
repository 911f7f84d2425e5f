"""How many units a task of Dask's has: small ones several, so that its scheduler does not set the pace."""

from __future__ import annotations

_BATCH_S = 2.0  # that a batch is to take: a scheduler needs milliseconds for it, and no worker works alone for long
_MOST_UNITS = 64
_EASED = 0.2  # weight of the newest unit where it took less than was expected
_FIXED_BYTES = 2e4  # of input that take as long as what a unit costs at any size: its files and its record


class Pace:
    """What units take, as learned from those that ended.

    A unit counts by its size, bytes of input that fall to it. What takes longer than expected is believed at once,
    and what takes less by and by, so that large units among small ones do not end up in one batch. Units of unknown
    size are expected to take what such units take: they tell nothing of the others.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, bool], float] = {}  # a byte, or of unknown sizes a unit

    def learn(self, stage: str, size: float | None, seconds: float) -> None:
        """A unit of a stage ended; size : None if it is unknown."""
        now, kind = seconds / _weight(size), (stage, size is None)
        before = self._seconds.get(kind, now)
        self._seconds[kind] = max(now, before + _EASED * (now - before))

    def share(self, stage: str, size: float | None) -> float:
        """Which part of a batch a unit makes up, 1 if nothing is known of its stage; size : None if it is unknown."""
        rate = self._seconds.get((stage, size is None))
        return 1.0 if rate is None else max(1.0 / _MOST_UNITS, rate * _weight(size) / _BATCH_S)


def _weight(size: float | None) -> float:
    return 1.0 if size is None else _FIXED_BYTES + size
