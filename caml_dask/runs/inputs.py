"""The files that a command names: given one by one, as folders, or as patterns; and the order they are numbered in."""

from __future__ import annotations

import difflib
import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from caml_dask.errors import InputError, UsageError
from caml_dask.io.readers.formats import FOLDER_ENDINGS, taken_from_folders
from caml_dask.io.readers.sources import list_channels
from caml_dask.io.remote.transfer import Places
from caml_dask.io.remote.url import Url
from caml_dask.io.run_directory import is_output_directory
from caml_dask.runs.listing import objects_of
from caml_dask.settings import ColumnMap

Input: TypeAlias = Path | Url
"""What is analyzed: a file here, or an object elsewhere."""
_log = logging.getLogger("caml_dask")
_LONGEST_NAME = 256
_NAMED = 5  # of what is missing or left out, as many are named


def named(given: Sequence[Input]) -> list[Input]:
    """The files and objects that are meant by what a command was given: :func:`inputs_of` of the paths, then
    :func:`caml_dask.runs.listing.objects_of` of the URLs.

    Raises
    ------
    UsageError : as of these.
    TransferError : a store does not answer.
    """
    paths, urls = apart(given)
    places = Places()
    return [*inputs_of(paths), *(one for url in urls for one in objects_of(url, places))]


def apart(given: Sequence[Input]) -> tuple[list[Path], list[Url]]:
    """Paths and URLs, each in the order given."""
    return [one for one in given if isinstance(one, Path)], [one for one in given if isinstance(one, Url)]


