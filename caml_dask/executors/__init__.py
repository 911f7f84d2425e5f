"""Who runs the units of a run: this process, threads, Dask workers, tasks of a job array."""
