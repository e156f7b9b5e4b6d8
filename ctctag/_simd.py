"""Vectors of 64 bytes for kernels: sixteen float32 or eight float64 in one register, with + - * / and fma.

Vectors of int32 and int64 hold exponents and bits of such floats: they have + - & |, shifts, and `choose`.

LLVM turns a plain inner loop into vector code only if it can prove that no store touches a later load, and
gives up where a kernel reads and writes a dozen places at once, as the transforms of a fast convolution do.
Here the kernel says itself what is one vector::

    a = load(x, i)              # x[i : i + lanes(x)], x one-dimensional and contiguous
    store(y, i, a * b + load(x, j))

An array handed to another kernel costs atomic counts of its references, and in a hot loop they cost more
than the arithmetic: there, hand on its `address`. The array must be an argument of the kernel, or part of
one, and so live on in the caller; one made in the kernel itself would end with its last use by name, which is
why `ctctag._jit.jit` refuses kernels that do both.

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

__all__ = [
    "address",
    "aligned",
    "as_float",
    "as_int",
    "choose",
    "count_bits",
    "fma",
    "gather",
    "lanes",
    "lanes_above",
    "larger",
    "load",
    "max_lanes",
    "pick",
    "power_of_two",
    "rint",
    "shift_left",
    "shift_right",
    "slide_back",
    "slide_in",
    "spread",
    "store",
    "sum_lanes",
    "to_int",
]

_BYTES = 64


def aligned(size: int, dtype: Any) -> Any:
    """Return a new one-dimensional array that starts at a whole cache line: a split vector costs twice."""
    bytes_wanted = size * np.dtype(dtype).itemsize
    memory = np.empty(bytes_wanted + _BYTES, np.uint8)
    start = -memory.__array_interface__["data"][0] % _BYTES
    return memory[start : start + bytes_wanted].view(dtype)


def lanes(like: Any) -> int:
    """Return how many values of an array, of its address, or of a vector make a vector."""
    return _BYTES // like.itemsize


class Vector(types.Type):
    """The Numba type of a vector."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = _BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


def _llvm(dtype: Any) -> ir.VectorType:
    bits = dtype.bitwidth
    floating = ir.FloatType() if bits == 32 else ir.DoubleType()
    return ir.VectorType(floating if isinstance(dtype, types.Float) else ir.IntType(bits), _BYTES * 8 // bits)


def _as_integers(dtype: types.Float) -> types.Integer:
    return types.int32 if dtype == types.float32 else types.int64


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, _llvm(fe_type.dtype))


def _pointer(context: Any, builder: Any, kind: Any, value: Any, index: Any) -> Any:
    if isinstance(kind, types.Array):
        value = cgutils.create_struct_proxy(kind)(context, builder, value=value).data
    return builder.gep(value, [index])


def _is_flat(kind: Any) -> bool:
    if not isinstance(kind, types.CPointer):
        return isinstance(kind, types.Array) and kind.ndim == 1 and kind.layout == "C" and _fits(kind.dtype)
    return _fits(kind.dtype)


