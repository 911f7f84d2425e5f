"""Errors: each says what came, what was wanted and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Text for a terminal or a log: control characters, which names of files may hold, as escapes such as \\x1b."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class CamlError(Exception):
    """Any failure that caml_dask foresees; the command prints it without a traceback."""


class UsageError(CamlError, ValueError):
    """A setting or an argument that cannot be used; the command exits with 2."""


class OutputError(UsageError):
    """An output directory that is in use, or that holds another run."""


class UnknownImageError(CamlError, KeyError):
    """A run read back holds no image of this name or place, or several."""

    __str__ = Exception.__str__  # a KeyError shows its message as a literal


class DiskFullError(CamlError):
    """A file that does not fit on its disk any more; what was published before stands, and a run can be resumed."""


class InputError(CamlError, ValueError):
    """An input that cannot be analysed; the image fails and the others go on.

    Parameters
    ----------
    message : what came, what was wanted, what to do.
    path : the file, where there is one.
    row : its first offending row (0-based, header not counted), where there is one.
    """

    def __init__(self, message: str, path: Path | str | None = None, row: int | None = None):
        self.message = message
        self.path = None if path is None else Path(path)
        self.row = row
        where = "" if path is None else f"{path}: "
        at = "" if row is None else f" (row {row})"
        super().__init__(f"{where}{message}{at}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, Path | None, int | None]]:
        return type(self), (self.message, self.path, self.row)


class UnreadableError(InputError):
    """A file that the system does not hand out, or that changes while it is read: another time it may do."""


class ContradictedError(CamlError):
    """Rows further down a file do not hold what its first ones say of it: open it anew, and settled."""


class TooFewLocalizations(InputError):
    """A field with fewer localizations than the network's window needs."""


class WeightsError(CamlError):
    """Weights that are not the ones the model card pins; nothing of them was used."""


class ConservationError(CamlError):
    """A stage lost, repeated or invented localizations (DESIGN law 1): a defect, never an input's fault."""


class StoreError(CamlError):
    """A result file that is missing, truncated or altered, or that another process keeps from being written."""


class TransferError(CamlError):
    """An object elsewhere that could not be read or written, tried again and again; what was done is kept."""


class WorkersError(CamlError):
    """No worker, or no scheduler, is left to run units on: the run stops, and can be resumed."""
