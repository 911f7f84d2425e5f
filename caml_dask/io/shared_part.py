"""What workers read of a run: a small file of what all images share. Their own images come with their units.

The manifest grows with the images; each worker would read all of it for the few that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from caml_dask.atomic import publish_json, read_json
from caml_dask.io.manifest import Image
from caml_dask.io.run_directory import HIDDEN, SHARED_PART, Run, settings_in
from caml_dask.seen import awaited

Part: TypeAlias = tuple[Image, Any]
"""An image and the content of its input, as the manifest has it."""
_OF_IMAGES = ("inputs", "images")


def publish_shared_part(run: Run) -> None:
    """Write what all images of a run share, for its workers."""
    shared = {name: value for name, value in run.manifest.items() if name not in _OF_IMAGES}
    publish_json(run.root / HIDDEN / SHARED_PART, {**shared, "digest": run.digest})


def open_shared_part(root: Path) -> Run:
    """The run in a directory without its images, from a file that its folder lists.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError : it cannot be read, or is damaged.
    """
    shared = awaited(root / HIDDEN / SHARED_PART, read_json)
    digest = shared.pop("digest")
    return Run(root, settings_in(shared), (), shared, digest)


def part_of(run: Run, index: int) -> Part:
    """What a worker is given of an image."""
    image = run.images[index]
    return image, run.manifest["inputs"].get(image.source)


def with_parts(shared: Run, parts: Iterable[Part]) -> Run:
    """A run of some of its images, in the order given."""
    parts = tuple(parts)
    inputs = {image.source: content for image, content in parts}
    return replace(shared, images=tuple(image for image, _ in parts), manifest={**shared.manifest, "inputs": inputs})
