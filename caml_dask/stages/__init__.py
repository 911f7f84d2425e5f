"""The stages of an analysis: each takes a :class:`~caml_dask.stages.work.Work` and the number of a unit, never a table."""
