"""`python -m caml_dask` is the command `caml-dask`."""

from __future__ import annotations

from caml_dask.cli import main

main(prog_name="caml-dask")
