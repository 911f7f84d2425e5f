"""The serial executor: one unit after another in this process; the specification of the others."""

from __future__ import annotations

from caml_dask.executors.interface import Observer
from caml_dask.executors.pending import barriers
from caml_dask.executors.units import in_words, run_unit
from caml_dask.io.run_directory import Run


class SerialExecutor:
    """One unit after another, image by image."""

    def execute(self, run: Run, observer: Observer, resumed: bool = False) -> None:
        """Run every pending unit in this process."""
        for index, image in enumerate(run.images):
            try:
                for due in barriers(run, index, resumed):
                    observer.stage_started(image, due.stage.name, due.total, len(due.keys))
                    for key in due.keys:
                        record = run_unit(run, key)
                        due.enter(record)
                        observer.unit_done(image, record)
            except Exception as error:
                observer.image_failed(image, in_words(error))
            else:
                observer.image_done(image)
