"""Images that no run measured, for tests of what a report makes of their figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from caml_dask.report.families import Family, families
from caml_dask.report.results import Measured, Results


def image(
    rng: np.random.Generator, number: int, factors: Mapping[str, str], size: float = 1.0, n: int = 30
) -> Measured:
    """An image of n clusters, whose areas have a median of about size times 1,000 nm2."""
    clusters = {
        "n_localizations": rng.integers(5, 30, n).astype(float),
        "area_nm2": size * 1000 * np.exp(0.4 * rng.normal(size=n)),
        "density_per_um2": rng.uniform(2000, 5000, n),
    }
    summary = {"localizations": 2000, "area_um2": float(rng.uniform(9, 11)), "clusters": n, "rows": 2000}
    return Measured(f"{number:04}_image", f"/in/{number}.csv", factors, Path(), summary, clusters)


def results(images: list[Measured]) -> Results:
    """What a report is made from."""
    return Results(Path(), tuple(images), (), {}, ())


def family(images: list[Measured], by: str = "condition") -> Family:
    """The only family of a cohort."""
    (found,), _ = families(results(images), by, ())
    return found


def cohort(seed: int = 0, conditions=("control", "treated"), replicates: int = 4, images: int = 3, shared: bool = True):
    """Images of conditions in replicates, whose clusters are larger from condition to condition.

    shared : whether every condition has images of the same replicates
    """
    rng = np.random.default_rng(seed)
    found = []
    for k, condition in enumerate(conditions):
        for r in range(replicates):
            size = (1 + 0.5 * k) * np.exp(0.3 * rng.normal())
            name = f"donor {r + 1}" if shared else f"donor {k}.{r + 1}"
            for _ in range(images):
                factors = {"condition": condition, "replicate": name}
                found.append(image(rng, len(found) + 1, factors, size))
    return found
