"""The ledger of a screening: which contents were analyzed with which settings, where, and with what outcome."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_if_new, read_json, sealed
from caml_dask.errors import OutputError

HIDDEN = ".screen"
FORMAT = 2
"""Version of the ledger's format, raised when its names change."""
_log = logging.getLogger("caml_dask")


@dataclass(frozen=True)
class Entry:
    """What became of an image.

    night : the folder of nights/ whose run has it
    image_id : its name there, and in the whole screening
    path : the file it was read from, or where a later call found its content when that file was gone
    reason : why it failed; None where it is done
    again : the machine caused the failure, and the next night tries again
    """

    night: str
    image_id: str
    path: str
    reason: str | None = None
    again: bool = False


@dataclass
class Ledger:
    """What a screening knows of earlier nights.

    entries : by the digest of content and settings; of failed images by that and the path, which the reason names
    files : path to what was found in the file when it was last read (:mod:`caml_dask.screening.survey`)
    underway : the `night` that was begun and not ended, with its number of `images`, and how many other images of the
        cohort were already `done` or `failed`
    last : the nights of the last call that analyzed anything
    next_number : of the next image_id
    pattern : the pattern of paths that the last call was given; None for a table
    members : what it found: path, channel, factors, key and content of each image
    acknowledged : keys of acknowledged failures, which do not count for the exit code
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
        """Read the ledger of a screening; a damaged one counts as empty, with a warning: all images are analyzed again.

        Raises
        ------
        OutputError : it cannot be read, or another version wrote it in another format.
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
            raise OutputError(f"{path} cannot be read ({error.strerror}): check its disk, then screen again") from None
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): all images are analyzed again", path, error)
            return cls()

    def write(self, root: Path) -> None:
        """Publish the ledger if it has changed."""
        publish_if_new(_path(root), sealed({"format": FORMAT, **asdict(self)}))


def _path(root: Path) -> Path:
    return root / HIDDEN / "ledger.json"
