"""Inputs that lie elsewhere, or have other names, than when their run began: known by their content."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any


def followed(stands: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest of a run that stands, with its inputs where they are now; None where they are not the same ones.

    Each image gets a file of the same content, and of several such files the one with its old path, or the first. An
    input that cannot be read has no content, and is known by its path alone.

    Parameters
    ----------
    stands, now : manifests of the run as it began, and of the one that would begin now.
    """
    waiting: dict[str, list[str]] = defaultdict(list)
    for image in now["images"]:
        waiting[_key(now, image)].append(image["path"])
    images = []
    in_place = [image["path"] in waiting[_key(stands, image)] for image in stands["images"]]
    order = sorted(range(len(in_place)), key=lambda number: not in_place[number])  # those of an old path come first
    for image in (stands["images"][number] for number in order):
        paths = waiting[_key(stands, image)]
        if not paths:
            return None
        paths.remove(path := image["path"] if image["path"] in paths else paths[0])
        images.append({**image, "path": path})
    if any(waiting.values()):
        return None
    place = {image["image_id"]: number for number, image in enumerate(stands["images"])}
    images.sort(key=lambda image: place[image["image_id"]])
    return {**stands, "images": images, "inputs": {i["path"]: now["inputs"].get(i["path"]) for i in images}}


def _key(manifest: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    content = manifest["inputs"].get(image["path"])
    return json.dumps([image["channel"], image["path"] if content is None else content])
