"""Vectors of numbers, 64 bytes each, as one value in compiled code: sixteen of single precision or eight of double.

A kernel over ``Lanes`` reads like one over plain numbers, and does as many things at a time, for instance one in each
of sixteen problems: its sums stay in vector registers, which those of loops over the last axis of arrays do not. LLVM
splits a value where registers are shorter. Arrays keep the lanes as their last axis; ``get`` and ``put`` move one value
between them and registers.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, attr-defined"
from __future__ import annotations

import operator

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

LANES, DOUBLE_LANES = 16, 8
_FLAGS = ("contract", "reassoc", "nsz", "arcp")
_BYTE, _INT = ir.IntType(8), ir.IntType(32)


class Lanes(types.Type):
    """Numba's type of a vector of numbers, float32 or float64."""

    def __init__(self, number) -> None:
        super().__init__(f"Lanes({number})")
        self.number = number
        self.count = LANES if number == types.float32 else DOUBLE_LANES
        self.letter = f"v{self.count}f{number.bitwidth}"  # what LLVM calls it
        self.scalar = ir.FloatType() if number == types.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, self.count)

    def integers(self, value):
        """Return an integer in all lanes."""
        return ir.Constant(ir.VectorType(_INT, self.count), [value] * self.count)


_SINGLE, _DOUBLE = Lanes(types.float32), Lanes(types.float64)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


def _lanes_of(number):
    """Return the type of vectors of a Numba type of numbers."""
    return _DOUBLE if number == types.float64 else _SINGLE


def _vector(context, builder, kind, value, wanted):
    """Return a value as a vector: itself, or a number in all lanes."""
    if isinstance(kind, Lanes):
        return value
    nothing, zeros = ir.Constant(wanted.vector, ir.Undefined), wanted.integers(0)
    one = builder.insert_element(nothing, context.cast(builder, value, kind, wanted.number), ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, nothing, zeros)


def _vectors(emit, *kinds, result=None):
    """Return signature and code of an operation on vectors, and on numbers in their place; ``emit`` makes the code."""
    wanted = next((kind for kind in kinds if isinstance(kind, Lanes)), None) or _lanes_of(kinds[0])

    def generate(context, builder, signature, values):
        vectors = (_vector(context, builder, *each, wanted) for each in zip(signature.args, values, strict=True))
        return emit(builder, wanted, *vectors)

    return (result(wanted) if result else wanted)(*kinds), generate


def _known(name):
    """Return an emitter of one of LLVM's own functions on vectors."""

    def emit(builder, kind, *vectors):
        function = ir.FunctionType(kind.vector, [kind.vector] * len(vectors))
        return builder.call(
            cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{kind.letter}"), vectors
        )

    return emit


def _address(context, builder, kind, array, index):
    """Return where the lanes of an array with this index are; the index leaves out the last axis."""
    view = context.make_array(kind)(context, builder, array)
    offset = ir.Constant(context.get_value_type(types.intp), 0)
    for position, stride in zip(
        cgutils.unpack_tuple(builder, index), cgutils.unpack_tuple(builder, view.strides), strict=False
    ):
        offset = builder.add(offset, builder.mul(position, stride))
    start = builder.gep(builder.bitcast(view.data, _BYTE.as_pointer()), [offset], inbounds=True)
    return builder.bitcast(start, _lanes_of(kind.dtype).vector.as_pointer())


@intrinsic
def get(_, array, *index):
    """Return the lanes array[index], where ``index`` leaves out the last axis."""

    def generate(context, builder, signature, values):
        return builder.load(_address(context, builder, signature.args[0], *values), align=4)

    return _lanes_of(array.dtype)(array, types.StarArgTuple(index)), generate


@intrinsic
def put(_, value, array, *index):
    """Set the lanes array[index] to a value, where ``index`` leaves out the last axis."""

    def generate(context, builder, signature, values):
        vector = _vector(context, builder, signature.args[0], values[0], _lanes_of(array.dtype))
        builder.store(vector, _address(context, builder, signature.args[1], *values[1:]), align=4)
        return context.get_dummy_value()

    return types.void(value, array, types.StarArgTuple(index)), generate


