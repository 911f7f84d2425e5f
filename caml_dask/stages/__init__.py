"""The stages of an analysis: each takes a :class:`~caml_dask.stages.work.Work` and a unit's number, never a table."""
