"""Nights of a screening that nothing refers to any more: what they take on the disk, and their removal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from caml_dask import locks
from caml_dask.atomic import read_json
from caml_dask.errors import OutputError
from caml_dask.screening.ledger import HIDDEN, Ledger
from caml_dask.screening.nights import NIGHTS


@dataclass(frozen=True)
class Superseded:
    """A night without any image that the summary lists.

    name : str
        The night.
    images : int
        Images of other settings or content that it alone holds; they would be analysed anew if they were asked for.
    size : int
        Bytes of its files.
    """

    name: str
    images: int
    size: int


def prune(root: Path, remove: bool) -> list[Superseded]:
    """Find the nights that are superseded: no image in summary.json has its results there.

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
    OutputError : no finished screening, one that is in use, or one with a night that was interrupted.
    """
    if not (root / HIDDEN).is_dir():
        raise OutputError(f"{root} holds no screening: name the --out of `caml-dask screen`")
    with locks.locked(root, HIDDEN, "screening"):
        ledger = Ledger.read(root)
        if ledger.underway is not None:
            raise OutputError(
                f"{root}: night {ledger.underway['night']} was interrupted: screen again to finish it first"
            )
        kept = _kept(root) | set(ledger.last)
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


def _kept(root: Path) -> set[str]:
    """Nights that hold the results of an image in summary.json.

    Raises
    ------
    OutputError : it cannot be read, so that nothing can be said.
    """
    try:
        images = read_json(root / "summary.json")["images"]
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"{root / 'summary.json'} cannot be read ({error}): screen again to write it anew") from None
    return {image["folder"].split("/")[1] for image in images if image["folder"]}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
