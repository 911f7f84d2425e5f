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
                for stage, keys, total in barriers(run, index, resumed):
                    observer.stage_started(image, stage.name, total, len(keys))
                    for key in keys:
                        observer.unit_done(image, run_unit(run, key))
            except Exception as error:
                observer.image_failed(image, in_words(error))
            else:
                observer.image_done(image)
