"""Filters of rows, such as ``uncertainty_nm < 20 and frame >= 500``: parsed by hand, never evaluated as Python.

.. code-block:: text

    filter      = conjunction { "or" conjunction }
    conjunction = condition { "and" condition }
    condition   = "not" condition | "(" filter ")" | comparison
    comparison  = operand operator operand { operator operand }
    operand     = column | "column in quotes" | number | 'text'
    operator    = "<" | "<=" | ">" | ">=" | "==" | "!="

``500 <= frame < 9000`` means ``500 <= frame and frame < 9000``. A comparison with a missing value (null or NaN) is
neither true nor false, as in SQL, and a row passes where the whole filter is true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from caml_dask.errors import InputError, UsageError

Truth = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
"""Which rows a condition is true of, and which it is false of; it is neither where a value is missing."""

_LONGEST, _DEEPEST = 4000, 40
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d][\w.]*)|"(?P<quoted>[^"]*)"|'(?P<text>[^']*)'
    |(?P<operator><=|>=|==|!=|<|>)|(?P<sign>[()])|(?P<other>\S))""",
    re.VERBOSE,
)
_HINTS = {
    "=": "write == for equal",
    "&": "write and",
    "|": "write or",
    "!": "write not, or != for unequal",
    "~": "write not",
    "`": 'put a name with blanks in double quotes, such as "sigma [nm]"',
    '"': "close the double quotes",
    "'": "close the quotes",
    **dict.fromkeys("+-*/%^", "values cannot be computed, only compared"),
}


@dataclass(frozen=True)
class _Column:
    name: str


_Operand = _Column | float | str


@dataclass(frozen=True)
class _Comparison:
    left: _Operand
    operator: str
    right: _Operand

    def truth(self, values: Mapping[str, pa.ChunkedArray]) -> Truth:
        operands = [_values(o, values) for o in (self.left, self.right)]
        (left, left_missing), (right, right_missing) = operands
        if isinstance(left, str | pa.ChunkedArray) != isinstance(right, str | pa.ChunkedArray):
            number, text = (self.right, self.left)[:: 1 if isinstance(left, str | pa.ChunkedArray) else -1]
            raise InputError(f"{_shown(text)} is text and {_shown(number)} a number: they cannot be compared")
        known = ~(left_missing | right_missing)
        if isinstance(left, str | pa.ChunkedArray):
            if self.operator not in ("==", "!="):
                raise InputError(f"text can be compared by == and !=, not by {self.operator}: {self}")
            equal = pc.equal(left, right).fill_null(False).to_numpy()
            found = equal if self.operator == "==" else ~equal
        else:
            found = _COMPARE[self.operator](left, right)
        return known & found, known & ~found

    def __str__(self) -> str:
        return f"{_shown(self.left)} {self.operator} {_shown(self.right)}"


@dataclass(frozen=True)
class _Not:
    part: _Condition

    def truth(self, values: Mapping[str, pa.ChunkedArray]) -> Truth:
        true, false = self.part.truth(values)
        return false, true


@dataclass(frozen=True)
class _Joined:
    """Conditions of which `every` one, or at least one, is wanted."""

    every: bool
    parts: tuple[_Condition, ...]

    def truth(self, values: Mapping[str, pa.ChunkedArray]) -> Truth:
        true, false = zip(*(part.truth(values) for part in self.parts), strict=True)
        all_of, any_of = np.logical_and.reduce, np.logical_or.reduce
        return (all_of(true), any_of(false)) if self.every else (any_of(true), all_of(false))


_Condition = _Comparison | _Not | _Joined


@dataclass(frozen=True)
class Filter:
    """A filter that was parsed.

    Parameters
    ----------
    text : str
        As the user wrote it.
    names : tuple of str
        The columns that it compares, each once, in the order of the text.
    condition : object
        What it says.
    """

    text: str
    names: tuple[str, ...]
    condition: _Condition

    def passing(self, values: Mapping[str, pa.ChunkedArray], path: Path | None = None) -> npt.NDArray[np.bool_]:
        """Which rows pass.

        Parameters
        ----------
        values : mapping of str to (n,) pyarrow.ChunkedArray
            The columns of `names`: numbers, truth values or text. Numbers are compared as float64, whole ones exactly.
        path : Path, optional
            The file, for the errors.

        Returns
        -------
        (n,) bool
            Whether the filter is true of a row.

        Raises
        ------
        InputError
            A text is compared with a number or by order, or a column holds neither text nor numbers.
        """
        try:
            return self.condition.truth(values)[0]
        except InputError as error:
            raise InputError(f"--where {self.text!r}: {error.message}", path) from None


