"""Methods run in memory over tiles of any size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from support import Result

from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.methods import Method
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work

WHOLE = 10**6


def stages(points: np.ndarray, method: Method, tile: int, before: str | None = None, **chosen: object) -> Work:
    """What the stages of the method, up to one, leave of tiles of at most `tile` localizations."""
    asked = Settings(max_localizations=tile, any_extent=True, **{"test": False, "method": method, **chosen})
    work = Work(Image("test"), asked, method, MemoryStore())
    analyse(work, [as_localizations(points, ColumnMap())], {}, before)
    return work


def analysis(points: np.ndarray, method: Method, tile: int = WHOLE, **chosen: object) -> Result:
    """All stages of the method over tiles of at most `tile` localizations."""
    work = stages(points, method, tile, **chosen)
    clusters = pa.concat_tables(MeasuredClusters(work).tables()).combine_chunks()
    return Result(work.store.get("points", 0), clusters, work)
