"""Clusters of many images in one table, with the factors of each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caml_dask.results.image import ImageResult

if TYPE_CHECKING:
    import pandas as pd

_OF_FACTOR = "factor_"


def pooled_clusters(images: Mapping[str, ImageResult]) -> pd.DataFrame:
    """The clusters of all images.

    Parameters
    ----------
    images : mapping of str to ImageResult
        By image_id.

    Returns
    -------
    pandas.DataFrame
        A row a cluster, in the order of the images: image_id, the channel where the input has some, the factors of a
        screening as text, then the columns of the clusters. A factor that is called like a column of clusters has
        `factor_` before its name. A column that only some images have is null in the others.
    """
    import pandas as pd

    tables = [_with_factors(image_id, image) for image_id, image in images.items()]
    if not tables:
        return pd.DataFrame({"image_id": pd.Series(dtype=object), "cluster_id": pd.Series(dtype="int64")})
    factors = dict.fromkeys(name for of_image, _ in tables for name in of_image)
    measures = dict.fromkeys(name for _, table in tables for name in table.columns)
    columns = {name: f"{_OF_FACTOR}{name}" if name in measures else name for name in factors}
    whole = pd.concat([table.assign(**_renamed(of_image, columns)) for of_image, table in tables], ignore_index=True)
    first = ["image_id", *columns.values()]
    return whole[[*first, *(name for name in measures if name not in first)]]


def _with_factors(image_id: str, image: ImageResult) -> tuple[dict[str, Any], pd.DataFrame]:
    channel = image.summary["channel"]
    factors = {**({} if channel is None else {"channel": channel}), **image.summary.get("factors", {})}
    return factors, image.clusters.assign(image_id=image_id)


def _renamed(factors: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    return {column: factors.get(name) for name, column in columns.items()}
