"""What a run prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caml_dask.results.words import figures_in_words
from caml_dask.runs.session import Outcome, entry_of

_SHOWN = 20


def tell(outcome: Outcome) -> str:
    """A short account of a run, one line per image, and where its results are."""
    images = outcome.run.images
    lines = [_line(entry_of(outcome.run, one, outcome.failed.get(one.image_id))) for one in images[:_SHOWN]]
    if len(images) > _SHOWN:
        lines.append(f"... and {len(images) - _SHOWN} more, in images.csv")
    lines += not_exported_in_words(outcome.not_exported)
    lines += _not_copied_in_words(outcome.not_copied)
    done = len(images) - len(outcome.failed)
    lines.append(f"{done} of {len(images)} images done; results in {outcome.run.root}")
    return "\n".join(lines)


def not_exported_in_words(reasons: Mapping[str, str]) -> list[str]:
    """Lines that say which images could not be exported, and why; reasons by image_id."""
    lines = [f"{name}: not exported: {reason}" for name, reason in list(reasons.items())[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"... and {len(reasons) - _SHOWN} more that were not exported")
    return lines


def _not_copied_in_words(reasons: Mapping[str, str]) -> list[str]:
    lines = [f"{name}: not copied: {reason}" for name, reason in list(reasons.items())[:_SHOWN]]
    if len(reasons) > _SHOWN:
        lines.append(f"... and {len(reasons) - _SHOWN} more that were not copied")
    return [*lines, *(["copy what is missing with --resume"] if reasons else [])]


def _line(image: dict[str, Any]) -> str:
    if image["status"] != "done":
        return f"{image['image_id']}: failed: {image['reason']}"
    size, unit = ("area", "nm2") if "area_nm2" in image["medians"] else ("volume", "nm3")
    median = image["medians"][f"{size}_{unit}"]
    text = f"{image['image_id']}: {figures_in_words(image)}"
    if median is not None:
        text += f", median {size} {median['median']:,.0f} {unit}"
    return "\n".join([text, *(f"  warning: {warning}" for warning in image["warnings"])])
