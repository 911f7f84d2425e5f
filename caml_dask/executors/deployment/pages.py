"""What Dask shows of a run, on request: its dashboard while it goes on, and a report of its performance afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caml_dask.errors import UsageError
from caml_dask.extras import require

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class Pages:
    """What is asked for.

    Parameters
    ----------
    dashboard : Dask's pages are served on 127.0.0.1 of this machine. They ask for no key: other users of it see them.
    report : HTML file for the performance report.
    """

    dashboard: bool = False
    report: Path | None = None

    def refuse_unusable(self) -> None:
        """Refuse what cannot be shown, before a run begins.

        Raises
        ------
        UsageError : a package is missing, or the report has no folder.
        """
        if self.dashboard or self.report is not None:
            require("dashboard", "--dashboard" if self.dashboard else "--performance-report")
        if self.report is not None and not self.report.absolute().parent.is_dir():
            raise UsageError(f"{self.report.absolute().parent} does not exist: make it for the performance report")


@contextmanager
def shown(client: Client, pages: Pages) -> Iterator[None]:
    """Say where the dashboard is, and write the report when the context ends."""
    from distributed import performance_report

    if pages.dashboard:
        _log.info("dashboard of Dask: %s", client.dashboard_link)
    with nullcontext() if pages.report is None else performance_report(filename=str(pages.report.absolute())):
        yield
