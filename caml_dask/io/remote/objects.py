"""What all places that hold objects have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = 10 << 20
"""Read and written at a time: as much as a part that Arrow uploads, so that each block becomes one."""


@dataclass(frozen=True)
class About:
    """What a store says of an object.

    size : in bytes
    tag : its ETag, or when it was last changed; empty where the store tells neither
    """

    size: int
    tag: str


class RemoteObject(Protocol):
    """An object, opened to be read."""

    about: About

    def blocks(self, start: int) -> Iterator[bytes]:
        """Its bytes from `start` on.

        Raises
        ------
        PassingError : reading on may help.
        UsageError : it does not.
        """
        ...

    def close(self) -> None:
        """Read no more of it."""
        ...
