"""The factors of an image of a run, which records none, from the cohort that it belongs to."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from caml_dask.screening.cohort import CHANNEL, Cohort


def factors_of(path: str, channel: str, cohort: Cohort, paths: Collection[Path]) -> Mapping[str, str] | None:
    """The factors of an image, found by its path or by its file name; None if no member matches.

    A file name counts only if exactly one member, whose path is that of no image, and one file of the run have it.

    channel : the image's, where its file holds several; a member that names one is of that channel alone
    paths : of all files of the run, resolved
    """
    wanted = Path(os.path.realpath(path))
    mine = [member for member in cohort.members if member.path == wanted]
    if not mine and sum(other.name == wanted.name for other in paths) == 1:
        named = [member for member in cohort.members if member.path.name == wanted.name]
        mine = named if len({member.path for member in named}) == 1 else []
    for member in mine:
        if not channel or member.channel in (None, channel):
            return {**member.factors, **({CHANNEL: member.channel} if member.channel else {})}
    return None
