"""The images of a cohort as a call finds them, each with a digest of its content and of all that decides its result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caml_dask.io.manifest import content_of, rois_content
from caml_dask.io.readers.formats import possible_sidecars
from caml_dask.runs.inputs import channels_of
from caml_dask.screening.cohort import Cohort
from caml_dask.screening.ledger import Ledger
from caml_dask.settings import ColumnMap

_FRESH_NS = 2_000_000_000  # a file written this shortly before reading may change again without a new time


@dataclass(frozen=True)
class CohortImage:
    """An image of a cohort.

    path, channel, factors : as in its row; the channel is None where the file holds no other
    key : digest of content, channel and all that decides the result
    gone : an earlier call found it with the same pattern, and it is now missing
    """

    path: Path
    channel: str | None
    factors: Mapping[str, str]
    key: str
    gone: bool = False

    @property
    def failed_key(self) -> str:
        """The key of its failure in the ledger."""
        return failed_key(self.key, str(self.path))


def survey(
    cohort: Cohort, manifest: Mapping[str, Any], columns: ColumnMap, ledger: Ledger, verify: bool
) -> list[CohortImage]:
    """The images of a cohort, in its order; the ledger keeps what was found in each file.

    Parameters
    ----------
    manifest : of a run with the settings and weights of tonight, of any images.
    verify : read all files; without it, files whose size and times have not changed are not read again.
    """
    known, ledger.files = ledger.files, {}
    items = []
    for member in cohort.members:
        path = str(member.path)
        if path not in ledger.files:
            ledger.files[path] = _look(member.path, columns, {} if verify else known.get(path, {}))
        found = ledger.files[path]
        channels = found["channels"] if member.channel is None else [member.channel]
        content = found["content"]
        if content is not None:  # as the manifest of a run has it
            content = [*content, *rois_content(member.path, manifest["settings"]["roi"])]
        keys = {channel: image_key(manifest, content, channel) for channel in channels}
        items += [CohortImage(member.path, channel, member.factors, key) for channel, key in keys.items()]
    return items


def gone(cohort: Cohort, images: Sequence[CohortImage], ledger: Ledger, forget: bool) -> list[CohortImage]:
    """Images that an earlier call found with the same pattern and that are now missing, not just moved.

    Rows removed from a table are not among them: that was intended. The images found now are entered in the ledger,
    with the missing ones unless `forget` is set.
    """
    known = ledger.members if cohort.pattern is not None and cohort.pattern == ledger.pattern else []
    here = [_member(image, ledger.files[str(image.path)]["content"]) for image in images]
    paths, contents = {member["path"] for member in here}, [member["content"] for member in here]
    missing = [m for m in known if m["path"] not in paths and (m["content"] is None or m["content"] not in contents)]
    left = [] if forget else missing
    ledger.pattern, ledger.members = cohort.pattern, [] if cohort.pattern is None else [*here, *left]
    return [CohortImage(Path(m["path"]), m["channel"], m["factors"], m["key"], gone=True) for m in left]


def _member(image: CohortImage, content: Any) -> dict[str, Any]:
    """What the ledger keeps of an image that a pattern found."""
    about = {"path": str(image.path), "channel": image.channel, "factors": dict(image.factors)}
    return {**about, "key": image.key, "content": content}


def image_key(manifest: Mapping[str, Any], content: Any, channel: str | None) -> str:
    """Digest of everything that decides an image's result: content, channel, settings, weights, version, machine."""
    # Tiles never change a result; a network is known by its digests, wherever it lies.
    left_out = ("max_localizations", "network")
    settings = {name: value for name, value in manifest["settings"].items() if name not in left_out}
    made_with = [manifest[name] for name in ("network", "version", "machine")]
    text = json.dumps([content, channel, settings, made_with], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def failed_key(key: str, path: str) -> str:
    """Key of a failure; its reason names the path, so the key includes it."""
    return f"{key} {path}"


def _look(path: Path, columns: ColumnMap, known: Mapping[str, Any]) -> dict[str, Any]:
    """Digest and channels of a file, from the last reading if the file has not changed since."""
    stat = _stat(path)
    if stat is not None and stat == known.get("stat"):
        content = known["content"]
        if known["columns"] == asdict(columns):
            return dict(known)
    else:
        content = content_of(path)
    settled = stat is not None and max(stat) < time.time_ns() - _FRESH_NS
    return {
        "stat": stat if settled else None,
        "content": content,
        "columns": asdict(columns),
        "channels": channels_of(path, columns),
    }


def _stat(path: Path) -> list[int] | None:
    """Size (bytes), time of modification and time of status change (ns) of a file, and of those beside it that may
    decide what is read from it; None if there is no such file."""
    try:
        found = [path.stat(), *(one.stat() for one in possible_sidecars(path))]
    except (OSError, ValueError):
        return None
    return [value for one in found for value in (one.st_size, one.st_mtime_ns, one.st_ctime_ns)]
