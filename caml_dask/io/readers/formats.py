"""The formats that are read, in the order in which a file is offered to them, and what is said of others.

Content decides. A reader with ``begins`` sees a file's first bytes. What no such reader takes is read as delimited
text, and the first reader whose ``columns`` recognize the header names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from caml_dask.errors import InputError, UsageError
from caml_dask.io.readers import (
    archives,
    caml_tsv,
    decode,
    delimited_text,
    elyra,
    feather,
    hdf5,
    matlab,
    minflux,
    nanoimager,
    npy,
    nstorm,
    parquet,
    picasso,
    pyminflux,
    rapidstorm,
    smap,
    smlm,
    thunderstorm,
)
from caml_dask.io.readers.dialect import HEAD_BYTES
from caml_dask.io.readers.reader import Reader

READERS: tuple[Reader, ...] = (
    thunderstorm.READER,
    picasso.READER,
    smap.READER,
    decode.READER,
    rapidstorm.READER,
    elyra.READER,
    nstorm.READER,
    nanoimager.READER,
    smlm.READER,
    minflux.READER,
    pyminflux.READER,
    caml_tsv.READER,
    parquet.READER,
    feather.READER,
    matlab.READER,
    npy.READER,
    delimited_text.READER,
    archives.READER,
)

_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as CSV"),
    (b"II*\x00", "a TIFF image: localize it first, for example with ThunderSTORM or Picasso, and give the table"),
    (b"MM\x00*", "a TIFF image: localize it first, for example with ThunderSTORM or Picasso, and give the table"),
    (b"OMAS_BF", "an Imspector .msr file: export the MINFLUX data from Imspector as .npy"),
    (b"M425", "an Insight3 molecule list: export it from NIS-Elements as text, with the columns Xc and Yc"),
    (b"#ASDF", "an ASDF file: save the localizations in Locan as ThunderSTORM CSV"),
    (b"FEA1", "a Feather file of version 1: write it again with `frame.to_feather('table.feather')`"),
    (b"{", "JSON: export a table instead, from Imspector as .npy"),
)
_BINARY = (
    picasso.READER,
    smlm.READER,
    decode.READER,
    matlab.READER,
    parquet.READER,
    feather.READER,
    npy.READER,
    archives.READER,
)
_MORE = "`caml-dask formats` lists what is read"


def recognized(path: Path, head: bytes) -> Reader | None:
    """The reader that a file's first bytes belong to; None for delimited text.

    Raises
    ------
    InputError : a file of a format that is not read, or a damaged one.
    """
    for reader in READERS:
        if reader.begins is not None and reader.begins(path, head):
            return reader
    if hdf5.is_hdf5(head):
        held = ", ".join(map(repr, hdf5.names_in(path)[:8])) or "nothing"
        raise InputError(
            f"is an HDF5 file, and none of Picasso (locs), SMAP (saveloc/loc) or DECODE (data/xyz): it holds {held}. "
            f"Export a table from the program that wrote it, as CSV in nm; {_MORE}",
            path,
        )
    if archives.is_zip(head) and any(name.startswith("xl/") for name in _members(path)):
        raise InputError(f"is an Excel workbook: save the sheet as CSV; {_MORE}", path)
    if archives.is_archive(head):
        return archives.READER
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"is {what}; {_MORE}", path)
    for reader in _BINARY:
        if path.name.lower().endswith(reader.endings):
            raise InputError(
                f"is named as {reader.name} and does not begin as {reader.name}: it is damaged or another format; "
                f"{_MORE}",
                path,
            )
    return None


def listing() -> str:
    """All formats with an example of a call, as text."""
    rows = [(reader.name, " ".join(reader.endings), f"caml-dask run {reader.example} -o results") for reader in READERS]
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(2)]
    lines = [f"{name:<{widths[0]}}{endings:<{widths[1]}}{call}" for name, endings, call in rows]
    return "\n".join([*lines, "", "caml-dask formats NAME says what is read of one, its units, and how to export it."])


def details(name: str) -> str:
    """What is read of the formats whose names have `name` in them, as text.

    Raises
    ------
    UsageError : there is none.
    """
    found = [reader for reader in READERS if name.lower() in reader.name.lower()]
    if not found:
        raise UsageError(f"no format {name!r}; there are {', '.join(reader.name for reader in READERS)}")
    return "\n\n".join(map(_detail, found))


def _detail(reader: Reader) -> str:
    about = {
        "recognized by": reader.recognized,
        "read": reader.reads,
        "units": reader.units,
        "beside it": ", ".join(f"a {ending} of the same name" for ending in reader.sidecars) or "nothing",
        "how to export": reader.export,
        "example": f"caml-dask run {reader.example} -o results",
    }
    lines = [f"  {key + ':':<15} {value.replace('`', '')}" for key, value in about.items()]
    return "\n".join([f"{reader.name} ({', '.join(reader.endings)})", *lines])


def _members(path: Path) -> list[str]:
    with archives.opened_zip(path) as archive:
        return archive.namelist()


def tables_in(path: Path) -> list[str]:
    """Members of a ZIP archive that are tables.

    Raises
    ------
    InputError : it is damaged, or holds none.
    """
    return archives.tables_in(path, _is_named_as_table, SIDECARS)


def _is_named_as_table(name: str) -> bool:
    """Whether a member of an archive is named as a table; a .txt may be a note."""
    return name.lower().endswith((*FOLDER_ENDINGS, *matlab.READER.endings))


def sidecars_of(path: Path) -> list[Path]:
    """Files beside an input that decide what is read from it; those that are there."""
    beside = (path.with_name(name) for name in names_beside(path))
    return [one for one in beside if one != path and one.is_file()]


def names_beside(path: Path) -> list[str]:
    """Names that files have which decide, beside an input of its format, what is read from it."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        found = recognized(path, head)
    except (OSError, ValueError):  # of which the image fails by name when it is read
        return []
    if found is archives.READER:
        return [path.with_suffix("").with_suffix(e).name for e in SIDECARS] if head.startswith(archives.GZIP) else []
    return [path.with_suffix(ending).name for ending in (() if found is None else found.sidecars)]


def possible_sidecars(path: Path) -> list[Path]:
    """Files that would be sidecars if the input were of a format that has any; nothing is read."""
    return list(dict.fromkeys([*_beside(path, SIDECARS), *archives.beside_gzip(path, SIDECARS)]))


def _beside(path: Path, endings: Iterable[str]) -> list[Path]:
    beside = (path.with_suffix(ending) for ending in endings)
    return [one for one in beside if one != path and one.is_file()]


def taken_from_folders(name: str) -> bool:
    """Whether a file of this name is taken from a folder. Many a .txt is a protocol or a note."""
    return name.lower().endswith(FOLDER_ENDINGS)


SIDECARS = tuple(dict.fromkeys(ending for reader in READERS for ending in reader.sidecars))
"""Endings of files that decide what is read from another of the same stem."""
FOLDER_ENDINGS = tuple(dict.fromkeys(ending for reader in READERS for ending in reader.from_folders))
"""How files are named that are taken from a folder."""
