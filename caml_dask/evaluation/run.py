"""`caml-dask evaluate`: records part by part on the workers, then tables and figures from their files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from caml_dask import __version__
from caml_dask.atomic import publish, publish_text
from caml_dask.errors import OutputError, UsageError
from caml_dask.evaluation.labelled import LabelledFolder, labelled_folders
from caml_dask.evaluation.parts import Part, Record, parts_of, perform, read_parts, tasks_of, write_csv, write_part
from caml_dask.evaluation.protocol import GRID_NAMES, Protocol, trained_networks
from caml_dask.evaluation.summaries import account, summarised
from caml_dask.executors.items import each
from caml_dask.extras import require
from caml_dask.io.run_directory import locked, read_manifest
from caml_dask.networks import load


def evaluate(
    networks: Sequence[str],
    out: Path,
    protocol: Protocol,
    *,
    grids: Sequence[str] = (),
    labelled: Path | None = None,
    workers: int = 0,
) -> str:
    """Evaluate networks into a directory; parts that stand there already are not made again.

    Parameters
    ----------
    networks : names, or folders of the user's own; none takes all that ship.
    out : the directory.
    protocol : how much is looked at.
    grids : names of grids; none takes all.
    labelled : a folder of folders of labelled tables.
    workers : worker processes; 0 does everything in this process.

    Returns
    -------
    what to tell the user.

    Raises
    ------
    UsageError : unknown networks or grids, no such folder, or Matplotlib is not installed.
    InputError : a labelled table of neither layout.
    OutputError : a directory that holds something else.
    """
    require("plot", "an evaluation")
    unknown = sorted(set(grids) - set(GRID_NAMES))
    if unknown:
        raise UsageError(f"no grid {unknown[0]!r} to evaluate: use one of {', '.join(GRID_NAMES)}")
    networks = trained_networks(networks)
    folders = labelled_folders(labelled) if labelled is not None else []
    parts = parts_of(networks, grids or GRID_NAMES, folders, protocol)
    if not parts:
        raise UsageError(
            f"none of the grids {', '.join(grids)} fits {', '.join(load(n).name for n in networks)}: name others"
        )
    with locked(out):
        if read_manifest(out) is not None:
            raise OutputError(f"{out} holds a run: name another directory")
        pending = [part for part in parts if not part.place(out).exists()]
        _make(pending, protocol, workers, out)
        tables = _report(parts, folders, out)
        _describe(networks, protocol, grids or GRID_NAMES, labelled, out)
    lines = [account(tables), f"Records, tables and figures in {out.resolve()}"]
    if len(pending) < len(parts):
        lines.append(f"{len(parts) - len(pending)} of {len(parts)} parts were there already")
    return "\n".join(line for line in lines if line)


def _make(parts: Sequence[Part], protocol: Protocol, workers: int, out: Path) -> None:
    """Make the records of parts, and publish each part when its last field or table is done."""
    at = {(part.kind, part.group, part.source): part for part in parts}
    missing = {key: len(part.items) for key, part in at.items()}
    records: dict[tuple[str, str, str], list[Record]] = {key: [] for key in at}
    for task, found in each(perform, tasks_of(parts, protocol), workers, "fields and tables"):
        for source in task.networks:
            key = (task.kind, task.group, source)
            records[key] += [record for record in found if record["network"] == at[key].network]
            missing[key] -= 1
            if not missing[key]:
                write_part(at[key], records.pop(key), out)


def _report(parts: Sequence[Part], folders: Sequence[LabelledFolder], out: Path) -> dict[str, pd.DataFrame]:
    """Write records, tables and figures from the parts' files; what an earlier call left of them is replaced."""
    from caml_dask.evaluation.figures import draw_figures

    labels, clusters, labelled = (read_parts(parts, kind, out) for kind in ("labels", "clusters", "labelled"))
    classes = {part.network: load(part.source).classes for part in parts}
    tables = summarised(labels, clusters, labelled, classes, {f.name: f.reason for f in folders if f.reason})
    records = {"labels": labels, "clusters": clusters, "labelled": labelled}
    publish(out / "records", lambda folder: _write(folder, {n: r for n, r in records.items() if len(r)}))
    publish(out / "tables", lambda folder: _write(folder, tables))
    publish(out / "figures", lambda folder: draw_figures(clusters[clusters["reason"] == ""], tables, folder))
    return tables


def _write(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    folder.mkdir()
    for name, frame in frames.items():
        write_csv(frame, folder / f"{name}.csv")


def _describe(
    networks: Sequence[str], protocol: Protocol, grids: Sequence[str], labelled: Path | None, out: Path
) -> None:
    """Write down what the tables and figures are of."""
    about = {
        "caml_dask": __version__,
        "networks": {tried.name: tried.identity["weights_sha256"] for tried in map(load, networks)},
        "grids": list(grids),
        "samples": protocol.samples_taken,
        "replicates": protocol.replicates,
        "seed": protocol.seed,
        "smoke": protocol.smoke,
        "labelled": labelled.name if labelled is not None else None,
    }
    publish_text(out / "evaluation.json", json.dumps(about, indent=1) + "\n")
