"""What a card holds, declared once. Cards come in folders of users: anything else in one is refused, field by field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from caml_dask.networks.registry import KINDS, MOST_NEIGHBORS
from caml_dask.networks.spec import CLASSES, INPUT_FORMS, SUBSETS
from caml_dask.simulate import GRIDS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of networks: each is the stem of two files."""
MOST_CARD_BYTES = 1 << 20
_MOST_TEXT = 4_000
_MOST_COUNT = 10**12
_DIGEST = re.compile(r"[0-9a-f]{64}")

Check: TypeAlias = Callable[[Any, str], None]
"""Takes a value and the name of its field; raises ValueError where the value is another than the field may have."""


def checked(blob: bytes) -> dict[str, Any]:
    """A card's values from the bytes of its file.

    Parameters
    ----------
    blob : bytes
        Content of a card's file.

    Returns
    -------
    dict
        The card's values.

    Raises
    ------
    ValueError
        No JSON, or a field that is missing or holds another value than it may; the message names it.
    """
    try:
        found = json.loads(blob, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _fields(_CARD)(found, "")
    n = len(found["classes"])
    _list_of(_list_of(_COUNT, n, n), n, n)(found["results"]["test"]["confusion"], "results.test.confusion")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"it holds {text}: wanted finite numbers")


def _wrong(name: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"{name} is {value!r:.80}: wanted {wanted}")


def _text(value: Any, name: str) -> None:
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
        raise _wrong(name, value, f"a text of at most {_MOST_TEXT} printable characters")


def _matching(pattern: re.Pattern[str], wanted: str) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _wrong(name, value, wanted)

    return check


def _one_of(*values: Any) -> Check:
    def check(value: Any, name: str) -> None:
        if not any(type(value) is type(known) and value == known for known in values):
            raise _wrong(name, value, "one of " + ", ".join(map(repr, values)))

    return check


def _number(low: float, high: float, kind: type = float) -> Check:
    kinds = (int,) if kind is int else (int, float)
    wanted = f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}"

    def check(value: Any, name: str) -> None:
        if type(value) not in kinds or not math.isfinite(value) or not low <= value <= high:
            raise _wrong(name, value, wanted)

    return check


def _whole(low: int, high: int) -> Check:
    return _number(low, high, int)


def _list_of(check_each: Check, least: int, most: int) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise _wrong(name, value, f"a list of {least} to {most} values")
        for i, each in enumerate(value):
            check_each(each, f"{name}[{i}]")

    return check


def _span(low: float, high: float) -> Check:
    def check(value: Any, name: str) -> None:
        _list_of(_number(low, high), 2, 2)(value, name)
        if value[0] > value[1]:
            raise _wrong(name, value, "the lowest value, then the highest")

    return check


def _values_by_density(low: float, high: float) -> Check:
    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict) or not 1 <= len(value) <= 1_000:
            raise _wrong(name, value, "values by density")
        for key, each in value.items():
            _text(key, name)
            _number(low, high)(each, f"{name}.{key}")

    return check


def _fields(wanted: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """A mapping with these fields; others may stand beside them."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(name or "it", value, "a mapping of fields")
        for key, check_each in wanted.items():
            full = f"{name}.{key}" if name else key
            if key not in value:
                raise ValueError(f"{full} is missing")
            check_each(value[key], full)
        for key, check_each in (optional or {}).items():
            if key in value:
                check_each(value[key], f"{name}.{key}")

    return check


_SHARE = _number(0, 1)
_COUNT = _whole(0, _MOST_COUNT)
_RATES: dict[str, Check] = {
    "n": _COUNT,
    "accuracy": _SHARE,
    "f1": _SHARE,
    "precision": _SHARE,
    "recall": _SHARE,
    "balanced_accuracy_by_density_per_um2": _values_by_density(0, 1),
}
_CARD: dict[str, Check] = {
    "name": _matching(NAME, "letters, digits, '.', '_' and '-', at most 64"),
    "kind": _one_of(*KINDS),
    "weights_sha256": _matching(_DIGEST, "a SHA-256 of 64 hexadecimal digits"),
    "n_neighbors": _whole(1, MOST_NEIGHBORS),
    "dimensions": _one_of(2, 3),
    "classes": _one_of(*map(list, CLASSES)),
    "input_form": _one_of(*INPUT_FORMS),
    "architecture": _text,
    "origin": _text,
    "command": _text,
    "trained_on": _fields(
        {
            "points_per_cluster": _span(0, _MOST_COUNT),
            "percent_clustered": _span(0, 100),
            "contrast": _span(0, _MOST_COUNT),
        }
    ),
    "training": _fields(
        {
            "grid": _one_of(*GRIDS),
            "clusters": _one_of(*SUBSETS),
            "data": _text,
            "samples": _fields({"train": _COUNT}),
            "epochs": _whole(1, 1_000_000),
            "batch": _whole(1, _MOST_COUNT),
            "learning_rate": _number(1e-12, 1e6),
            "seed": _whole(0, 2**63),
            "kept_epoch": _whole(1, 1_000_000),
            "kept_by": _text,
            "losses_train_validation": _list_of(_list_of(_number(0, _MOST_COUNT), 2, 2), 1, 100_000),
        }
    ),
    "results": _fields(
        {
            "test": _fields(
                {
                    **_RATES,
                    "confusion": _list_of(_list_of(_COUNT, 2, 3), 2, 3),
                    "mixed_fields": _fields(_RATES),
                }
            ),
            "csr_percent_called_clustered_by_density_per_um2": _values_by_density(0, 100),
        },
        optional={
            "cross_validation": _fields(
                {
                    "folds": _whole(2, 1_000_000),
                    "samples": _COUNT,
                    "epochs": _whole(1, 1_000_000),
                    "mean": _SHARE,
                    "standard_deviation": _SHARE,
                }
            )
        },
    ),
}
