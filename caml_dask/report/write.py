"""The report of a directory: read, compare, write."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caml_dask.atomic import publish_text
from caml_dask.errors import OutputError
from caml_dask.extras import require
from caml_dask.groups import make_folder
from caml_dask.io.run_directory import REPORT_METHODS, REPORT_PAGE, REPORT_TABLES
from caml_dask.report.described import read_descriptions
from caml_dask.report.families import Family, families
from caml_dask.report.figures import sections_of, write_figures
from caml_dask.report.methods import methods_paragraph
from caml_dask.report.page import render
from caml_dask.report.prism import write_prism
from caml_dask.report.results import Results, read_results
from caml_dask.report.tables import write_tables


@dataclass(frozen=True)
class Report:
    """A report that was written.

    page : report.html; its tables are in the folder report/ beside it
    results, families : what it shows
    notes : what readers should know about all of it
    """

    page: Path
    results: Results
    families: tuple[Family, ...]
    notes: tuple[str, ...]


def write_report(
    root: Path,
    table: Path | None = None,
    by: str = "condition",
    within: Sequence[str] = (),
    out: Path | None = None,
    described: Path | None = None,
) -> Report:
    """Write report.html, methods.txt and the tables in report/ from a directory of results.

    Parameters
    ----------
    root : a directory that `caml-dask run` or `caml-dask screen` wrote.
    table : a cohort table that gives the images their factors; by default those that the screening recorded.
    by : the factor to compare.
    within : compare within each combination of these factors; always within channel and protein.
    out : the folder to write to; by default that of the results.
    described : a directory that `caml-dask describe` wrote, whose functions are shown beside the images.

    Raises
    ------
    UsageError : a directory without results or descriptions, a cohort table that cannot be used, a factor that no
        image has, or a folder that cannot be written to; or packages that a report needs are not installed.
    """
    require("report", "a report")
    results = read_results(root, table)
    found, notes = families(results, by, within)
    descriptions = read_descriptions(described, results)
    notes = [*results.notes, *notes, *descriptions.notes]
    sections = sections_of(found, results.measures)
    folder = root if out is None else out
    page = folder / REPORT_PAGE
    try:
        make_folder(folder)
        write_tables(folder / REPORT_TABLES, results, found, by)
        write_figures(folder / REPORT_TABLES / "figures", sections)
        write_prism(folder / REPORT_TABLES / "prism", found, results.measures)
        publish_text(folder / REPORT_METHODS, methods_paragraph(results) + "\n")
        publish_text(page, render(results, sections, by, notes, folder, descriptions))
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise OutputError(
                f"{folder} cannot be written to ({error.strerror}): name another folder with --out"
            ) from None
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise OutputError(f"{folder} is not a folder: name another one with --out") from None
        raise
    return Report(page, results, tuple(found), tuple(notes))