def _operators(emit, *symbols):
    """Give Lanes operators that do the same, also with a number on either side."""

    @intrinsic
    def operation(_, a, b):
        return _vectors(emit, a, b)

    def implementation(a, b):
        some = [kind for kind in (a, b) if isinstance(kind, Lanes)]
        if some and all(kind == some[0] or isinstance(kind, types.Number) for kind in (a, b)):
            return lambda a, b: operation(a, b)
        return None

    for symbol in symbols:
        overload(symbol)(implementation)


_operators(lambda builder, _, a, b: builder.fadd(a, b, flags=_FLAGS), operator.add, operator.iadd)
_operators(lambda builder, _, a, b: builder.fsub(a, b, flags=_FLAGS), operator.sub, operator.isub)
_operators(lambda builder, _, a, b: builder.fmul(a, b, flags=_FLAGS), operator.mul, operator.imul)
_operators(lambda builder, _, a, b: builder.fdiv(a, b, flags=_FLAGS), operator.truediv, operator.itruediv)


@intrinsic
def lanes(_, number):
    """Return a number in all lanes, of its own precision."""
    return _vectors(lambda builder, _, a: a, number)


@intrinsic
def larger(_, a, b):
    """Return the larger of two values, lane by lane; the first where either is not a number."""
    return _vectors(lambda builder, _, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a), a, b)


@intrinsic
def smaller(_, a, b):
    """Return the smaller of two values, lane by lane; the first where either is not a number."""
    return _vectors(lambda builder, _, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a), a, b)


@intrinsic
def multiply_add(_, a, b, c):
    """Return a b + c, rounded once."""
    return _vectors(_known("fma"), a, b, c)


@intrinsic
def choose(_, a, b, yes, no):
    """Return ``yes`` in lanes where a > b, elsewhere ``no``."""

    def emit(builder, _, a, b, yes, no):
        return builder.select(builder.fcmp_ordered(">", a, b), yes, no)

    return _vectors(emit, a, b, yes, no)


@intrinsic
def any_greater(_, a, b):
    """Return whether a > b in any lane."""

    def emit(builder, kind, a, b):
        bits = ir.IntType(kind.count)
        return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_ordered(">", a, b), bits), ir.Constant(bits, 0))

    return _vectors(emit, a, b, result=lambda _: types.boolean)


@intrinsic
def total(_, a):
    """Return the sum over the lanes, a number."""

    def emit(builder, kind, a):
        function = ir.FunctionType(kind.scalar, [kind.scalar, kind.vector])
        name = f"llvm.vector.reduce.fadd.{kind.letter}"
        start = ir.Constant(kind.scalar, 0.0)
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [start, a], fastmath=_FLAGS)

    return _vectors(emit, a, result=lambda kind: kind.number)


@intrinsic
def _floor(_, a):
    return _vectors(_known("floor"), a)


@intrinsic
def _power_of_two(_, whole):
    """Return 2^whole in single precision, for whole numbers from -126 to 127."""

    def emit(builder, kind, a):
        biased = builder.add(builder.fptosi(a, kind.integers(0).type), kind.integers(127))
        return builder.bitcast(builder.shl(biased, kind.integers(23)), kind.vector)

    return _vectors(emit, whole)


@intrinsic
def _exponent(_, a):
    """Return the whole number e for which a / 2^e lies between the root of 1/2 and of 2, in single precision."""

    def emit(builder, kind, a):
        beyond = builder.sub(builder.bitcast(a, kind.integers(0).type), kind.integers(_ROOT_OF_HALF))
        return builder.sitofp(builder.ashr(beyond, kind.integers(23)), kind.vector)

    return _vectors(emit, a)


