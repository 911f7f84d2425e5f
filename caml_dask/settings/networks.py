"""Names of the networks that ship: they are here so that the help lists them without loading one."""

from __future__ import annotations

import os

from caml_dask.errors import UsageError

NETWORK_ALIASES = {
    "XPILJZ": "dense-100",
    "07VEJJ": "lstm-100",
    "87B144": "lstm-1000",
    "GAXJPR": "dense-1000-3d",
    "3TXKFS": "conv-1000-3class",
}
"""Published code of each network that ships with the package, and its alias: architecture, window, what is special."""
FIBER_NETWORK = "field-2d-fibers"
FIELD_NETWORKS = ("field-2d", "field-3d", FIBER_NETWORK)
"""Networks that see whole fields, and need no window; the last one tells fibers from round clusters."""
DEFAULT_NETWORK = FIELD_NETWORKS[0]


def network_named(network: str | os.PathLike[str]) -> str:
    """The one spelling of a network: its published code, or the absolute path of a folder or card of one's own.

    Parameters
    ----------
    network : str or Path
        A code or alias in any case, or a path. A text is a path where it has a separator or names an existing file.
        Any other text is returned unchanged, and rejected when the network is loaded.

    Returns
    -------
    str
        The published code, the absolute path, or the unknown text.

    Raises
    ------
    UsageError
        The value is neither a text nor a path.
    """
    if not isinstance(network, str | os.PathLike):
        raise UsageError(
            f"network={network!r} is of type {type(network).__name__}: give a name such as 'XPILJZ', or the folder "
            "of a network of your own"
        )
    if isinstance(network, str):
        for code, alias in [*NETWORK_ALIASES.items(), *zip(FIELD_NETWORKS, FIELD_NETWORKS, strict=True)]:
            if network.casefold() in (code.casefold(), alias.casefold()):
                return code
    path = os.fspath(network)
    is_path = not isinstance(network, str) or os.sep in path or os.path.exists(path)  # noqa: PTH110 - a str stays one
    return os.path.abspath(path) if is_path else path  # noqa: PTH100 - a link in it may be replaced: it stays
