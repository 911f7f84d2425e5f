"""One unit of a run: done once, recorded as done, by whichever process an executor gives it to.

Executors trade in keys: (image, stage, unit). What a unit needs it reads from the store.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from typing import Any

import pyarrow as pa

from caml_dask.errors import CamlError, UnreadableError, WeightsError
from caml_dask.executors.in_memory import read_or_analyse
from caml_dask.io.manifest import Image, content_of, differences
from caml_dask.io.run_directory import Run
from caml_dask.io.store import DirectoryStore
from caml_dask.methods import Method
from caml_dask.networks.trained import AnyNetwork, load_for
from caml_dask.pipeline import FIRST, LAST, carried_by, stage_of
from caml_dask.stages.shared.work import Work
from caml_dask.stages.stage import Stage

Key = tuple[int, str, int]
"""Index of the image in the run, name of the stage, number of the unit."""


def work_of(run: Run, image: Image, store: DirectoryStore) -> Work:
    """The world of an image's stages in a run directory.

    Raises
    ------
    UsageError, WeightsError : as of :func:`network_of`.
    """
    return Work(image, run.settings, network_of(run), store, carried_by(run.settings))


def network_of(run: Run) -> AnyNetwork | Method:
    """The network, or method, of a run.

    Raises
    ------
    UsageError, WeightsError : this machine does not see the network, or by now another one stands in its place.
    """
    network = load_for(run.settings)
    if network.identity != run.manifest["network"]:
        found = differences({"network": run.manifest["network"]}, {"network": network.identity})
        raise WeightsError(
            f"{run.settings.finder} on {socket.gethostname()} is not the network that the run began with; it differs "
            f"in {'; '.join(found)}: put that one back and continue with --resume, or start over with --overwrite"
        )
    return network


def run_unit(run: Run, key: Key) -> dict[str, Any]:
    """Do one unit and record it as done; of one that is done already, return the record.

    Executors may give a unit to a second process where they lost sight of the first: that one is waited for.

    Raises
    ------
    CamlError : what the unit found wrong.
    """
    index, name, unit = key
    stage = stage_of(run.settings, name)
    store = run.store(run.images[index])
    with store.claimed(name, unit):
        if (before := standing(store, stage, unit)) is not None:
            return before  # its worker was lost between the record and its report
        start = time.perf_counter()
        work = work_of(run, run.images[index], store)
        record = read_or_analyse(work) if stage.name == FIRST.name else stage.do(work, unit)
        if stage.name == FIRST.name:
            _check_input(run, run.images[index])
        record["seconds"] = time.perf_counter() - start
        record["worker"] = f"{socket.gethostname()}:{os.getpid()}"
        if not record.get("fused"):  # a small image leaves little, and the next one asks for it again
            pa.default_memory_pool().release_unused()
        return store.finish(LAST.name if record.get("fused") else name, unit, record)


def _check_input(run: Run, image: Image) -> None:
    """Refuse what was read of a file that is no longer the one whose digest the manifest has."""
    if image.path is not None and content_of(image.path, run.settings.roi) != run.manifest["inputs"][image.source]:
        raise UnreadableError("it changed after the run had begun: analyze it in a new run", image.path)


def standing(store: DirectoryStore, stage: Stage, unit: int) -> dict[str, Any] | None:
    """The done record of a unit; of a fused image the last one, which is its only one."""
    record = store.done(stage.name, unit)
    if record is None and stage.name == FIRST.name:
        last = store.done(LAST.name, 0)
        return last if last is not None and last.get("fused") else None
    return record


def in_words(error: BaseException) -> CamlError:
    """What failed, as a user can be told; what was not foreseen carries its traceback as a note."""
    if isinstance(error, CamlError):
        return error
    told = CamlError(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told
