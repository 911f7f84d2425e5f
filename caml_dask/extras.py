"""Packages that only some commands need: which extra installs them, and what to say where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from caml_dask.errors import UsageError

EXTRAS = {
    "train": ("keras", "tensorflow"),
    "report": ("jinja2", "scikit_posthocs", "statsmodels"),
    "plot": ("matplotlib",),
    "view": ("starlette", "uvicorn"),
    "export": ("openpyxl", "tifffile"),
    "geopackage": ("pyogrio",),
    "geopandas": ("geopandas",),
    "hpc": ("dask_jobqueue",),
    "dashboard": ("bokeh",),
}
"""What each extra of pyproject.toml installs, by the names under which it is imported."""


def require(extra: str, what: str) -> None:
    """Refuse `what` where a package of an extra is not installed; nothing is imported.

    Raises
    ------
    UsageError : names the missing packages and how to install them.
    """
    missing = [package for package in EXTRAS[extra] if not _installed(package)]
    if missing:
        raise UsageError(
            f'{what} needs the extra "{extra}" ({", ".join(missing)} not installed): pip install "caml_dask[{extra}]"'
        )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: it is being imported, and has no spec
        return False