def _fits(dtype: Any) -> bool:
    return dtype in (types.float32, types.float64, types.int32, types.int64, types.uint8)


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def address(array: Any) -> Any:
        """Return where a one-dimensional array lies; `load`, `store` and indexing take it for the array."""
        return array

    def gather(like: Any, array: Any, at: int, places: Any, index: int) -> Any:
        """Return the vector of ``array[at + p]``, p from ``places[index]`` on, in the dtype of `like`."""
        return array[at + places[index : index + lanes(like)]].astype(like.dtype)

    def lanes_above(a: Any, b: Any) -> int:
        """Return a number whose bit n is set where lane n of a is larger than that of b."""
        return int(((a > b) << np.arange(len(a))).sum())

    def count_bits(number: int) -> int:
        """Return how many bits of a number are set."""
        return number.bit_count()

    def slide_in(before: Any, vector: Any) -> Any:
        """Return the vector one lane on: the last value of `before`, then all but the last of `vector`."""
        return np.concatenate([before[-1:], vector[:-1]])

    def slide_back(vector: Any, after: Any) -> Any:
        """Return the vector one lane back: all but the first of `vector`, then the first of `after`."""
        return np.concatenate([vector[1:], after[:1]])

    def load(array: Any, index: int) -> Any:
        """Return the vector that starts at ``array[index]``."""
        return array[index : index + lanes(array)].copy()

    def store(array: Any, index: int, vector: Any) -> None:
        """Write a vector to where ``array[index]`` starts."""
        array[index : index + lanes(array)] = vector

    def spread(like: Any, value: float) -> Any:
        """Return a vector, of the dtype of an array, address or vector, of nothing but `value`."""
        return np.full(lanes(like), value, dtype=like.dtype)

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

    def choose(mask: Any, yes: Any, no: Any) -> Any:
        """Return `yes` where the integer in `mask` is not 0 and `no` elsewhere, lane by lane."""
        return np.where(mask != 0, yes, no)

    def as_int(vector: Any) -> Any:
        """Return the bits of a vector of floats as integers."""
        return vector.view(np.int32 if vector.dtype == np.float32 else np.int64)

    def as_float(vector: Any) -> Any:
        """Return the floats whose bits are the integers of a vector."""
        return vector.view(np.float32 if vector.dtype == np.int32 else np.float64)

    def to_int(vector: Any) -> Any:
        """Return whole numbers, given as floats, as integers."""
        return vector.astype(np.int32 if vector.dtype == np.float32 else np.int64)

    def rint(vector: Any) -> Any:
        """Return the nearest whole numbers, as floats."""
        return np.rint(vector)

    def shift_left(vector: Any, by: int) -> Any:
        """Return vector · 2^by, bits falling off at the top."""
        return vector << vector.dtype.type(by)

    def shift_right(vector: Any, by: int) -> Any:
        """Return vector / 2^by, rounded down."""
        return vector >> vector.dtype.type(by)

    def sum_lanes(vector: Any) -> Any:
        """Return the sum of a vector of floats: of its halves, then of theirs, down to one number."""
        while len(vector) > 1:
            vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
        return vector[0]

    def max_lanes(vector: Any) -> Any:
        """Return the largest of a vector of floats; unless NaN hides it, see `larger`."""
        while len(vector) > 1:
            vector = larger(vector[: len(vector) // 2], vector[len(vector) // 2 :])
        return vector[0]

else:

    @intrinsic
    def address(typingctx: Any, array: Any) -> Any:
        """Return where a one-dimensional array lies; `load`, `store` and indexing take it for the array."""
        if not (_is_flat(array) and isinstance(array, types.Array)):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return cgutils.create_struct_proxy(array)(context, builder, value=args[0]).data

        return types.CPointer(array.dtype)(array), codegen

    @intrinsic
    def gather(typingctx: Any, like: Any, array: Any, at: Any, places: Any, index: Any) -> Any:
        """Return the vector of ``array[at + p]``, p from ``places[index]`` on, in the dtype of `like`."""
        if not (_is_flat(like) and _is_flat(array) and _is_flat(places) and places.dtype == types.int64):
            return None
        vector = Vector(like.dtype)
        kind = _llvm(like.dtype)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start = _pointer(context, builder, array, args[1], args[2])
            place = _pointer(context, builder, places, args[3], args[4])
            given = _llvm(array.dtype).element
            result = ir.Constant(ir.VectorType(given, vector.lanes), ir.Undefined)
            for lane in range(vector.lanes):
                offset = builder.load(builder.gep(place, [ir.Constant(ir.IntType(64), lane)]))
                value = builder.load(builder.gep(start, [offset]))
                result = builder.insert_element(result, value, ir.Constant(ir.IntType(32), lane))
            return result if given == kind.element else builder.fpext(result, kind)

        return vector(like, array, types.int64, places, types.int64), codegen

    @intrinsic
    def lanes_above(typingctx: Any, a: Any, b: Any) -> Any:
        """Return a number whose bit n is set where lane n of a is larger than that of b."""
        if not (isinstance(a, Vector) and isinstance(a.dtype, types.Float) and a == b):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            above = builder.fcmp_ordered(">", *args)
            bits = builder.bitcast(above, ir.IntType(above.type.count))
            return builder.zext(bits, ir.IntType(64))

        return types.int64(a, b), codegen

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
    def spread(typingctx: Any, like: Any, value: Any) -> Any:
        """Return a vector, of the dtype of an array, address or vector, of nothing but `value`."""
        wanted = isinstance(like, Vector) or _is_flat(like)
        if not (wanted and isinstance(value, types.Float | types.Integer | types.Boolean)):
            return None
        vector = Vector(like.dtype)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            one = builder.insert_element(
                ir.Constant(_llvm(like.dtype), ir.Undefined), args[1], ir.Constant(ir.IntType(32), 0)
            )
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None)
            return builder.shuffle_vector(one, ir.Constant(one.type, ir.Undefined), zeros)

        return vector(like, like.dtype), codegen

    @intrinsic
    def count_bits(typingctx: Any, number: Any) -> Any:
        """Return how many bits of a number are set."""
        return types.int64(types.int64), lambda context, builder, signature, args: builder.ctpop(args[0])

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

    def _is_int(value: Any) -> bool:
        return isinstance(value.type.element, ir.IntType)

    def _emit_pick(builder: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
        compare = builder.icmp_signed if _is_int(a) else builder.fcmp_ordered
        return builder.select(compare(">", a, b), yes, no)

    def _converted(emit: Any, target: Any, source: Any, doc: str) -> Any:
        """Make an intrinsic of one vector whose result has another dtype."""

        @intrinsic
        def call(typingctx: Any, a: Any) -> Any:
            if not (isinstance(a, Vector) and isinstance(a.dtype, source)):
                return None
            result = Vector(target(a.dtype))
            kind = _llvm(result.dtype)
            return result(a), lambda context, builder, signature, args: emit(builder, args[0], kind)

        call.__doc__ = doc
        return call

    def _shifted(emit: Any, doc: str) -> Any:
        @intrinsic
        def call(typingctx: Any, a: Any, by: Any) -> Any:
            if not (isinstance(a, Vector) and isinstance(a.dtype, types.Integer)):
                return None

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                kind = args[0].type
                bits = kind.element.width
                by = builder.trunc(args[1], kind.element) if bits < 64 else args[1]
                one = builder.insert_element(
                    ir.Constant(kind, ir.Undefined), by, ir.Constant(ir.IntType(32), 0)
                )
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
                amount = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)
                return emit(builder, args[0], amount)

            return a(a, types.int64), codegen

        call.__doc__ = doc
        return call

    @intrinsic
    def choose(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
        """Return `yes` where the integer in `mask` is not 0 and `no` elsewhere, lane by lane."""
        if not (isinstance(mask, Vector) and isinstance(mask.dtype, types.Integer) and yes == no):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            wanted = builder.icmp_signed("!=", args[0], ir.Constant(args[0].type, None))
            return builder.select(wanted, args[1], args[2])

        return yes(mask, yes, no), codegen

    def _folded(emit: Any, doc: str) -> Any:
        """Make an intrinsic that joins the halves of a vector, then theirs, down to one number."""

        @intrinsic
        def call(typingctx: Any, a: Any) -> Any:
            if not (isinstance(a, Vector) and isinstance(a.dtype, types.Float)):
                return None

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                (value,) = args
                while value.type.count > 1:
                    half = value.type.count // 2
                    low, high = (
                        builder.shuffle_vector(
                            value,
                            ir.Constant(value.type, ir.Undefined),
                            ir.Constant(
                                ir.VectorType(ir.IntType(32), half), list(range(start, start + half))
                            ),
                        )
                        for start in (0, half)
                    )
                    value = emit(builder, low, high)
                return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

            return a.dtype(a), codegen

        call.__doc__ = doc
        return call

    def _emit_rint(builder: Any, a: Any) -> Any:
        kind = "f32" if a.type.element == ir.FloatType() else "f64"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(a.type, [a.type]), f"llvm.rint.v{a.type.count}{kind}"
        )
        return builder.call(function, [a])

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
    sum_lanes = _folded(
        lambda builder, a, b: builder.fadd(a, b),
        "Return the sum of a vector of floats: of its halves, then of theirs, down to one number.",
    )
    max_lanes = _folded(
        lambda builder, a, b: _emit_pick(builder, a, b, a, b),
        "Return the largest of a vector of floats; unless NaN hides it, see `larger`.",
    )
    rint = _elementwise(_emit_rint, 1, "Return the nearest whole numbers, as floats.")
    as_int = _converted(
        lambda builder, a, kind: builder.bitcast(a, kind),
        _as_integers,
        types.Float,
        "Return the bits of a vector of floats as integers.",
    )
    as_float = _converted(
        lambda builder, a, kind: builder.bitcast(a, kind),
        lambda dtype: types.float32 if dtype == types.int32 else types.float64,
        types.Integer,
        "Return the floats whose bits are the integers of a vector.",
    )
    to_int = _converted(
        lambda builder, a, kind: builder.fptosi(a, kind),
        _as_integers,
        types.Float,
        "Return whole numbers, given as floats, as integers.",
    )
    shift_left = _shifted(
        lambda builder, a, by: builder.shl(a, by), "Return vector · 2^by, bits falling off at the top."
    )
    shift_right = _shifted(lambda builder, a, by: builder.ashr(a, by), "Return vector / 2^by, rounded down.")

    def _slid(first: int) -> Any:
        """Emit the vector that starts at lane `first`, counted from the end if negative, of two in a row."""

        def emit(builder: Any, a: Any, b: Any) -> Any:
            count = a.type.count
            lanes = [first % count + lane for lane in range(count)]
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), count), lanes))

        return emit

    slide_in = _elementwise(
        _slid(-1),
        2,
        "Return the vector one lane on: the last value of `before`, then all but the last of `vector`.",
    )
    slide_back = _elementwise(
        _slid(1),
        2,
        "Return the vector one lane back: all but the first of `vector`, then the first of `after`.",
    )
    _and = _elementwise(lambda builder, a, b: builder.and_(a, b), 2, "Return a & b.")
    _or = _elementwise(lambda builder, a, b: builder.or_(a, b), 2, "Return a | b.")
    _add = _elementwise(
        lambda builder, a, b: (builder.add if _is_int(a) else builder.fadd)(a, b), 2, "Return a + b."
    )
    _subtract = _elementwise(
        lambda builder, a, b: (builder.sub if _is_int(a) else builder.fsub)(a, b), 2, "Return a - b."
    )
    _multiply = _elementwise(lambda builder, a, b: builder.fmul(a, b), 2, "Return a · b.")

    _divide = _elementwise(lambda builder, a, b: builder.fdiv(a, b), 2, "Return a / b.")

    @overload(lanes)
    def _overload_lanes(like):
        count = Vector(like.dtype).lanes
        return lambda like: count

    def _operator(symbol: Any, call: Any) -> None:
        @overload(symbol)
        def typed(a, b):
            if isinstance(a, Vector) and a == b:
                return lambda a, b: call(a, b)
            return None

    _operator(operator.add, _add)
    _operator(operator.sub, _subtract)
    _operator(operator.mul, _multiply)
    _operator(operator.truediv, _divide)
    _operator(operator.and_, _and)
    _operator(operator.or_, _or)
