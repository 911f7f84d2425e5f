"""What a cohort holds tonight: its images, each with the digest of its content and of all that decides its result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caml_dask.io.run_directory import content_of
from caml_dask.runs.session import channels_of
from caml_dask.screening.cohort import Cohort
from caml_dask.screening.ledger import Ledger
from caml_dask.settings import ColumnMap

_FRESH_NS = 2_000_000_000  # written so shortly before it is read, a file may change again and keep its time


@dataclass(frozen=True)
class Item:
    """An image of a cohort.

    path, channel, factors : as in its row; the channel is None where the file holds no other
    key : digest of content, channel and all that decides the result
    """

    path: Path
    channel: str | None
    factors: Mapping[str, str]
    key: str

    @property
    def failed_key(self) -> str:
        """Under which its failure stands in the ledger."""
        return failed_key(self.key, str(self.path))


def survey(cohort: Cohort, manifest: Mapping[str, Any], columns: ColumnMap, ledger: Ledger, verify: bool) -> list[Item]:
    """The images of a cohort in its order; what was found in each file is kept in the ledger.

    Parameters
    ----------
    manifest : of a run with the settings and weights of tonight, of any images.
    verify : read all files; without it, those that have the size and times of the last reading are not read again.
    """
    known, ledger.files = ledger.files, {}
    items = []
    for member in cohort.members:
        path = str(member.path)
        if path not in ledger.files:
            ledger.files[path] = _look(member.path, columns, {} if verify else known.get(path, {}))
        found = ledger.files[path]
        channels = found["channels"] if member.channel is None else [member.channel]
        keys = {channel: item_key(manifest, found["content"], channel) for channel in channels}
        items += [Item(member.path, channel, member.factors, key) for channel, key in keys.items()]
    return items


def item_key(manifest: Mapping[str, Any], content: Any, channel: str | None) -> str:
    """Digest of everything that decides an image's result: content, channel, settings, weights, version, machine."""
    # Tiles never change a result; a network is known by its digests, wherever it lies.
    left_out = ("max_localizations", "network")
    settings = {name: value for name, value in manifest["settings"].items() if name not in left_out}
    made_with = [manifest[name] for name in ("network", "version", "machine")]
    text = json.dumps([content, channel, settings, made_with], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def failed_key(key: str, path: str) -> str:
    """Key of a failure: its reason names the path, so that it holds for this one alone."""
    return f"{key} {path}"


def _look(path: Path, columns: ColumnMap, known: Mapping[str, Any]) -> dict[str, Any]:
    """Digest and channels of a file, from the last reading where it has not changed since."""
    stat = _stat(path)
    if stat is not None and stat == known.get("stat"):
        content = known["content"]
        if known["columns"] == asdict(columns):
            return dict(known)
    else:
        content = content_of(path)
    settled = stat is not None and max(stat[1:]) < time.time_ns() - _FRESH_NS
    return {
        "stat": stat if settled else None,
        "content": content,
        "columns": asdict(columns),
        "channels": channels_of(path, columns),
    }


def _stat(path: Path) -> list[int] | None:
    """Size and times, in ns, of a file's content and of anything about it; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
