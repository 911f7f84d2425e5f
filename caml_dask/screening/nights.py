"""The nights of a screening: the runs under nights/, and whether their results are what was written."""

from __future__ import annotations

import time
from pathlib import Path

from caml_dask.errors import OutputError
from caml_dask.executors.pending import altered_results
from caml_dask.io.run_directory import Image, Run
from caml_dask.screening.ledger import Entry

NIGHTS = "nights"


class Nights:
    """The runs of a screening by the names of their nights; each is opened once."""

    def __init__(self, root: Path):
        self._root = root
        self._runs: dict[str, Run] = {}

    def folder(self, name: str) -> Path:
        """Where a night's run stands."""
        return self._root / NIGHTS / name

    def begin(self) -> str:
        """The name of a new night: the time, in UTC; it waits where that second has one already."""
        while self.folder(name := time.strftime("%Y%m%dT%H%M%S", time.gmtime())).exists():
            time.sleep(0.1)
        return name

    def run(self, name: str) -> Run:
        """A night's run.

        Raises
        ------
        OutputError : it is not there, or its manifest is damaged.
        """
        if name not in self._runs:
            self._runs[name] = Run.open(self.folder(name))
        return self._runs[name]

    def altered(self, entry: Entry, thoroughly: bool) -> list[str]:
        """What of an image's results is missing or altered, each in words.

        thoroughly : read the files; without it, those written before the night's summary, of the size they had, are
            taken to be what was written
        """
        try:
            run = self.run(entry.night)
            since_ns = None if thoroughly else (run.root / "summary.json").stat().st_mtime_ns
            found = altered_results(run.store(Image(entry.image_id)), since_ns)
        except (OutputError, OSError) as error:
            return [str(error)]
        return [f"{name} of night {entry.night}" for name in found]