@intrinsic
def _mantissa(_, a, whole):
    """Return a / 2^whole in single precision, where that lies between the root of 1/2 and of 2."""

    def emit(builder, kind, a, whole):
        bits, exponent = builder.bitcast(a, kind.integers(0).type), builder.fptosi(whole, kind.integers(0).type)
        return builder.bitcast(builder.sub(bits, builder.shl(exponent, kind.integers(23))), kind.vector)

    return _vectors(emit, a, whole)


_ROOT_OF_HALF = int(np.float32(0.5**0.5).view(np.int32))
_F = np.float32
# Minimax polynomials of Moshier's Cephes library, expf and logf, highest power first.
_EXP = tuple(
    _F(each) for each in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
)
_LOG = tuple(
    _F(each)
    for each in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
# log 2 in two parts, of which the first has few digits, so that a whole number times it is exact.
_LOG_2_HIGH, _LOG_2_LOW, _LOG_2_INVERSE = _F(0.693359375), _F(-2.12194440e-4), _F(1.44269504)
_LEAST_EXP, _MOST_EXP, _LEAST_LOG = _F(-87.0), _F(88.0), _F(np.finfo(np.float32).tiny)
_HALF, _ONE, _MINUS = _F(0.5), _F(1.0), _F(-1.0)


@numba.njit(cache=True)
def exp(x):
    """Return e^x of single precision to a few units in the last place; x is held between -87 and 88; NaN stays."""
    x = smaller(larger(x, _LEAST_EXP), _MOST_EXP)
    whole = _floor(multiply_add(x, _LOG_2_INVERSE, _HALF))
    x = multiply_add(whole, -_LOG_2_LOW, multiply_add(whole, -_LOG_2_HIGH, x))
    y = lanes(_EXP[0])
    for coefficient in _EXP[1:]:
        y = multiply_add(y, x, coefficient)
    return (multiply_add(y, x * x, x) + _ONE) * _power_of_two(whole)


@numba.njit(cache=True)
def log(x):
    """Return the natural logarithm, of single precision, to a few units in the last place.

    x is held above 1e-38; NaN and infinity give NaN.
    """
    no_number = x * _F(0.0)
    x = larger(x, _LEAST_LOG)
    whole = _exponent(x)
    x = _mantissa(x, whole) - _ONE
    y = lanes(_LOG[0])
    for coefficient in _LOG[1:]:
        y = multiply_add(y, x, coefficient)
    y = multiply_add(y, x * x * x, x * x * -_HALF)
    return x + multiply_add(whole, _LOG_2_HIGH, multiply_add(whole, _LOG_2_LOW, y)) + no_number


@numba.njit(cache=True)
def log_1_plus(x):
    """Return log(1 + x) for x >= 0, also of tiny ones."""
    y = multiply_add(x, _ONE, _ONE)
    rounded = multiply_add(y, _ONE, _MINUS)  # what of x is in y; sums may be reordered, this may not
    return log(y) + (x - rounded) / y


@numba.njit(cache=True)
def get_complex(array, row, column):
    """Return the real and the imaginary part of array[row, column], of an array that ends in [2, LANES]."""
    return get(array, row, column, 0), get(array, row, column, 1)


@numba.njit(cache=True)
def put_complex(value, array, row, column):
    """Set the real and the imaginary part of array[row, column]."""
    put(value[0], array, row, column, 0)
    put(value[1], array, row, column, 1)


@numba.njit(cache=True)
def plus_product(whole, x, y):
    """Return whole + x y of complex numbers."""
    return whole[0] + x[0] * y[0] - x[1] * y[1], whole[1] + x[0] * y[1] + x[1] * y[0]


@numba.njit(cache=True)
def plus_product_with_conjugate(whole, x, y):
    """Return whole + x conj(y) of complex numbers."""
    return whole[0] + x[0] * y[0] + x[1] * y[1], whole[1] + x[1] * y[0] - x[0] * y[1]


@numba.njit(cache=True)
def inner(x, y):
    """Return the real part of x times the conjugate of y."""
    return x[0] * y[0] + x[1] * y[1]
