"""The rule by which the detections of an image are merged, as its stages keep and read it."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from caml_dask.blinking.estimate import Law
from caml_dask.blinking.pairs import median_precision_nm
from caml_dask.schema import arrow_schema
from caml_dask.settings import FixedRule, merge_rule
from caml_dask.stages.merging.tables import LAW, PRECISIONS
from caml_dask.stages.shared.work import Work


def put_law(work: Work, law: Law, median_nm: float | None) -> None:
    """Keep what was estimated."""
    row = asdict(law) | {"median_precision_nm": median_nm, "rates": law.rates.tolist(), "weights": law.weights.tolist()}
    work.put(LAW, 0, pa.Table.from_pylist([row], arrow_schema(LAW.columns)))


def law_of(work: Work) -> tuple[Law, float | None]:
    """What was estimated, and the median precision; None where precisions are not used."""
    row = work.get(LAW, 0).to_pylist()[0]
    median = row.pop("median_precision_nm")
    return Law(**row | {"rates": np.array(row["rates"]), "weights": np.array(row["weights"])}), median


def rule_of(work: Work) -> FixedRule | Law:
    """The rule by which detections are linked."""
    rule = merge_rule(work.settings.merge or "")
    return rule if isinstance(rule, FixedRule) else law_of(work)[0]


def is_estimated(work: Work) -> bool:
    """Whether the rule is estimated from the detections."""
    return work.settings.merge == "auto"


def median_precision(work: Work) -> float | None:
    """Median precision over all chunks, in nm; None where fewer than half of the detections have one."""
    facts = work.detection_facts()
    counts = sum(work.get(PRECISIONS, chunk)["count"].to_numpy() for chunk in range(facts["chunks"]))
    return median_precision_nm(np.asarray(counts), facts["finite"])
