"""What every method has, and the checks of its parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from caml_dask.errors import UsageError

AUTO = "auto"
"""Value of a parameter that is found in the data."""


@dataclass(frozen=True)
class Method:
    """A method with its parameters: what settings hold, and what stages ask in place of a network.

    A method has no scores, was trained on nothing, and sees no window of neighbors.

    Attributes
    ----------
    name : str
        Name on the command line.
    title : str
        Name in sentences.
    reference : str
        The publication.
    n_neighbors : int
        Neighbors whose distances measures need: the nearest.
    least_localizations : int
        Localizations that an image needs.
    most_localizations : int or None
        Localizations of an image that one worker can take, where the method needs all of them at once; None of a
        method that is exact under any tiling, which has no bound.
    least_members : int
        Localizations that a cluster has at least, where settings do not say.
    dimensions : int or None
        2, or None where it takes 2 and 3.
    classes, score_columns, trained_on, csr_percent
        As of :class:`caml_dask.stages.shared.work.Network`.
    identity : mapping
        Empty: a manifest knows a method by the settings.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    n_neighbors: ClassVar[int] = 1
    least_localizations: ClassVar[int] = 2
    most_localizations: ClassVar[int | None] = None
    least_members: ClassVar[int] = 1
    dimensions: ClassVar[int | None] = None
    classes: ClassVar[tuple[str, ...]] = ("non-clustered", "clustered")
    score_columns: ClassVar[tuple[str, ...]] = ()
    trained_on: ClassVar[Mapping[str, tuple[float, float]]] = {}
    csr_percent: ClassVar[tuple[float, ...]] = ()
    identity: ClassVar[Mapping[str, str]] = {}

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters as plain values.

        Returns
        -------
        dict
            `name`, then each parameter; :func:`caml_dask.methods.method_as_kept` takes it back.
        """
        return {"name": self.name, **asdict(self)}

    def in_words(self) -> str:
        """Title and parameters for captions.

        Returns
        -------
        str
            Such as "DBSCAN (eps_nm=30, min_samples=5)".
        """
        return f"{self.title} ({', '.join(f'{name}={as_text(value)}' for name, value in asdict(self).items())})"

    def sentence(self) -> str:
        """What it does with its parameters, for a methods paragraph.

        Returns
        -------
        str
            A sentence with a full stop.
        """
        raise NotImplementedError


def parameter(help: str, default: Any = dataclasses.MISSING, such_as: Any = None) -> Any:
    """A field of a method.

    Parameters
    ----------
    help : str
        What it is, for the help of the command.
    default : optional
        Its value where none is given; without one, it must be given.
    such_as : optional
        An example of a value; without one, the default.

    Returns
    -------
    dataclasses.Field
        The field.
    """
    metadata = {"help": help, "such_as": default if such_as is None else such_as}
    return dataclasses.field(default=default, metadata=metadata)


def as_text(value: Any) -> str:
    """A value of a parameter as captions have it.

    Parameters
    ----------
    value : float, int, bool or str
        The value.

    Returns
    -------
    str
        A number in few digits, "yes" or "no".
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, Real) else str(value)


def settle_number(method: Method, name: str, meaning: str, least: float | None = None) -> None:
    """Check that a parameter is a finite number above 0, or from a least value on, and keep it as a float.

    Parameters
    ----------
    method : Method
        The method, whose field is set.
    name : str
        The parameter.
    meaning : str
        What to give, such as "a radius above 0 in nm".
    least : float, optional
        Least value; without one, it is above 0.

    Raises
    ------
    UsageError
        Another type or value.
    """
    value = getattr(method, name)
    given = not isinstance(value, bool) and isinstance(value, Real)
    if not given or not value < math.inf or not (value > 0 if least is None else value >= least):
        raise UsageError(f"{name}={value!r}: give {meaning}, such as {_example(method, name)}")
    object.__setattr__(method, name, float(value))


def settle_whole(method: Method, name: str, least: int) -> None:
    """Check that a parameter is a whole number from a least value on, and keep it as an int.

    Parameters
    ----------
    method : Method
        The method, whose field is set.
    name : str
        The parameter.
    least : int
        Least value.

    Raises
    ------
    UsageError
        Another type or value.
    """
    value = getattr(method, name)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name}={value!r}: give a whole number from {least} on, such as {_example(method, name)}")
    object.__setattr__(method, name, int(value))


def _example(method: Method, name: str) -> str:
    return as_text(next(one for one in dataclasses.fields(method) if one.name == name).metadata["such_as"])