def inputs_of(given: Sequence[Path]) -> list[Path]:
    """The files that are meant by what a command was given.

    A folder means the files in it, and in the folders under it, whose names end as a reader's formats do
    (``formats.FOLDER_ENDINGS``); a pattern with ``*``, ``?`` or ``[...]`` means the files that match it, ``**`` any
    folders. Of both, hidden files and the output directories of earlier runs and screenings are left out, and a file
    that is reached twice, through a link, is taken once.

    Parameters
    ----------
    given : sequence of Path
        Files, folders and patterns.

    Returns
    -------
    list of Path
        Files, as they were given or found. One that was given twice by its name is in it twice.

    Raises
    ------
    UsageError
        Names that do not exist, all named with what they may have meant; a folder or a pattern without files; a folder
        that cannot be listed, or that is an output directory.
    """
    given = [_expanded(path) for path in given]
    missing = [path for path in given if not os.path.lexists(path) and not glob.has_magic(str(path))]
    if missing:
        more = f"; and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        named = "; ".join(map(_without_a_file, missing[:_NAMED]))
        raise UsageError(f"{named}{more}: correct the name{'s'[: len(missing) != 1]}")
    files = [path for path in given if os.path.lexists(path) and not _is_folder(path)]
    taken = {os.path.realpath(path): path for path in files}
    for path in given:
        if _is_folder(path):
            found = _in_folder(path)
        elif not os.path.lexists(path):
            found = _matching_files(str(path))
        else:
            continue
        _log.info("%s: %d file%s", path, len(found), "s"[: len(found) != 1])
        for file in found:
            real = os.path.realpath(file)
            if real in taken:
                _log.info("%s is the same file as %s: it is taken once", file, taken[real])
            else:
                taken[real] = file
                files.append(file)
    return files


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Absolute paths, links followed, in an order of their own: the same files get the same numbers.

    Numbers in names count as numbers: cell_2.csv comes before cell_10.csv.
    """
    return sorted(map(followed, paths), key=natural)


def followed(path: Path) -> Path:
    """The absolute path of a file, links followed; of a link that leads nowhere, the path of the link.

    Raises
    ------
    ValueError : no file can have this name.
    """
    real = Path(os.path.realpath(path))
    return real if os.path.lexists(real) or not path.is_symlink() else followed(path.parent) / path.name


def refuse_unfit(inputs: Sequence[Input], out: Path, overwrite: bool) -> None:
    """Refuse inputs of which one would count twice, or would be removed before it is read.

    Parameters
    ----------
    inputs : sequence of Path or Url
        Files, as :func:`in_order` gives them, and objects.
    out : Path
        The run directory, absolute.
    overwrite : bool
        Whether the run directory is emptied first.

    Raises
    ------
    UsageError
        There is such an input.
    """
    for path, times in Counter(inputs).items():
        if times > 1:
            raise UsageError(f"{path} is given {times} times: give it once, or it counts as {times} images")
        if overwrite and isinstance(path, Path) and path.is_relative_to(out):
            raise UsageError(f"{path} lies in {out}, which --overwrite empties: move it, or name another --out")


def images_in(paths: Sequence[Path], columns: ColumnMap) -> list[tuple[Path, str | None]]:
    """The images in files: each file and channel of it, in order; the channel is None where a file is one image."""
    return [(path, channel) for path in paths for channel in channels_of(path, columns)]


def channels_of(path: Path, columns: ColumnMap) -> list[str | None]:
    """The channels in a file; one that cannot be read counts as an image too, which then fails by name."""
    try:
        return list_channels(path, columns)
    except InputError:
        return [None]


def natural(path: Path) -> tuple[list[list[tuple[int, str]]], str]:
    """A key that sorts paths by their parts, numbers in them as numbers."""
    return [[_rank(piece) for piece in re.split(r"(\d+)", part.casefold())] for part in path.parts], str(path)


def _rank(piece: str) -> tuple[int, str]:
    """Text before any number; of numbers the one with fewer digits, zeros in front not counted."""
    digits = piece.lstrip("0")
    return (1 + len(digits), digits) if piece.isdecimal() else (0, piece)


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - it never raises


def _expanded(path: Path) -> Path:
    """A path with its ~, which a shell leaves in a quoted pattern."""
    try:
        return path if os.path.lexists(path) else path.expanduser()
    except RuntimeError:  # of a user who has no home, or is none
        return path


def _without_a_file(path: Path) -> str:
    """That there is no such file, and which names that are there are close to it."""
    above = next(
        folder for folder in (path.parent, *path.parent.parents) if os.path.lexists(folder) or folder == folder.parent
    )
    wrong, *below = path.relative_to(above).parts if path.is_relative_to(above) else path.parts
    there = [name for name in _names(above) if not below or _is_folder(above / name)]
    close = difflib.get_close_matches(wrong, there, 3) if len(wrong) < _LONGEST_NAME else []
    hint = f" (did you mean {' or '.join(str(above / name) for name in close)}?)" if close else ""
    return f"there is no file or folder {path}{hint}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted
    except OSError:
        return []


def _in_folder(folder: Path) -> list[Path]:
    """The tables of a folder and of those under it.

    Raises
    ------
    UsageError : there are none, or the folder is an output directory.
    """
    if is_output_directory(folder):
        raise UsageError(
            f"{folder} holds results of caml-dask: name the tables in it that you mean, such as "
            f"'{folder}/*/points.parquet'"
        )
    found: list[Path] = []
    others: Counter[str] = Counter()
    for inside in _folders(folder):
        for name in _listed(inside):
            path = inside / name
            if name.startswith(".") or _is_folder(path):
                continue
            if taken_from_folders(name):
                found.append(path)
            else:
                others[path.suffix or name] += 1
    if not found:
        raise UsageError(
            f"{folder} holds no file that ends in {', '.join(FOLDER_ENDINGS)}: name files, or give a pattern"
        )
    if others:
        kinds = ", ".join(kind for kind, _ in others.most_common(_NAMED))
        _log.info(
            "%s: %d other file%s left out (%s); give their names or a pattern to take them",
            folder,
            others.total(),
            "s"[: others.total() != 1],
            kinds,
        )
    return found


def _matching_files(pattern: str) -> list[Path]:
    """The files that match a pattern.

    Raises
    ------
    UsageError : there are none.
    """
    found = [Path(path) for path in _matches(pattern)]
    if not found:
        raise UsageError(f"{pattern!r} matches no file: check the pattern, and the folder that it is read from")
    return found


def _matches(pattern: str) -> Iterator[str]:
    parts = pattern.split("/")
    if "**" in parts:
        at = parts.index("**")
        start, rest = "/".join(parts[:at]) or ("/" if pattern.startswith("/") else ""), "/".join(parts[at + 1 :]) or "*"
        for root in _glob(start) if start else [""]:
            for folder in _folders(Path(root)) if _is_folder(Path(root or ".")) else ():
                yield from _matches(str(Path(glob.escape(str(folder))) / rest))
        return
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part) or i == len(parts) - 1)
    for path in _glob(pattern):
        inside = Path(path).parents[: len(Path(path).parts) - 1 - len(Path("/".join(parts[:fixed])).parts)]
        if not _is_folder(Path(path)) and not any(map(is_output_directory, inside)):
            yield path


def _glob(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern))  # noqa: PTH207 - unlike Path's, it spares hidden files


def _folders(root: Path) -> Iterator[Path]:
    """A folder and all under it, links followed; each once, without hidden ones and output directories.

    Raises
    ------
    UsageError : a folder that cannot be listed.
    """
    seen: set[str] = set()

    def walk(folder: Path) -> Iterator[Path]:
        real = os.path.realpath(folder)
        if real in seen:
            _log.info("%s leads to a folder that was read already: it is taken once", folder)
            return
        seen.add(real)
        yield folder
        inside = [folder / name for name in _listed(folder) if not name.startswith(".")]
        for path in sorted(inside, key=os.path.islink):
            if _is_folder(path) and not is_output_directory(path):
                yield from walk(path)

    return walk(root)


def _listed(folder: Path) -> list[str]:
    """Names in a folder, in their order.

    Raises
    ------
    UsageError : it cannot be listed.
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted
    except OSError as error:
        raise UsageError(f"{folder} cannot be listed ({error.strerror}): make it readable, or name the files") from None
