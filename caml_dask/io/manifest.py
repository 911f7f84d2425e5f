"""The manifest of a run: what it was started with, by content, so that what differs can be named (DESIGN law 7)."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from caml_dask import __version__
from caml_dask.atomic import fingerprint
from caml_dask.errors import InputError
from caml_dask.io.readers.formats import sidecars_of
from caml_dask.io.rois.given import roi_file
from caml_dask.settings import Settings

FORMAT = 2
"""Of manifests and done records; it goes up where their names or meaning change."""
_COMPARED = ("settings", "inputs", "network", "version", "machine")


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a run: a file, or one channel of it.

    image_id : running number and sanitized stem, such as 0001_cell_a
    path : the input file; None for localizations given in memory
    channel : only rows of this channel, where the file holds several
    url : where the file was brought from, without what may be secret; None for one that was here
    """

    image_id: str
    path: Path | None = None
    channel: str | None = None
    url: str | None = None

    @property
    def source(self) -> str:
        """What the input is called: its URL, or its path."""
        return self.url or str(self.path)


def image_ids(sources: Sequence[tuple[Path, str | None]], first: int = 1) -> tuple[Image, ...]:
    """The images in files, by path and channel, as :func:`numbered` names them."""
    return numbered([Image("", path, channel) for path, channel in sources], first)


def numbered(images: Sequence[Image], first: int = 1) -> tuple[Image, ...]:
    """Number images of files from `first` on and name them after these; no name can leave the output directory."""
    named = []
    for number, image in enumerate(images, start=first):
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", "" if image.path is None else image.path.stem).strip("_")[:60] or "image"
        channel = image.channel
        suffix = "" if channel is None else "_ch" + (re.sub(r"[^A-Za-z0-9_-]+", "_", channel)[:20] or "none")
        named.append(replace(image, image_id=f"{number:04d}_{stem}{suffix}"))
    return tuple(named)


def describe(
    settings: Settings,
    images: Sequence[Image],
    network: Mapping[str, Any],
    known: Mapping[str, Sequence[int | str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The manifest of a run by this version: settings, inputs by content, weights and machine.

    network : name and weights_sha256 of the network, and card_sha256 of one of the user's own
    known : contents of inputs by what they are called, as of :func:`content_of` without regions; others are read
    """
    contents: dict[str, list[int | str] | None] = {}
    for image in images:
        if image.path is not None and image.source not in contents:
            pinned = known.get(image.source)
            roi = [] if pinned is None else rois_content(image.path, settings.roi)
            contents[image.source] = content_of(image.path, settings.roi) if pinned is None else [*pinned, *roi]
    return {
        "format": FORMAT,
        "settings": settings.as_dict(),
        "settings_digest": settings.digest(),
        "steps": settings.steps(),
        "inputs": contents,
        "images": [{"image_id": i.image_id, "path": i.source, "channel": i.channel} for i in images],
        "network": dict(network),
        "version": __version__,
        "machine": {"processor": _processor(), "scoring": "numba float32"},
    }


def content_of(path: Path, roi: str | None = None) -> list[int | str] | None:
    """Size and digest of an input file, then name, size and digest of each file beside it that decides what is read,
    and of the file of its regions of interest, where `roi` of the settings names one.

    None for what is no file or cannot be read: its image will fail by name.
    """
    try:
        if not path.is_file():
            return None
        beside = [(one.name, *(fingerprint(one) or ())) for one in sidecars_of(path)]
        found = [*(fingerprint(path) or ()), *(value for one in beside for value in one)]
        return [*found, *rois_content(path, roi)]
    except OSError:
        return None


def rois_content(path: Path, roi: str | None) -> list[int | str]:
    """Name, size and digest of the file of an image's regions of interest; nothing where there is none."""
    try:
        file = roi_file(roi, path)
        return [] if file is None else [file.name, *(fingerprint(file) or ())]
    except (InputError, OSError):
        return []


def _processor() -> str:
    """Model of the CPU: results are the same to the bit on one type (DESIGN law 2)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        names = re.findall(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    except OSError:
        names = []
    return f"{platform.machine()} {names[0] if names else platform.processor()}".strip()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests, field by field, each as ``name: before -> now``.

    The same network or the same inputs in another place are no difference.
    """
    moved = old.get("network") == new.get("network")
    found = []
    for part in _COMPARED:
        if part == "inputs" and _contents(old) == _contents(new):
            continue
        before, now = (_fields(m.get(part)) for m in (old, new))
        for key in sorted({*before, *now}):
            name = f"{part}.{key}" if key else part
            if before.get(key) != now.get(key) and not (moved and name == "settings.network"):
                found.append(f"{name}: {before.get(key)} -> {now.get(key)}")
    return found


def _fields(part: Any) -> dict[str, Any]:
    return part if isinstance(part, dict) else {"": part}


def digest_of(manifest: Mapping[str, Any]) -> str:
    """BLAKE2b of a manifest without the places of its network and its inputs, whose digests it holds: they may move."""
    settings = {name: value for name, value in manifest.get("settings", {}).items() if name != "network"}
    placed = ("settings_digest", "inputs", "images")
    held = {name: value for name, value in manifest.items() if name not in placed} | {"settings": settings}
    held["images"] = _contents(manifest)
    return hashlib.blake2b(json.dumps(held, sort_keys=True).encode(), digest_size=16).hexdigest()


def _contents(manifest: Mapping[str, Any]) -> list[list[Any]]:
    """Of each image its id, its channel, and its input by content."""
    inputs = manifest.get("inputs", {})
    return [[i["image_id"], i["channel"], inputs.get(i["path"])] for i in manifest.get("images", [])]
