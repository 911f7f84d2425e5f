"""How many units a task of Dask's has: small ones several, so that its scheduler does not set the pace."""

from __future__ import annotations

_BATCH_S = 2.0  # that a batch is to take: a scheduler needs milliseconds for it, and no worker works alone for long
_MOST_UNITS = 64
_EASED = 0.2  # weight of the newest unit where it took less than was expected


class Pace:
    """What units take, as learned from those that ended.

    A unit counts by its size, bytes of input that fall to it. What takes longer than expected is believed at once,
    and what takes less by and by, so that large units among small ones do not end up in one batch.
    """

    def __init__(self) -> None:
        self._seconds_a_byte: dict[str, float] = {}

    def learn(self, stage: str, size: float, seconds: float) -> None:
        """A unit of a stage ended."""
        now = seconds / size
        before = self._seconds_a_byte.get(stage, now)
        self._seconds_a_byte[stage] = max(now, before + _EASED * (now - before))

    def share(self, stage: str, size: float) -> float:
        """Which part of a batch a unit makes up: 1 where nothing is known of its stage."""
        rate = self._seconds_a_byte.get(stage)
        return 1.0 if rate is None else max(1.0 / _MOST_UNITS, rate * size / _BATCH_S)
