"""Results of images written to a folder in some formats: each file whole or not at all, and none over another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from caml_dask.atomic import publish
from caml_dask.errors import OutputError, UsageError
from caml_dask.extras import require
from caml_dask.groups import make_folder
from caml_dask.io.exporters.exporter import Exportable, Exporter, Options
from caml_dask.io.exporters.formats import exporter_named


def export(
    images: Sequence[Exportable], to: str | Iterable[str], folder: Path | str, options: Options, overwrite: bool
) -> list[Path]:
    """Write images to a folder.

    Parameters
    ----------
    images : sequence of Exportable
        What to write.
    to : str or iterable of str
        Names of formats.
    folder : path
        Where the files go; it is made.
    options : Options
        What a user can choose of a file.
    overwrite : bool
        Whether files that are there already are replaced.

    Returns
    -------
    list of Path
        The files, image by image.

    Raises
    ------
    UsageError
        A format that is not known or needs an extra, or one that cannot hold an image; nothing is written of it.
    OutputError
        A file is there already, and is not to be replaced; nothing is written. Or the folder cannot be made.
    """
    exporters = usable(to, "--to")
    if not exporters:
        raise UsageError("no format is named: give one or more, such as --to csv")
    if options.pixel_nm is not None and not any(exporter.pixels for exporter in exporters):
        raise UsageError(f"{', '.join(e.name for e in exporters)} has no pixels: leave the size of pixels out")
    root = Path(folder)
    wanted = [(image, exporter, _paths(image.image_id, exporter, root)) for image in images for exporter in exporters]
    there = [path for *_, paths in wanted for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise OutputError(
            f"{there[0]} is there already{f', and {len(there) - 1} more' if len(there) > 1 else ''}: name another "
            "folder with --out, or replace with --overwrite"
        )
    try:
        make_folder(root)
    except OSError as error:
        raise OutputError(f"{root} cannot be made ({error.strerror}): name another folder with --out") from None
    for image, exporter, paths in wanted:
        plan = exporter.plan(image, options)
        for ending, path in paths.items():
            publish(path, plan[ending])
    return [path for *_, paths in wanted for path in paths.values()]


def usable(to: str | Iterable[str], option: str) -> list[Exporter]:
    """Formats by their names, each once.

    Parameters
    ----------
    to : str or iterable of str
        Names of formats.
    option : str
        What they were given to, as messages name it.

    Raises
    ------
    UsageError
        A format that is not known, or that needs an extra.
    """
    exporters = [exporter_named(name) for name in dict.fromkeys([to] if isinstance(to, str) else to)]
    for exporter in exporters:
        if exporter.extra is not None:
            require(exporter.extra, f"{option} {exporter.name}")
    return exporters


def missing(image_id: str, to: Iterable[str], folder: Path) -> list[str]:
    """The formats of which a folder does not hold all files of an image.

    Parameters
    ----------
    image_id : str
        The image.
    to : iterable of str
        Names of formats.
    folder : Path
        Where the files would be.

    Returns
    -------
    list of str
        Names of formats.
    """
    return [
        name
        for name in to
        if not all(path.exists() for path in _paths(image_id, exporter_named(name), folder).values())
    ]


def _paths(image_id: str, exporter: Exporter, folder: Path) -> dict[str, Path]:
    return {ending: folder / f"{image_id}{ending}" for ending in exporter.endings}
