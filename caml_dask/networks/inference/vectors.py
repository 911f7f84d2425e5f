"""Float32 vectors of the CPU for compiled code: every operation is one of each lane, rounded once."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model


class Vectors(NamedTuple):
    """Operations on vectors of one length.

    Attributes
    ----------
    load
        (array, place): the vector at a place of a (places, lanes) float32 array, C-ordered.
    store
        (value, array, place): write a vector to a place of such an array.
    splat
        (value): a vector whose lanes all hold a float32.
    multiply_add
        (a, b, c): a * b + c, rounded once: half the instructions, and the same bits on every CPU. Vectors, or float32.
    larger
        (a, b): the larger of two, lane by lane.
    plus
        (a, b): their sum.
    passed
        (gate, value): `value` where `gate` is positive, 0 elsewhere.
    """

    load: Any
    store: Any
    splat: Any
    multiply_add: Any
    larger: Any
    plus: Any
    passed: Any


@cache
def vectors(lanes: int) -> Vectors:
    """Operations on vectors of so many lanes.

    Parameters
    ----------
    lanes : int
        Length of the vectors; more than the CPU's registers hold are spread over several.

    Returns
    -------
    Vectors
        The operations.
    """
    vector = ir.VectorType(ir.FloatType(), lanes)
    zeros = ir.Constant(vector, [0.0] * lanes)

    class Lanes(types.Type):
        def __init__(self) -> None:
            super().__init__(name=f"Lanes{lanes}")

    kind = Lanes()

    @register_model(Lanes)
    class _LanesModel(models.PrimitiveModel):
        def __init__(self, manager: Any, lanes_type: Any) -> None:
            super().__init__(manager, lanes_type, vector)

    def address(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
        data = context.make_array(array_type)(context, builder, array).data
        first = builder.gep(data, [builder.mul(place, place.type(lanes))])
        return builder.bitcast(first, vector.as_pointer())

    @intrinsic
    def load(typing_context: Any, array: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(address(context, builder, signature.args[0], *arguments), align=4)

        return kind(array, types.intp), generate

    @intrinsic
    def store(typing_context: Any, value: Any, array: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[0], address(context, builder, signature.args[1], *arguments[1:]), align=4)
            return context.get_dummy_value()

        return types.void(kind, array, types.intp), generate

    @intrinsic
    def splat(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            index = ir.IntType(32)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[0], index(0))
            return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))

        return kind(types.float32), generate

    @intrinsic
    def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        of, name = (kind, f"llvm.fma.v{lanes}f32") if a == kind else (types.float32, "llvm.fma.f32")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = arguments[0].type
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(value, [value] * 3), name)
            return builder.call(function, arguments)

        return of(of, of, of), generate

    @intrinsic
    def larger(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, b = arguments
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        return kind(kind, kind), generate

    @intrinsic
    def plus(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fadd(*arguments)

        return kind(kind, kind), generate

    @intrinsic
    def passed(typing_context: Any, gate: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            gate, value = arguments
            return builder.select(builder.fcmp_ordered(">", gate, zeros), value, zeros)

        return kind(kind, kind), generate

    return Vectors(load, store, splat, multiply_add, larger, plus, passed)
