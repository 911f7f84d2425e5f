"""The ledger of a screening: which contents were analysed under which settings, where, and what came of it."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_if_new, read_json, sealed
from caml_dask.errors import OutputError

HIDDEN = ".screen"
FORMAT = 2
"""Of the ledger; it goes up where names in it change."""
_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class Entry:
    """What became of an image.

    night : the folder of nights/ whose run has it
    image_id : its name there, and in the whole screening
    path : the file it was read from
    reason : why it failed; None where it is done
    again : it failed by trouble of the machine, and is tried again on the next night
    """

    night: str
    image_id: str
    path: str
    reason: str | None = None
    again: bool = False


@dataclass
class Ledger:
    """What a screening knows of the nights before.

    entries : by the digest of content and settings; of failed images by that and the path, which the reason names
    files : path to what was found in the file when it was last read (:mod:`caml_dask.screening.survey`)
    underway : the `night` that was begun and not ended, with so many `images`, while so many others of the cohort
        stand as `done` and as `failed`
    last : the nights of the last call that analysed anything
    next_number : of the next image_id
    pattern : the pattern of paths that the last call was given; None for a table
    members : what it found: path, channel, factors, key and content of each image
    acknowledged : keys of failures that are known and do not count for the exit code
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    underway: dict[str, Any] | None = None
    last: list[str] = field(default_factory=list)
    next_number: int = 1
    pattern: str | None = None
    members: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path) -> Ledger:
        """The ledger of a screening; an empty one, with a warning, where it is damaged: all is analysed anew.

        Raises
        ------
        OutputError : it cannot be read, for now, or is of a version with another format.
        """
        path = _path(root)
        try:
            found = read_json(path)
            if (wrote := found.pop("format", 1)) != FORMAT:
                raise OutputError(
                    f"{root} holds a screening in format {wrote} of an earlier caml_dask; this version reads format "
                    f"{FORMAT}: continue it with the version that wrote it, or name a new directory"
                )
            return cls(**{**found, "entries": {key: Entry(**entry) for key, entry in found["entries"].items()}})
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise OutputError(f"{path} cannot be read ({error.strerror}): see to its disk and call again") from None
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): everything is analysed anew", path, error)
            return cls()

    def write(self, root: Path) -> None:
        """Publish the ledger, where it says anything new."""
        publish_if_new(_path(root), sealed({"format": FORMAT, **asdict(self)}))


def _path(root: Path) -> Path:
    return root / HIDDEN / "ledger.json"
