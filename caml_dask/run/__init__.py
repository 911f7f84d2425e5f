"""Running an analysis: the session behind `caml-dask run`, the Dask executor and its deployments."""
