"""The images of a run or a screening, and how far each is prepared to be looked at."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caml_dask.errors import CamlError, OutputError, StoreError
from caml_dask.io.run_directory import EXPORTS
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult, open_run
from caml_dask.results.words import finder_of
from caml_dask.viewer.shelf import Prepared, Shelf

_OPEN = 6
"""Prepared images that are kept open: those asked for last."""
_log = logging.getLogger("caml_dask")


@dataclass
class _State:
    """How far an image is prepared."""

    begun: bool = False
    share: float = 0.0
    prepared: Prepared | None = None
    error: str | None = None


class Library:
    """What a run or a screening holds; one that is not finished yet is looked for again each time.

    Parameters
    ----------
    root : Path
        Its directory.
    cache : Path
        Where prepared images are kept.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self._root, self._shelf = root, Shelf(cache, root / EXPORTS)
        self._run: RunResult | None = None
        self._states: dict[tuple[str, str], _State] = {}
        self._lock = threading.Lock()

    def run(self) -> RunResult:
        """The results.

        Raises
        ------
        OutputError
            They are not finished.
        StoreError
            They are damaged.
        """
        with self._lock:
            if self._run is None:
                self._run = open_run(self._root)
            return self._run

    def reopened(self) -> RunResult:
        """The results as they are now; raises as :meth:`run`."""
        with self._lock:
            self._run = None
        return self.run()

    def listed(self) -> dict[str, Any]:
        """What the page says of the whole: its images with their figures and warnings, those that failed, or why it
        cannot be shown."""
        title = self._root.resolve().name
        try:
            run = self.reopened()
        except (OutputError, StoreError) as error:
            return {"title": title, "images": [], "error": str(error)}
        done = set(run.images)
        images = [listed(entry, entry["image_id"] in done) for entry in run.summary["images"]]
        return {"title": title, "images": images, "error": None}

    def picture(self, image_id: str) -> bytes | None:
        """A small picture of an image as PNG; None where there is none."""
        image = self.image(image_id)
        found = None if image is None else image.thumbnail
        return None if found is None else base64.b64decode(found.partition(",")[2])

    def image(self, image_id: str) -> ImageResult | None:
        """An image by its exact image_id; None where none that is done is called so."""
        images = self.run().images
        return images[image_id] if image_id in set(images) else None

    def state(self, image: ImageResult) -> dict[str, Any]:
        """How far an image is prepared; if it was not begun, it is now, in the background.

        Parameters
        ----------
        image : ImageResult
            One of :meth:`image`.

        Returns
        -------
        dict
            `state`: "ready", "preparing" with the `share` that is done, or "failed" with the `error`, which is said
            once; whoever asks again tries again.
        """
        key = image.image_id, image.digest
        with self._lock:
            state = self._opened(key)
            if state.error is not None:
                del self._states[key]
                return {"state": "failed", "error": state.error}
            if not state.begun:
                state.begun = True
                threading.Thread(target=self._prepare, args=(image, state), daemon=True).start()
        return {"state": "preparing", "share": state.share} if state.prepared is None else {"state": "ready"}

    def prepared(self, image: ImageResult) -> Prepared | None:
        """What was prepared of an image; None as long as it is not."""
        with self._lock:
            return self._opened((image.image_id, image.digest)).prepared

    def _opened(self, key: tuple[str, str]) -> _State:
        """How far an image is, opened if it was prepared before; who asks holds the lock."""
        state = self._states.pop(key, None) or _State()
        self._states[key] = state  # the latest is the last to go
        if not state.begun:
            state.prepared = self._shelf.ready(*key)
            state.begun = state.prepared is not None
        done = [(known, one.prepared) for known, one in self._states.items() if one.prepared is not None]
        for known, prepared in done[:-_OPEN]:
            prepared.pyramid.forget()
            del self._states[known]
        return state

    def _prepare(self, image: ImageResult, state: _State) -> None:
        def note(share: float) -> None:
            state.share = share

        try:
            state.prepared = self._shelf.prepare(image.image_id, image.digest, image.exportable, note)
        except (CamlError, OSError) as error:
            state.error = str(error)
            _log.warning("%s cannot be shown: %s", image.image_id, error)
        except Exception as error:
            state.error = f"a defect in the program ({type(error).__name__}: {error}): please report it"
            _log.exception("%s cannot be shown", image.image_id)


def listed(entry: Mapping[str, Any], done: bool) -> dict[str, Any]:
    """What the page says of one image of a summary."""
    found = {
        "image_id": entry["image_id"],
        "path": entry["path"],
        "status": entry["status"],
        "reason": entry.get("reason"),
        "factors": {name: value for name, value in entry.get("factors", {}).items() if value},
        "warnings": entry.get("warnings", []),
    }
    if not done:
        return found
    names = ("localizations", "percent_clustered", "clusters", "clusters_per_um2", "area_um2", "channel")
    by = " ".join(finder_of(entry["network"], entry.get("method")))
    p_value = (entry.get("csr_test") or {}).get("p_value")
    return found | {name: entry.get(name) for name in names} | {"by": by, "p_value": p_value}
