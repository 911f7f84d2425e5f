"""Networks of a user's own, as tests need them: a folder with a card and weights, without hours of training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.numpy

from caml_dask.networks import card, load_weights

Change = Callable[[dict[str, Any]], Any]


def write_network(
    folder: Path, name: str = "mine", scale: float = 1.0, change: Change | None = None, like: str = "XPILJZ"
) -> Path:
    """A folder with one network: weights of one that ships, times `scale`, under a card that pins them.

    change : edits the card's values in place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: array * array.dtype.type(scale) for key, array in load_weights(like).items()}
    blob = safetensors.numpy.save(weights)
    about = json.loads(json.dumps(card(like))) | {"name": name, "weights_sha256": hashlib.sha256(blob).hexdigest()}
    if change is not None:
        change(about)
    (folder / f"{name}.safetensors").write_bytes(blob)
    (folder / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder
