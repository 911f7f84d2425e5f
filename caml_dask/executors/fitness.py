"""Whether a worker can do units of a run at all: what it finds wrong with its machine is no fault of an image."""

from __future__ import annotations

import tempfile
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from caml_dask import __version__
from caml_dask.atomic import FULL, sync
from caml_dask.executors.units import in_words, network_of
from caml_dask.io.run_directory import HIDDEN, SHARED_PART, Run
from caml_dask.io.shared_part import open_shared_part
from caml_dask.seen import names_in

_SEEN_S = 60.0  # within which a worker sees the file that the driver wrote
_TRIED_BYTES = 1 << 20


class UnfitError(Exception):
    """This machine cannot do units of a run; the message follows the name of the worker."""


@dataclass(frozen=True)
class Unfit:
    """A worker that cannot do units of a run.

    worker : its address
    machine : name of the machine, or its address
    reason : what is wrong there, and what to do; follows "the worker on `machine`"
    """

    worker: str
    machine: str
    reason: str

    def __str__(self) -> str:
        return f"the worker on {self.machine} {self.reason}"


def which_run(run: Run) -> tuple[str, str]:
    """What tells a run from an earlier one in its place, or from the same before its network was moved."""
    return run.digest, run.manifest["settings_digest"]


def open_run(root: str, which: tuple[str, str]) -> Run:
    """The run that the driver began, without images; it is read once, and looked for each time.

    Parameters
    ----------
    root : the run directory.
    which : of :func:`which_run`.

    Raises
    ------
    UnfitError
    """
    run = _read(root, which)
    try:
        (run.root / HIDDEN / SHARED_PART).stat()
    except OSError as error:
        _read.cache_clear()
        raise UnfitError(f"does not see {root} any more ({error.strerror}): mount it there again") from error
    return run


@lru_cache(maxsize=4)
def _read(root: str, which: tuple[str, str]) -> Run:
    """This machine may still remember a run that was there before."""
    until = time.monotonic() + _SEEN_S
    try:
        if SHARED_PART not in names_in(Path(root) / HIDDEN):
            raise UnfitError(f"does not see {root}: mount it there, or name a directory that all machines see")
        while which_run(run := open_shared_part(Path(root))) != which:
            if time.monotonic() > until:
                raise UnfitError(f"sees another run in {root}: name a directory that all machines see")
            time.sleep(0.5)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnfitError(
            f"cannot read the run in {root} with its caml_dask {__version__}: {in_words(error)}"
        ) from error
    if run.manifest["version"] != __version__:
        raise UnfitError(
            f"has caml_dask {__version__}, and the run is one of {run.manifest['version']}: install the same on all "
            "machines"
        )
    return run


def refuse_unfit(run: Run) -> None:
    """Look for what would let every unit of a run fail on this machine, after one did.

    Raises
    ------
    UnfitError : the run, a disk or the network is not as it should be here.
    """
    open_run(str(run.root), which_run(run))
    try:
        network_of(run)
    except Exception as error:  # of many kinds: memory may be short, and packages half installed
        raise UnfitError(f"cannot use the network: {in_words(error)}") from error
    _refuse_unwritable(run.root / HIDDEN)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(_TRIED_BYTES))
            file.flush()
    except OSError as error:
        raise UnfitError(f"has no use of its temporary files ({error}): mend its disk, or set TMPDIR") from error


def _refuse_unwritable(folder: Path) -> None:
    """A disk that is full is so for all workers, and is no reason."""
    path = folder / f".{uuid.uuid4().hex}.working"
    try:
        path.touch()
        try:
            sync(path)
        finally:
            path.unlink()
    except OSError as error:
        if error.errno not in FULL:
            raise UnfitError(f"cannot write to {folder} ({error.strerror}): mend its mount") from error
