"""The methods by their names, and how a command or a manifest names one with its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from caml_dask.errors import UsageError
from caml_dask.methods.dbscan import DBSCAN
from caml_dask.methods.dominant_sets import DominantSets
from caml_dask.methods.getis_franklin import GetisFranklin
from caml_dask.methods.hdbscan import HDBSCAN
from caml_dask.methods.method import Method, as_text
from caml_dask.methods.tomato import ToMATo
from caml_dask.methods.voronoi import Voronoi

METHODS: Mapping[str, type[Method]] = {
    kind.name: kind for kind in (DBSCAN, GetisFranklin, Voronoi, HDBSCAN, ToMATo, DominantSets)
}
"""Methods by their names on the command line."""
PARAMETERS = tuple(dict.fromkeys(field.name for kind in METHODS.values() for field in dataclasses.fields(kind)))
"""Names of the parameters of all methods."""


def method_of(name: str, parameters: Mapping[str, Any]) -> Method:
    """The method of a name with its parameters, as options of the command give them.

    Parameters
    ----------
    name : str
        One of METHODS.
    parameters : mapping
        Values by the names of parameters; None is one that was not given.

    Returns
    -------
    Method
        The method.

    Raises
    ------
    UsageError
        An unknown method, a parameter that is missing or of another method, or a value that cannot be used.
    """
    if name not in METHODS:
        raise UsageError(f"--method {name}: use one of {', '.join(METHODS)}")
    given = {key: value for key, value in parameters.items() if value is not None}
    fields = {one.name: one for one in dataclasses.fields(METHODS[name])}
    for key in given:
        if key not in fields:
            raise UsageError(
                f"{option_of(key)} is no parameter of {name}, which takes {', '.join(map(option_of, fields))}"
            )
    if missing := [key for key in required(name) if key not in given]:
        such_as = " ".join(f"{option_of(key)} {as_text(fields[key].metadata['such_as'])}" for key in missing)
        raise UsageError(
            f"--method {name} needs {' and '.join(map(option_of, missing))}: "
            f"add {'it' if len(missing) == 1 else 'them'}, such as {such_as}"
        )
    return METHODS[name](**given)


def required(name: str) -> tuple[str, ...]:
    """The parameters of a method that have no default.

    Parameters
    ----------
    name : str
        One of METHODS.

    Returns
    -------
    tuple of str
        Their names.
    """
    return tuple(one.name for one in dataclasses.fields(METHODS[name]) if one.default is dataclasses.MISSING)


def method_as_kept(kept: Mapping[str, Any]) -> Method:
    """The method that a manifest or summary holds; errors as of :func:`method_of`.

    Parameters
    ----------
    kept : mapping
        As :meth:`Method.as_dict` gives it.

    Returns
    -------
    Method
        The method with its parameters.
    """
    return method_of(str(kept.get("name")), {name: value for name, value in kept.items() if name != "name"})


def option_of(parameter: str) -> str:
    """The option of the command that gives a parameter.

    Parameters
    ----------
    parameter : str
        Its name.

    Returns
    -------
    str
        Such as "--eps-nm" for "eps_nm".
    """
    return f"--{parameter.replace('_', '-')}"
