"""Methods that find clusters in place of a network: each with its parameters, frozen, with units in their names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

from caml_dask.errors import UsageError


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
    dimensions : None
        It takes 2 and 3.
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
    dimensions: ClassVar[None] = None
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
            `name`, then each parameter; :func:`method_as_kept` takes it back.
        """
        return {"name": self.name, **asdict(self)}

    def in_words(self) -> str:
        """Title and parameters for captions.

        Returns
        -------
        str
            Such as "DBSCAN (eps_nm=30, min_samples=5)".
        """
        return f"{self.title} ({', '.join(f'{name}={value:g}' for name, value in asdict(self).items())})"

    def sentence(self) -> str:
        """What it does with its parameters, for a methods paragraph.

        Returns
        -------
        str
            A sentence with a full stop.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class DBSCAN(Method):
    """Density-based clusters (Ester et al., KDD 1996): cores within `eps_nm` of each other, and what they reach.

    A core has `min_samples` localizations within `eps_nm`, itself among them; distances compare as squares, closed, so
    that cores and noise are those of scikit-learn. Cores within `eps_nm` of each other are in one cluster. A
    localization that is no core belongs to the cluster of its nearest core within `eps_nm`; of cores equally far, to
    that of the one with the smallest x, then y, then z. scikit-learn takes the first cluster in the order of rows.

    Parameters
    ----------
    eps_nm : float
        Radius in nm, closed, within which localizations are counted and linked.
    min_samples : int
        Localizations within `eps_nm` that make one a core, itself among them.

    Raises
    ------
    UsageError
        A value has the wrong type or is out of its range.
    """

    name: ClassVar[str] = "dbscan"
    title: ClassVar[str] = "DBSCAN"
    reference: ClassVar[str] = (
        "Ester, M., Kriegel, H.-P., Sander, J. & Xu, X. A density-based algorithm for discovering clusters in large "
        "spatial databases with noise. Proc. KDD-96, 226-231 (1996)"
    )

    eps_nm: float = field(metadata={"such_as": 30})
    min_samples: int = field(default=5, metadata={"such_as": 5})

    def __post_init__(self) -> None:
        if isinstance(self.eps_nm, bool) or not isinstance(self.eps_nm, Real) or not 0 < self.eps_nm < math.inf:
            raise UsageError(f"eps_nm={self.eps_nm!r}: give a radius above 0 in nm, such as 30")
        if isinstance(self.min_samples, bool) or not isinstance(self.min_samples, Integral) or self.min_samples < 1:
            raise UsageError(f"min_samples={self.min_samples!r}: give a whole number from 1 on, such as 5")
        # one digest, however the numbers are spelled
        object.__setattr__(self, "eps_nm", float(self.eps_nm))
        object.__setattr__(self, "min_samples", int(self.min_samples))

    def sentence(self) -> str:
        """What it does with its parameters; see :meth:`Method.sentence`."""
        return (
            f"Clusters were found by DBSCAN (Ester et al., 1996) with a radius of {self.eps_nm:g} nm and min_samples "
            f"{self.min_samples}: a localization with at least {self.min_samples} within the radius, itself counted, "
            "is a core; cores within the radius of each other are in one cluster, and so is any other localization "
            "within the radius of a core, with the nearest one."
        )


METHODS: Mapping[str, type[Method]] = {DBSCAN.name: DBSCAN}
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
    for key, one in fields.items():
        if key not in given and one.default is dataclasses.MISSING:
            raise UsageError(
                f"--method {name} needs {option_of(key)}: add it, such as {option_of(key)} {one.metadata['such_as']}"
            )
    return METHODS[name](**given)


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
