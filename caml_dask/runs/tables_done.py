"""What becomes of tables that a command takes one after another, each by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of the tables.

    Attributes
    ----------
    summaries : dict
        What the summary says of each that was done, by image_id.
    failed : dict
        Why the others could not be, by image_id.
    """

    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some tables failed, 4 all failed."""
        return 0 if not self.failed else 3 if self.summaries else 4
