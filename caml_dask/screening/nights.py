"""The nights of a screening: the runs under nights/, and whether their results are still as written."""

from __future__ import annotations

import time
from pathlib import Path

from caml_dask.errors import OutputError
from caml_dask.executors.pending import altered_results
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import Run
from caml_dask.screening.ledger import Entry

NIGHTS = "nights"


class Nights:
    """The runs of a screening by the names of their nights; each is opened once."""

    def __init__(self, root: Path):
        self._root = root
        self._runs: dict[str, Run] = {}

    def folder(self, name: str) -> Path:
        """The directory of a night's run."""
        return self._root / NIGHTS / name

    def begin(self) -> str:
        """The name of a new night: the time in UTC; it waits if this second already has a night."""
        while self.folder(name := time.strftime("%Y%m%dT%H%M%S", time.gmtime())).exists():
            time.sleep(0.1)
        return name

    def run(self, name: str) -> Run:
        """A night's run.

        Raises
        ------
        OutputError : the night is missing, or its manifest is damaged.
        """
        if name not in self._runs:
            self._runs[name] = Run.open(self.folder(name))
        return self._runs[name]

    def altered(self, entry: Entry, thoroughly: bool) -> list[str]:
        """What is missing or altered among an image's results, each in words.

        thoroughly : read all files; without it, a file of unchanged size that is older than the night's summary
            counts as unchanged
        """
        try:
            run = self.run(entry.night)
            since_ns = None if thoroughly else (run.root / "summary.json").stat().st_mtime_ns
            found = altered_results(run.store(Image(entry.image_id)), since_ns)
        except (OutputError, OSError) as error:
            return [str(error)]
        return [f"{name} of night {entry.night}" for name in found]
