"""What is tried again, how often, and after which waits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from caml_dask.errors import TransferError

_TRIES = 6
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 16.0
_Result = TypeVar("_Result")


class PassingError(Exception):
    """A failure that may pass: a connection that broke, a server that is busy; its text says what happened."""


class Patience:
    """Waits between tries, each up to twice as long as the last; progress renews them.

    what : is tried, as a message names it
    """

    def __init__(self, what: str):
        self._what, self._failed = what, 0

    def progressed(self) -> None:
        """Something came: tries are counted anew."""
        self._failed = 0

    def wait(self, error: PassingError) -> None:
        """Wait before the next try.

        Raises
        ------
        TransferError : that was the last try.
        """
        self._failed += 1
        if self._failed >= _TRIES:
            raise TransferError(
                f"{self._what} failed {_TRIES} times, at last because {error}: call again with --resume when the "
                "store answers; what is done is kept"
            ) from error
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**self._failed)
        time.sleep(longest * random.uniform(0.5, 1.0))  # so that many clients do not come back at once


def persist(what: str, attempt: Callable[[], _Result]) -> _Result:
    """What `attempt` returns, tried again where it fails for a reason that may pass.

    Raises
    ------
    TransferError : it failed each time.
    """
    patience = Patience(what)
    while True:
        try:
            return attempt()
        except PassingError as error:
            patience.wait(error)
