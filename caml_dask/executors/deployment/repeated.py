"""Warnings of what goes wrong again and again: once for a reason, and then at times."""

from __future__ import annotations

import logging
import re
import time

AGAIN_S = 600.0
"""After which a reason that still holds is told of again."""

_log = logging.getLogger("caml_dask")


class Repeated:
    """A warning that is given once for a reason, and every ten minutes while that comes up, with how often it did.

    Reasons that differ in nothing but numbers, such as those of jobs, are the same.

    Parameters
    ----------
    what : what goes wrong, and what is done about it.
    """

    def __init__(self, what: str):
        self._what = what
        self._said: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def warn(self, reason: str) -> None:
        """It went wrong once more."""
        key = re.sub(r"\d+", "0", reason)
        now, since = time.monotonic(), self._since.get(key, 0) + 1
        self._since[key] = since
        if key in self._said and now - self._said[key] < AGAIN_S:
            return
        times = f" ({since} times since this was said)" if key in self._said else ""
        _log.warning("%s: %s%s", self._what, reason, times)
        self._said[key], self._since[key] = now, 0
