"""Vectors of 64 bytes for kernels: sixteen float32 or eight float64 in one register, with + - * / and fma.

LLVM turns a plain inner loop into vector code only if it can prove that no store touches a later load, and
gives up where a kernel reads and writes a dozen places at once, as the transforms of a fast convolution do.
Here the kernel says itself what is one vector::

    a = load(x, i)              # x[i : i + lanes(x)], x one-dimensional and contiguous
    store(y, i, a * b + load(x, j))

LLVM splits such a vector on processors whose registers are narrower. With ``NUMBA_DISABLE_JIT=1`` a vector is
a short NumPy array, and the same code runs.
"""

import operator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = ["fma", "lanes", "larger", "load", "pick", "power_of_two", "spread", "store"]

_BYTES = 64


def lanes(array: Any) -> int:
    """Return how many values of `array` make a vector."""
    return _BYTES // array.itemsize


class Vector(types.Type):
    """The Numba type of a vector."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.lanes = _BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


def _llvm(dtype: types.Float) -> ir.VectorType:
    scalar = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    return ir.VectorType(scalar, _BYTES * 8 // dtype.bitwidth)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, _llvm(fe_type.dtype))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.gep(data, [index])


def _is_flat(array: Any) -> bool:
    return (
        isinstance(array, types.Array)
        and array.ndim == 1
        and array.layout == "C"
        and array.dtype in (types.float32, types.float64)
    )


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def load(array: Any, index: int) -> Any:
        """Return the vector that starts at ``array[index]``."""
        return array[index : index + lanes(array)].copy()

    def store(array: Any, index: int, vector: Any) -> None:
        """Write a vector to where ``array[index]`` starts."""
        array[index : index + lanes(array)] = vector

    def spread(array: Any, value: float) -> Any:
        """Return a vector, of the dtype of `array`, of nothing but `value`."""
        return np.full(lanes(array), value, dtype=array.dtype)

    def fma(a: Any, b: Any, c: Any) -> Any:
        """Return a · b + c, rounded once."""
        return a * b + c

    def power_of_two(shifted: Any) -> Any:
        """Return 2^k of shifted = k + 1.5 · 2^m, k a whole number and m the bits of a mantissa."""
        bits, one = (np.int32, 0x3F800000) if shifted.dtype == np.float32 else (np.int64, 0x3FF << 52)
        shift = 23 if shifted.dtype == np.float32 else 52
        return ((shifted.view(bits) << bits(shift)) + bits(one)).view(shifted.dtype)

    def larger(a: Any, b: Any) -> Any:
        """Return the larger of two vectors, lane by lane; the second where they cannot be compared."""
        return np.where(a > b, a, b)

    def pick(a: Any, b: Any, yes: Any, no: Any) -> Any:
        """Return `yes` where a > b and `no` elsewhere, lane by lane."""
        return np.where(a > b, yes, no)

else:

    @intrinsic
    def load(typingctx: Any, array: Any, index: Any) -> Any:
        """Return the vector that starts at ``array[index]``."""
        if not (_is_flat(array) and isinstance(index, types.Integer)):
            return None
        vector = Vector(array.dtype)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, array, args[0], args[1])
            pointer = builder.bitcast(pointer, _llvm(array.dtype).as_pointer())
            value = builder.load(pointer, align=array.dtype.bitwidth // 8)
            return value

        return vector(array, types.intp), codegen

    @intrinsic
    def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
        """Write a vector to where ``array[index]`` starts."""
        if not (_is_flat(array) and isinstance(index, types.Integer) and value == Vector(array.dtype)):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, array, args[0], args[1])
            pointer = builder.bitcast(pointer, _llvm(array.dtype).as_pointer())
            builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(array, types.intp, value), codegen

    @intrinsic
    def spread(typingctx: Any, array: Any, value: Any) -> Any:
        """Return a vector, of the dtype of `array`, of nothing but `value`."""
        if not (_is_flat(array) and isinstance(value, types.Float | types.Integer)):
            return None
        vector = Vector(array.dtype)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            one = builder.insert_element(
                ir.Constant(_llvm(array.dtype), ir.Undefined), args[1], ir.Constant(ir.IntType(32), 0)
            )
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None)
            return builder.shuffle_vector(one, ir.Constant(one.type, ir.Undefined), zeros)

        return vector(array, array.dtype), codegen

    def _elementwise(emit: Any, operands: int, doc: str) -> Any:
        def typed(*vectors: Any) -> Any:
            if isinstance(vectors[0], Vector) and all(vector == vectors[0] for vector in vectors):
                return vectors[0](*vectors), lambda context, builder, signature, args: emit(builder, *args)
            return None

        if operands == 1:

            @intrinsic
            def call(typingctx: Any, a: Any) -> Any:
                return typed(a)
        elif operands == 2:

            @intrinsic
            def call(typingctx: Any, a: Any, b: Any) -> Any:
                return typed(a, b)
        elif operands == 3:

            @intrinsic
            def call(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
                return typed(a, b, c)
        else:

            @intrinsic
            def call(typingctx: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
                return typed(a, b, c, d)

        call.__doc__ = doc
        return call

    def _emit_pick(builder: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", a, b), yes, no)

    def _emit_power_of_two(builder: Any, shifted: Any) -> Any:
        single = shifted.type.element == ir.FloatType()
        whole = ir.IntType(32 if single else 64)
        kind = ir.VectorType(whole, shifted.type.count)
        shift = ir.Constant(kind, [23 if single else 52] * shifted.type.count)
        one = ir.Constant(kind, [0x3F800000 if single else 0x3FF << 52] * shifted.type.count)
        bits = builder.add(builder.shl(builder.bitcast(shifted, kind), shift), one)
        return builder.bitcast(bits, shifted.type)

    def _emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
        kind = "f32" if a.type.element == ir.FloatType() else "f64"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fma.v{a.type.count}{kind}"
        )
        return builder.call(function, [a, b, c])

    fma = _elementwise(_emit_fma, 3, "Return a · b + c, rounded once.")
    pick = _elementwise(_emit_pick, 4, "Return `yes` where a > b and `no` elsewhere, lane by lane.")
    larger = _elementwise(
        lambda builder, a, b: _emit_pick(builder, a, b, a, b),
        2,
        "Return the larger of two vectors, lane by lane; the second where they cannot be compared.",
    )
    power_of_two = _elementwise(
        _emit_power_of_two,
        1,
        "Return 2^k of shifted = k + 1.5 · 2^m, k a whole number and m the bits of a mantissa.",
    )
    _add = _elementwise(lambda builder, a, b: builder.fadd(a, b), 2, "Return a + b.")
    _subtract = _elementwise(lambda builder, a, b: builder.fsub(a, b), 2, "Return a - b.")
    _multiply = _elementwise(lambda builder, a, b: builder.fmul(a, b), 2, "Return a · b.")

    _divide = _elementwise(lambda builder, a, b: builder.fdiv(a, b), 2, "Return a / b.")

    @overload(lanes)
    def _overload_lanes(array):
        count = Vector(array.dtype).lanes
        return lambda array: count

    @overload(operator.add)
    def _overload_add(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: _add(a, b)
        return None

    @overload(operator.sub)
    def _overload_subtract(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: _subtract(a, b)
        return None

    @overload(operator.mul)
    def _overload_multiply(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: _multiply(a, b)
        return None

    @overload(operator.truediv)
    def _overload_divide(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: _divide(a, b)
        return None