@cache
def parse_filter(text: str) -> Filter:
    """Parse a filter by the grammar of this module.

    Parameters
    ----------
    text : str
        Such as ``uncertainty_nm < 20 and (frame >= 500 or photons > 300)``.

    Returns
    -------
    Filter
        The filter, ready to be applied to tables.

    Raises
    ------
    UsageError
        The text does not follow the grammar; the message says where, and what was wanted.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str):
        self._text = text
        self._at = self._depth = 0
        self._names: dict[str, None] = {}
        if len(text) > _LONGEST:
            raise UsageError(f"--where has {len(text):,} characters: give {_LONGEST:,} at most")

    def whole(self) -> Filter:
        if not self._text.strip():
            raise UsageError("--where is empty: give a comparison, such as 'uncertainty_nm < 20'")
        condition = self._filter()
        if self._peek() is not None:
            self._refuse("'and' or 'or'")
        return Filter(self._text, tuple(self._names), condition)

    def _filter(self) -> _Condition:
        return self._joined("or", self._conjunction)

    def _conjunction(self) -> _Condition:
        return self._joined("and", self._condition)

    def _joined(self, word: str, part: Callable[[], _Condition]) -> _Condition:
        parts = [part()]
        while self._take_word(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Joined(word == "and", tuple(parts))

    def _condition(self) -> _Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(f"--where has more than {_DEEPEST} parentheses or nots inside each other: simplify it")
        try:
            if self._take_word("not"):
                return _Not(self._condition())
            if not self._take("sign", "("):
                return self._comparison()
            inside = self._filter()
            if not self._take("sign", ")"):
                self._refuse("')', 'and' or 'or'")
            return inside
        finally:
            self._depth -= 1

    def _comparison(self) -> _Condition:
        operands, operators = [self._operand()], list[str]()
        while self._kind() == "operator":
            operators.append(self._next())
            operands.append(self._operand())
        if not operators:
            self._refuse("a comparison, such as < or ==,")
        found = list(map(_Comparison, operands, operators, operands[1:]))
        for comparison in found:
            if not any(isinstance(o, _Column) for o in (comparison.left, comparison.right)):
                raise UsageError(f"--where {self._text!r}: {comparison} compares no column")
        return found[0] if len(found) == 1 else _Joined(True, tuple(found))

    def _operand(self) -> _Operand:
        kind = self._kind()
        if kind == "number":
            return _number(self._next())
        if kind == "text":
            return self._next()
        if kind == "quoted" or (kind == "name" and not self._is_word("and", "or", "not")):
            name = self._next()
            self._names[name] = None
            return _Column(name)
        self._refuse("a column, a number or a 'text'")

    def _peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._at)

    def _kind(self) -> str | None:
        found = self._peek()
        return None if found is None else found.lastgroup

    def _next(self) -> str:
        found = self._peek()
        if found is None or found.lastgroup is None:
            raise AssertionError("a token is taken only where there is one")
        self._at = found.end()
        return found[found.lastgroup]

    def _take(self, kind: str, text: str) -> bool:
        found = self._peek()
        if found is None or found.lastgroup != kind or found[kind].lower() != text:
            return False
        self._at = found.end()
        return True

    def _take_word(self, word: str) -> bool:
        return self._take("name", word)

    def _is_word(self, *words: str) -> bool:
        found = self._peek()
        return found is not None and found.lastgroup == "name" and found["name"].lower() in words

    def _refuse(self, wanted: str) -> NoReturn:
        found = self._peek()
        after = f"after {self._text[: self._at].strip()!r} " if self._text[: self._at].strip() else ""
        came = "the text ends" if found is None else f"{found[0].strip()!r} came"
        hint = _HINTS.get(found["other"] or "", "") if found is not None else ""
        if found is not None and found.lastgroup == "number" and found["number"][0] in "+-":
            hint = _HINTS["-"]
        raise UsageError(
            f"--where {self._text!r}: {after}{wanted} is wanted, and {came}" + (f": {hint}" if hint else "")
        )


def _number(text: str) -> float:
    """A number of the text; a whole one as int, so that whole columns are compared with it exactly."""
    value = float(text)
    if abs(value) >= 2**63:
        return value
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else int(value) if value.is_integer() else value


def _values(operand: _Operand, values: Mapping[str, pa.ChunkedArray]) -> tuple[Any, Any]:
    """What an operand is in each row, and where it is missing: numbers as an array, text as Arrow's; or one for all."""
    if not isinstance(operand, _Column):
        return operand, np.False_
    column = values[operand.name]
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    kind, missing = column.type, column.is_null().to_numpy()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string()), missing
    if pa.types.is_null(kind):
        return np.zeros(len(column)), missing
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).fill_null(0).to_numpy(), missing
    if pa.types.is_integer(kind):
        return column.fill_null(0).to_numpy(), missing
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
        return numbers, missing | np.isnan(numbers)
    raise InputError(f"{operand.name!r} holds {kind}: only numbers and text can be compared")


def _shown(operand: _Operand) -> str:
    return operand.name if isinstance(operand, _Column) else repr(operand)
