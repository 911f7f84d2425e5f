"""Compiled layers over groups of rows: a row has a lane of the CPU's vectors, so that a weight once loaded serves all.

Arrays of a group are (places, ROWS) float32, C-ordered. Every sum runs over its places in order, apart for each row,
each product added with one rounding, so that a row's result depends on that row alone, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from caml_dask.compiled import njit

ROWS = 32 if "+avx512f" in get_host_cpu_features() else 8
"""Rows in a group. Eight sums of that many lanes fill the CPU's registers without running over: they hold 512 floats
with AVX-512, and 128 with AVX2 or on ARM."""
COLUMNS = 8
"""Sums of a layer that are taken together."""
RECTIFIED, LINEAR = np.float32(0), np.float32(-np.inf)
"""The least that a unit gives."""

_VECTOR = ir.VectorType(ir.FloatType(), ROWS)


class Lanes(types.Type):
    """One float32 of each row of a group, held in registers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any) -> None:
        super().__init__(manager, lanes, _VECTOR)


def _address(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    """Where the lanes of a place of a (places, ROWS) array stand."""
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.gep(data, [builder.mul(place, place.type(ROWS))])
    return builder.bitcast(first, _VECTOR.as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, place: Any) -> Any:
    """Lanes of a place of `array`, (places, ROWS) float32, C-ordered."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return LANES(array, types.intp), generate


@intrinsic
def store(typing_context: Any, value: Any, array: Any, place: Any) -> Any:
    """Write lanes to a place of `array`, (places, ROWS) float32, C-ordered."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[0], _address(context, builder, signature.args[1], *arguments[1:]), align=4)
        return context.get_dummy_value()

    return types.void(LANES, array, types.intp), generate


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """Lanes that all hold the float32 `value`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = ir.IntType(32)
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], index(0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index, ROWS), [0] * ROWS))

    return LANES(types.float32), generate


@intrinsic
def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once: half the instructions, and the same bits on every CPU. Lanes, or float32."""
    kind, name = (LANES, f"llvm.fma.v{ROWS}f32") if a == LANES else (types.float32, "llvm.fma.f32")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0].type
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(value, [value] * 3), name)
        return builder.call(function, arguments)

    return kind(kind, kind, kind), generate


@intrinsic
def larger(typing_context: Any, a: Any, b: Any) -> Any:
    """The larger of two lanes, each for itself."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return LANES(LANES, LANES), generate


@njit()
def raise_to(values, out):  # type: ignore[no-untyped-def]
    """Raise `out` to `values` where they are larger; both (n, ROWS)."""
    for j in range(values.shape[0]):
        store(larger(load(values, j), load(out, j)), out, j)


@njit()
def layer(values, kernel, bias, least, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (n, ROWS): bias plus kernel times `values`, (m, ROWS), RECTIFIED or LINEAR.

    `kernel`, (n / COLUMNS, m, COLUMNS), and `bias`, (n / COLUMNS, COLUMNS), are those that `packed` makes.
    """
    floor = splat(least)
    for p in range(kernel.shape[0]):
        columns, start, sums = kernel[p], bias[p], out[p * COLUMNS : (p + 1) * COLUMNS]
        a, b, c, d = splat(start[0]), splat(start[1]), splat(start[2]), splat(start[3])
        e, f, g, h = splat(start[4]), splat(start[5]), splat(start[6]), splat(start[7])
        for i in range(columns.shape[0]):
            x = load(values, i)
            a = multiply_add(splat(columns[i, 0]), x, a)
            b = multiply_add(splat(columns[i, 1]), x, b)
            c = multiply_add(splat(columns[i, 2]), x, c)
            d = multiply_add(splat(columns[i, 3]), x, d)
            e = multiply_add(splat(columns[i, 4]), x, e)
            f = multiply_add(splat(columns[i, 5]), x, f)
            g = multiply_add(splat(columns[i, 6]), x, g)
            h = multiply_add(splat(columns[i, 7]), x, h)
        store(larger(a, floor), sums, 0)
        store(larger(b, floor), sums, 1)
        store(larger(c, floor), sums, 2)
        store(larger(d, floor), sums, 3)
        store(larger(e, floor), sums, 4)
        store(larger(f, floor), sums, 5)
        store(larger(g, floor), sums, 6)
        store(larger(h, floor), sums, 7)


def packed(kernel: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of a layer as `layer` reads them: COLUMNS units after one another, the last ones filled up with zeros.

    Parameters
    ----------
    kernel : (m, n) or (width, channels, n) float32
        Weights of a dense layer, or of a convolution.
    bias : (n,) float32
        One a unit.

    Returns
    -------
    (p, m, COLUMNS) and (p, COLUMNS) float32, p the n units in groups of COLUMNS
    """
    units = bias.shape[0]
    groups = -(-units // COLUMNS)
    wide = np.pad(kernel.reshape(-1, units), ((0, 0), (0, groups * COLUMNS - units))).astype(np.float32)
    columns = np.ascontiguousarray(wide.reshape(-1, groups, COLUMNS).transpose(1, 0, 2))
    return columns, np.pad(bias, (0, groups * COLUMNS - units)).astype(np.float32).reshape(groups, COLUMNS)
