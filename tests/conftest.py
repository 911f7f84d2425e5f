from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings
from support import result_tables, simulated_table

from caml_dask.executors.kernels import compile_kernels
from caml_dask.locks import held
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

# The laws are tried on 300 examples here; `HYPOTHESIS_PROFILE=thorough pytest tests/test_laws.py` draws 1,000.
_QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
settings.register_profile("ci", max_examples=120, **_QUIET)
settings.register_profile("thorough", max_examples=1000, **{**_QUIET, "derandomize": False})
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish():
    """What the tests imported stays, so no collection goes through it again: statsmodels asks for a dozen a report."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """Where tests run in several processes, one compiles the kernels that most need, and the others wait for it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        with held(tmp_path_factory.getbasetemp().parent / "compiling", wait_s=600):
            for network in ("field-2d", "XPILJZ", "GAXJPR"):
                compile_kernels(network)


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A simulated field of some thousand localizations, as a ThunderSTORM CSV."""
    return simulated_table(tmp_path_factory.mktemp("input") / "field.csv", side_nm=4000.0)


@pytest.fixture(scope="session")
def serial(table, tmp_path_factory):
    """Its tables by a run in one process on one tile."""
    out = tmp_path_factory.mktemp("serial") / "out"
    execute([table], out, Settings(test=False), workers=0)
    return result_tables(out)
