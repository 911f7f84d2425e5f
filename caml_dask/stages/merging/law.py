"""The rule by which the detections of an image are merged, as its stages keep and read it."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from caml_dask.blinking.law import Law
from caml_dask.blinking.pairs import Medians, median_precision_nm
from caml_dask.schema import arrow_schema
from caml_dask.settings import FixedRule, merge_rule
from caml_dask.stages.merging.tables import LAW, PRECISIONS
from caml_dask.stages.shared.work import Work


def put_law(work: Work, law: Law, medians: Medians) -> None:
    """Keep what was estimated."""
    row = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in (asdict(law) | asdict(medians)).items()
    }
    work.put(LAW, 0, pa.Table.from_pylist([row], arrow_schema(LAW.columns)))


def law_of(work: Work) -> tuple[Law, Medians]:
    """What was estimated, and the median precisions."""
    row = work.get(LAW, 0).to_pylist()[0]
    medians = Medians(row.pop("lateral_nm"), row.pop("axial_nm"))
    lists = {name: np.array(value) for name, value in row.items() if isinstance(value, list)}
    return Law(**row | lists), medians


def rule_of(work: Work) -> FixedRule | Law:
    """The rule by which detections are linked."""
    rule = merge_rule(work.settings.merge or "")
    return rule if isinstance(rule, FixedRule) else law_of(work)[0]


def is_estimated(work: Work) -> bool:
    """Whether the rule is estimated from the detections."""
    return work.settings.merge == "auto"


def median_precisions(work: Work) -> Medians:
    """Median precisions over all chunks; None where fewer than half of the detections have one."""
    facts = work.detection_facts()
    tables = [work.get(PRECISIONS, chunk) for chunk in range(facts["chunks"])]
    counts = (np.sum([table[name].to_numpy() for table in tables], axis=0) for name in ("count", "count_z"))
    return Medians(*(median_precision_nm(each, facts["finite"]) for each in counts))
