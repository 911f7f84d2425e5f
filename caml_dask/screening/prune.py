"""Nights of a screening that nothing refers to any more: their size on the disk, and their removal."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from caml_dask import locks
from caml_dask.atomic import read_json
from caml_dask.errors import OutputError
from caml_dask.screening.ledger import HIDDEN, Ledger
from caml_dask.screening.nights import NIGHTS


@dataclass(frozen=True)
class Superseded:
    """A night without the last results of any image that the summary lists.

    name : str
        The night.
    images : int
        Images with other settings or content that only this night holds; if needed again, they are analyzed again.
    size : int
        Bytes of its files.
    """

    name: str
    images: int
    size: int


def prune(root: Path, remove: bool) -> list[Superseded]:
    """Find the nights that are superseded: each image in summary.json has its last results elsewhere, or has none.

    Parameters
    ----------
    root : Path
        The directory of the screening.
    remove : bool
        Remove them, and what the ledger says of them.

    Returns
    -------
    list of Superseded
        By name.

    Raises
    ------
    OutputError : the directory holds no finished screening, is in use, or has an interrupted night.
    """
    if not (root / HIDDEN).is_dir():
        raise OutputError(f"{root} holds no screening: give the --out directory of `caml-dask screen`")
    with locks.locked(root, HIDDEN, "screening"):
        ledger = Ledger.read(root)
        if ledger.underway is not None:
            raise OutputError(
                f"{root}: night {ledger.underway['night']} was interrupted: screen again to finish it, then prune"
            )
        kept = _kept(root, ledger) | set(ledger.last)
        found = [
            Superseded(night.name, sum(entry.night == night.name for entry in ledger.entries.values()), _size(night))
            for night in sorted((root / NIGHTS).glob("*"))
            if night.is_dir() and not night.is_symlink() and night.name not in kept
        ]
        if remove:
            gone = {night.name for night in found}
            ledger.entries = {key: entry for key, entry in ledger.entries.items() if entry.night not in gone}
            ledger.write(root)  # first, so that nothing refers to what is half removed
            for name in sorted(gone):
                shutil.rmtree(root / NIGHTS / name)
    return found


def _kept(root: Path, ledger: Ledger) -> set[str]:
    """Nights that hold the last results of an image in summary.json, be it missing or failed by now.

    Raises
    ------
    OutputError : the summary cannot be read.
    """
    try:
        images = read_json(root / "summary.json")["images"]
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{root / 'summary.json'} cannot be read ({error}): screen again to write a new one"
        ) from None
    listed = {image["folder"].split("/")[1] for image in images if image["folder"]}
    found = {ledger.entries[member["key"]].night for member in ledger.members if member["key"] in ledger.entries}
    return listed | found | _last_of({image["path"] for image in images if not image["folder"]}, ledger)


def _last_of(paths: Collection[str], ledger: Ledger) -> set[str]:
    """The last night with results of each file, and of each channel of it: which ones it held is read in the names."""
    last: dict[tuple[str, str], str] = {}
    for entry in ledger.entries.values():
        if entry.reason is None and entry.path in paths:
            of = entry.path, entry.image_id.partition("_")[2]
            last[of] = max(last.get(of, ""), entry.night)
    return set(last.values())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
