"""The factors of the images of a run, which records none, from the cohort that they belong to."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from caml_dask.screening.cohort import CHANNEL, Cohort, Member


def factors_of(
    entries: Sequence[Mapping[str, Any]], cohort: Cohort, table: Path
) -> tuple[list[tuple[Mapping[str, Any], Mapping[str, str]]], list[str]]:
    """Images with their factors, in the order of the cohort, those without a row last; and notes: a line for each of
    these, and for each row without an image.

    Parameters
    ----------
    entries : the images, as summary.json has them.
    cohort : what `table` lists.
    """
    paths = {Path(os.path.realpath(entry["path"])) for entry in entries}
    ranks = {member.place: rank for rank, member in enumerate(cohort.members)}
    found: list[tuple[int, Mapping[str, Any], Mapping[str, str]]] = []
    notes, used, moved = [], set(), 0
    for entry in entries:
        member = _member_of(entry["path"], entry["channel"] or "", cohort, paths)
        if member is None:
            notes.append(f"{entry['image_id']}: {entry['path']} is not in {table}, so it has no condition.")
            found.append((len(ranks), entry, {}))
            continue
        used.add(member.place)
        moved += member.path not in paths
        factors = {**member.factors, **({CHANNEL: member.channel} if member.channel else {})}
        found.append((ranks[member.place], entry, factors))
    for member in cohort.members:
        if member.place not in used:
            named = f"{member.path}, channel {member.channel}," if member.channel else str(member.path)
            notes.append(f"{table}, {member.place}: {named} is no image of these results.")
    if moved:
        notes.append(f"{moved} image{'s'[: moved != 1]} matched by file name, because the paths in {table} differ.")
    return [(entry, factors) for _, entry, factors in sorted(found, key=itemgetter(0))], notes


def _member_of(path: str, channel: str, cohort: Cohort, paths: Collection[Path]) -> Member | None:
    """The member that an image is, by its path or by its file name; None if none matches.

    A file name counts only if exactly one member, whose path is that of no image, and one file of the run have it.

    channel : the image's, where its file holds several; a member that names one is of that channel alone
    paths : of all files of the run, resolved
    """
    wanted = Path(os.path.realpath(path))
    mine = [member for member in cohort.members if member.path == wanted]
    if not mine and sum(other.name == wanted.name for other in paths) == 1:
        named = [member for member in cohort.members if member.path.name == wanted.name]
        mine = named if len({member.path for member in named}) == 1 else []
    return next((member for member in mine if not channel or member.channel in (None, channel)), None)
