"""What a screening writes, images.csv and summary.json of the whole cohort, and what it prints at its end."""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caml_dask.atomic import publish_if_new, sealed
from caml_dask.io.csv_text import csv_text
from caml_dask.io.manifest import Image
from caml_dask.runs.account import not_exported_in_words
from caml_dask.runs.key_figures import key_figures
from caml_dask.runs.session import made_with, summary_of
from caml_dask.screening.cohort import CHANNEL, FACTORS, Cohort
from caml_dask.screening.ledger import Entry, Ledger
from caml_dask.screening.monitoring import of_night, usual
from caml_dask.screening.nights import NIGHTS, Nights
from caml_dask.screening.survey import CohortImage

_SHOWN = 20


def _median(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda image: (image["medians"].get(name) or {}).get("median")


WATCHED: Mapping[str, Callable[[Mapping[str, Any]], float | None]] = {
    "localizations per image": lambda image: float(image["localizations"]),
    "percent clustered": lambda image: float(image["percent_clustered"]),
    "clusters per um2": lambda image: image["clusters_per_um2"],
    "points per cluster": _median("n_localizations"),
    "area (nm2)": _median("area_nm2"),
    "volume (nm3)": _median("volume_nm3"),
}
"""The figures of an image that are compared with earlier nights, from its entry in summary.json."""


@dataclass(frozen=True)
class Screened:
    """The outcome of a screening.

    root : its directory
    images : the entries of summary.json, in the order of the cohort
    new : image_ids analyzed in this call, or in the last one that analyzed any
    unusual : figures of those nights outside their usual range, a line each
    analyzed : number of images run in this call, whatever the outcome
    notes : folders that could not be listed, and patterns to acknowledge that match no failure, a line each
    unreadable : how many folders those are
    not_exported : image_id to reason, of images that are done but could not be exported
    """

    root: Path
    images: Sequence[Mapping[str, Any]]
    new: Sequence[str]
    unusual: Sequence[str]
    analyzed: int
    notes: Sequence[str] = ()
    unreadable: int = 0
    not_exported: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The images that could not be analyzed."""
        return [image for image in self.images if image["status"] == "failed"]

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some images failed or were not exported or a folder cannot be listed, 4 all failed; known
        failures do not count."""
        failed = [image for image in self.failed if not image["acknowledged"]]
        if not failed and not self.unreadable and not self.not_exported:
            return 0
        return 4 if failed and len(self.failed) == len(self.images) else 3


def state_of(item: CohortImage, ledger: Ledger) -> Entry | None:
    """The ledger's entry of an image; None if the image has to be analyzed."""
    return ledger.entries.get(item.key) or ledger.entries.get(item.failed_key)


def conclude(
    root: Path,
    cohort: Cohort,
    items: Sequence[CohortImage],
    ledger: Ledger,
    manifest: Mapping[str, Any],
    analyzed: int,
    acknowledge: Sequence[str] = (),
) -> Screened:
    """Write images.csv and summary.json, each only if it has changed.

    Parameters
    ----------
    cohort : as it was read.
    items : all its images, with those that are gone.
    manifest : of a run with tonight's settings and weights.
    analyzed : images run in this call.
    acknowledge : paths, or patterns of paths, of known failures; they are entered in the ledger.
    """
    entries = list(_entries(items, ledger, Nights(root)))
    folders = [
        f"cannot list the folder {folder}; its images are not screened: check its permissions"
        for folder in cohort.unreadable
    ]
    notes = [*folders, *_acknowledge(items, entries, ledger, acknowledge)]
    images = [
        {**entry, "acknowledged": entry["status"] == "failed" and item.failed_key in ledger.acknowledged}
        for item, entry in zip(items, entries, strict=True)
    ]
    new = [image["image_id"] for image in images if _night(image) in ledger.last]
    unusual = [line for night in ledger.last for line in _unusual_of(night, images)]
    publish_if_new(root / "images.csv", csv_text(_rows(cohort.factors, images)))
    whole = _strict({**made_with(manifest), "images": images, "unusual": unusual, "new": new, "notes": folders})
    publish_if_new(root / "summary.json", sealed(whole, indent=1))
    return Screened(root, images, new, unusual, analyzed, notes, len(cohort.unreadable))


def _entries(items: Sequence[CohortImage], ledger: Ledger, nights: Nights) -> Iterator[dict[str, Any]]:
    """The entries of summary.json; a content counts once, if possible for the file that it was read from."""
    owners: dict[str, CohortImage] = {}
    for item in items:
        done = ledger.entries.get(item.key)
        if done is not None and (item.key not in owners or str(item.path) == done.path):
            owners[item.key] = item
    for item in items:
        entry, owner = state_of(item, ledger), owners.get(item.key, item)
        about = {"path": str(item.path), "channel": item.channel, "factors": dict(item.factors)}
        if item.gone:
            yield _gone(entry, about)
        elif entry is None:
            yield _failed("", about, f"{item.path}: the file changed during this call: screen again to analyze it")
        elif owner is not item:
            yield _failed("", about, f"{item.path}: has the same content as {owner.path}: list only one of them")
        elif entry.reason is not None:
            yield _failed(entry.image_id, about, entry.reason)
        else:
            summary = summary_of(nights.run(entry.night), Image(entry.image_id))
            folder = f"{NIGHTS}/{entry.night}/{entry.image_id}"
            yield {**summary, "image_id": entry.image_id, **about, "status": "done", "folder": folder}


def _gone(entry: Entry | None, about: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an image that is no longer there; its earlier results are kept."""
    reason = (
        f"{about['path']}: found by an earlier call, now missing: restore it, or accept the loss with --forget-gone"
    )
    if entry is None or entry.reason is not None:
        return _failed("", about, reason)
    return _failed(entry.image_id, about, f"{reason}; its results are kept in {NIGHTS}/{entry.night}/{entry.image_id}")


def _acknowledge(
    items: Sequence[CohortImage], entries: Sequence[Mapping[str, Any]], ledger: Ledger, patterns: Sequence[str]
) -> Iterator[str]:
    """Enter acknowledged failures, and drop those that no longer occur; yields a line per pattern without a match."""
    failed = [item for item, entry in zip(items, entries, strict=True) if entry["status"] == "failed"]
    known = set(ledger.acknowledged) & {item.failed_key for item in failed}
    for pattern in patterns:
        matching = [item for item in failed if _is_called(item, pattern)] or [i for i in failed if _fits(i, pattern)]
        known |= {item.failed_key for item in matching}
        if not matching:
            yield f"--acknowledge {pattern} matches no failed image: give the path of one, its end, or a pattern"
    ledger.acknowledged = sorted(known)


def _is_called(item: CohortImage, name: str) -> bool:
    """Whether an image has this path, or one with this end, whatever its characters mean in a pattern."""
    return str(item.path) == os.path.realpath(name) or str(item.path).endswith(f"/{name}")


def _fits(item: CohortImage, pattern: str) -> bool:
    """Whether an image has a path, or one with an end, that this pattern matches."""
    path = str(item.path)
    return fnmatch.fnmatchcase(path, os.path.realpath(pattern)) or fnmatch.fnmatchcase(path, f"*/{pattern}")


def _failed(image_id: str, about: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {"image_id": image_id, **about, "status": "failed", "reason": reason, "folder": ""}


def _night(image: Mapping[str, Any]) -> str | None:
    """The night that an entry's results are from; None where it has none."""
    return image["folder"].split("/")[1] if image["folder"] else None


def _rows(factors: Sequence[str], images: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    others = [name for name in factors if name not in FACTORS]
    names, figures = key_figures(images, taken=factors)
    yield ["image_id", "path", *FACTORS, CHANNEL, *others, "status", "acknowledged", "reason", "folder", *names]
    for image, values in zip(images, figures, strict=True):
        of = image["factors"]
        about = [image["image_id"], image["path"], *(of[name] for name in FACTORS), image["channel"] or ""]
        known = "yes" if image["acknowledged"] else ""
        state = [image["status"], known, image.get("reason", ""), image["folder"]]
        yield [*about, *(of[name] for name in others), *state, *values]


def _strict(value: Any) -> Any:
    """The same value, with null for numbers that JSON cannot express."""
    if isinstance(value, Mapping):
        return {name: _strict(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unusual_of(night: str, images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Figures of a night outside the range of the earlier ones, by condition, in words."""
    for condition, nights in sorted(_by_condition(images).items()):
        if night not in nights:
            continue
        earlier = [nights[name] for name in sorted(nights) if name < night]
        for figure, value_of in WATCHED.items():
            now = of_night(map(value_of, nights[night]))
            expected = usual([of_night(map(value_of, before)) for before in earlier])
            if expected is not None and math.isfinite(now) and not expected.holds(now):
                yield (
                    f"{condition}, night {night}: {figure} {now:,.4g}, outside the usual range {expected.low:,.4g} to "
                    f"{expected.high:,.4g} (median of the {expected.nights} earlier nights: {expected.median:,.4g})"
                )


def _by_condition(images: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """The images that are done, by condition and night."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for image in images:
        night = _night(image)
        if night is not None:
            found.setdefault(image["factors"]["condition"], {}).setdefault(night, []).append(image)
    return found


def in_words(screened: Screened) -> str:
    """A short account: which images failed and why, what is unusual, how many are done, and where the results are."""
    lines = [
        f"failed{' (acknowledged)' if image['acknowledged'] else ''}: {image['reason']}"
        for image in screened.failed[:_SHOWN]
    ]
    if len(screened.failed) > _SHOWN:
        lines.append(f"... and {len(screened.failed) - _SHOWN} more, in images.csv")
    lines += not_exported_in_words(screened.not_exported)
    lines += [*screened.notes, *(f"unusual: {line}" for line in screened.unusual)]
    done = len(screened.images) - len(screened.failed)
    new = f"{screened.analyzed} image{'s'[: screened.analyzed != 1]} analyzed in this call"
    lines.append(f"{done} of {len(screened.images)} images done, {new if screened.analyzed else 'nothing was new'}")
    return "\n".join([*lines, f"results in {screened.root}"])
