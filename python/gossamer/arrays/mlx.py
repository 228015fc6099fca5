# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""MLX arrays.

Where MLX knows the elements, as it does under ``mx.grad``, ``mx.vjp`` and ``mx.jvp``, the engine
computes. While it records a program (``mx.compile``, ``mx.vmap``) there are none, and the same
operations are spelled out in MLX's own: then a product holds one intermediate of nnz × k elements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from .. import gradients
from ..dtypes import VALUE_DTYPES, accumulator, check_value_dtype
from ..structure import Pattern, Selection
from . import kernels
from .adapter import Array
from .differentiable import DifferentiableAdapter
from .numpy import adapter as numpy_adapter

_DTYPES = {
    "float16": mx.float16,
    "bfloat16": mx.bfloat16,
    "float32": mx.float32,
    "float64": mx.float64,
    "complex64": mx.complex64,
}


class MLXAdapter(DifferentiableAdapter):
    """Adapter of ``mlx.core.array``; products and what is structural can be differentiated."""

    ops = sys.modules[__name__]

    array_type = mx.array

    # ---- arrays --------------------------------------------------------------------------------

    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> Array:
        x = mx.array(x) if isinstance(x, list | tuple) else x
        if not isinstance(x, mx.array):
            raise TypeError(f"{argument} is {type(x).__name__}, expected an MLX array")
        check_value_dtype(_name(x.dtype), argument, dtypes)
        return x

    def dtype_name(self, dtype: Any) -> str:
        return _name(dtype) if isinstance(dtype, mx.Dtype) else numpy_adapter.dtype_name(dtype)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        return mx.zeros(shape, _dtype(dtype))

    def concatenate(self, arrays: list[Array]) -> Array:
        return mx.concatenate(arrays)

    def astype(self, x: Array, dtype: str) -> Array:
        return x.astype(_dtype(dtype))

    def copy(self, x: Array) -> Array:
        return mx.array(x)

    def tracks(self, x: Array) -> bool:
        return True  # under mx.grad an array looks like any other

    def tonumpy(self, x: Array) -> Any:
        try:
            return _elements(x)
        except ValueError:
            raise TypeError(
                "the elements of an array that MLX records cannot be read, and the structure of a "
                "sparse array depends on them; make the sparse array outside mx.compile and mx.vmap"
            ) from None

    def fromnumpy(self, x: Any) -> Array:
        name = x.dtype.name
        if name in ("bfloat16", "float8_e4m3fn"):
            bits = mx.array(x.view(f"u{x.itemsize}"))
            return bits.view(mx.bfloat16) if name == "bfloat16" else bits
        is_wide = name in ("float64", "complex128")  # which MLX would narrow
        return mx.array(x, dtype=_dtype(name)) if is_wide else mx.array(x)

    # ---- elementwise ---------------------------------------------------------------------------

    def conj(self, x: Array) -> Array:
        return conj(x)

    def absolute_square(self, x: Array) -> Array:
        if x.dtype == mx.complex64:
            return mx.square(mx.real(x)) + mx.square(mx.imag(x))
        return mx.square(self.astype(x, accumulator(_name(x.dtype))))

    def sqrt(self, x: Array) -> Array:
        return mx.sqrt(x)

    def sum(self, x: Array) -> Array:
        return mx.sum(self.astype(x, accumulator(_name(x.dtype)))).astype(x.dtype)

    def take(self, x: Array, positions: Any) -> Array:
        return x[positions if isinstance(positions, slice) else mx.array(positions)]

    def scatter_max(self, x: Array, positions: Any, values: Array) -> Array:
        # MLX scatters nothing into an array that is empty.
        return _scatter_max(x, mx.array(positions), values) if len(positions) else x


def _elements(x: Array) -> Any:
    """Return x as a read-only NumPy array; raise ValueError while MLX records it."""
    is_bfloat16 = x.dtype == mx.bfloat16
    elements = np.asarray(x.view(mx.uint16) if is_bfloat16 else x)
    elements.flags.writeable = False
    if not is_bfloat16:
        return elements
    import ml_dtypes

    return elements.view(ml_dtypes.bfloat16)


def conj(x: Array) -> Array:
    """Complex conjugate, which MLX's convention has in every gradient."""
    return mx.conjugate(x) if x.dtype == mx.complex64 else x


def cast_like(x: Array, other: Array) -> Array:
    """Cast to the dtype of another array."""
    return x.astype(other.dtype)


class _Operation:
    """An operation that is linear in each of its arrays, with its gradients in both modes.

    Parameters
    ----------
    tensors
        Number of arrays; they are the first arguments.
    run
        Computes it on NumPy arrays by the engine.
    recorded
        Spells it out in MLX's operations.
    rule
        Its adjoint in `gossamer.gradients`.
    """

    def __init__(
        self,
        tensors: int,
        run: Callable[..., Any],
        recorded: Callable[..., Array],
        rule: Callable[..., Array],
    ) -> None:
        self._tensors = tensors
        self._run = run
        self._recorded = recorded
        self._rule = rule

    def __call__(self, *arguments: Any) -> Array:
        arrays, static = arguments[: self._tensors], arguments[self._tensors :]

        @mx.custom_function
        def function(*arrays: Array) -> Array:
            try:
                host = [_elements(x) for x in arrays]
            except ValueError:  # MLX is recording: there is nothing to read
                return self._recorded(*arrays, *static)
            return adapter.fromnumpy(self._run(*host, *static))

        @function.vjp
        def vjp(primals: Any, cotangent: Array, output: Array) -> Any:
            arrays = primals if isinstance(primals, tuple | list) else (primals,)
            ops = sys.modules[__name__]
            results = [
                self._rule(ops, i, cotangent, *arrays, *static) for i in range(self._tensors)
            ]
            return tuple(results) if len(results) > 1 else results[0]

        @function.jvp
        def jvp(primals: Any, tangents: Any) -> Array:
            single = not isinstance(primals, tuple | list)
            arrays, moved = ((primals,), (tangents,)) if single else (primals, tangents)
            terms = [
                self(*arrays[:i], tangent, *arrays[i + 1 :], *static)
                for i, tangent in enumerate(moved)
                if tangent is not None
            ]
            return sum(terms[1:], terms[0])

        return function(*arrays)


def _scatter_max(x: Array, positions: Array, values: Array) -> Array:
    """Adapter's scatter_max by values; MLX's own gives each of equal elements all the gradient."""

    @mx.custom_function
    def raised(values: Array) -> Array:
        values = mx.stop_gradient(values)  # else mx.jvp asks for a rule of scatter's, too
        nan = mx.where(mx.isnan(values), values, 0)  # which MLX's maximum does not see
        return x.at[positions].maximum(values) + mx.zeros_like(x).at[positions].add(nan)

    def shares(values: Array, largest: Array) -> Array:
        ties = mx.isnan(values) | (values == largest[positions])
        counts = (x == largest).astype(mx.int32).at[positions].add(ties.astype(mx.int32))
        return ties.astype(values.dtype) / counts[positions].astype(values.dtype)

    @raised.vjp
    def vjp(values: Array, cotangent: Array, largest: Array) -> Array:
        return cotangent[positions] * shares(values, largest)

    @raised.jvp
    def jvp(values: Array, tangent: Array) -> Array:
        terms = tangent * shares(values, raised(values))
        return mx.zeros_like(x).at[positions].add(terms)

    return raised(values)


# ---- spelled out in MLX's operations ------------------------------------------------------------


def _recorded_matmul(
    values: Array, x: Array, pattern: Pattern, transpose: bool, swapped: bool
) -> Array:
    row, col = _coordinates(pattern)
    to, of = (col, row) if transpose else (row, col)
    if x.ndim > 1:
        x = mx.moveaxis(x, -1 if swapped else -2, 0)
    products = values.reshape(values.shape[0], *[1] * (x.ndim - 1)) * x[of]
    y = mx.zeros((pattern.cols if transpose else pattern.rows, *x.shape[1:]), x.dtype)
    y = _summed(y, to, products)
    return mx.moveaxis(y, 0, -1 if swapped else -2) if x.ndim > 1 else y


def _recorded_sddmm(u: Array, v: Array, pattern: Pattern) -> Array:
    row, col = _coordinates(pattern)
    if u.ndim == 1:
        return u[row] * v[col]
    products = mx.take(u, row, -2) * mx.take(v, col, -2)
    return products.sum([axis for axis in range(u.ndim) if axis != u.ndim - 2])


def _recorded_spgemm(*arguments: Any) -> Array:
    raise ValueError(
        "sparse @ sparse inside mx.compile and mx.vmap is not supported; multiply outside, or make "
        "one of them dense with A.todense()"
    )


def _recorded_segment_sum(values: Array, selection: Selection) -> Array:
    index_map, segments = selection.index_map, selection.segments
    if segments is None:
        assert index_map is not None
        padded = mx.concatenate([values, mx.zeros(1, values.dtype)])  # -1 takes the zero
        return padded[mx.array(index_map)]
    result = np.repeat(np.arange(selection.rows), np.diff(segments))
    first, last = int(segments[0]), int(segments[-1])
    terms = values[first:last] if index_map is None else values[mx.array(index_map[first:last])]
    return _summed(mx.zeros(selection.rows, values.dtype), mx.array(result), terms)


def _recorded_todense(values: Array, pattern: Pattern, transposed: bool) -> Array:
    row, col = _coordinates(pattern)
    dense = mx.zeros(kernels.dense_shape(pattern, transposed), values.dtype)
    return _summed(dense, (col, row) if transposed else (row, col), values)


def _recorded_sample(dense: Array, pattern: Pattern, transposed: bool) -> Array:
    row, col = _coordinates(pattern)
    return dense[col, row] if transposed else dense[row, col]


def _recorded_packed_matmul(*arguments: Any) -> Array:
    raise ValueError(
        "products of packed arrays inside mx.compile and mx.vmap are not supported; multiply "
        "outside, batches by x of rank 3 and more"
    )


def _summed(zeros: Array, positions: Any, terms: Array) -> Array:
    """Return zeros with the terms added at their positions; MLX refuses to add none to none."""
    return zeros.at[positions].add(terms) if terms.size else zeros


def _coordinates(pattern: Pattern) -> tuple[Array, Array]:
    return mx.array(pattern.row_indices()), mx.array(pattern.indices)


matmul = _Operation(2, kernels.matmul, _recorded_matmul, gradients.matmul)
sddmm = _Operation(2, kernels.sddmm, _recorded_sddmm, gradients.sddmm)
spgemm = _Operation(2, kernels.spgemm, _recorded_spgemm, gradients.spgemm)
segment_sum = _Operation(1, kernels.segment_sum, _recorded_segment_sum, gradients.segment_sum)
todense = _Operation(1, kernels.todense, _recorded_todense, gradients.todense)
sample = _Operation(1, kernels.sample, _recorded_sample, gradients.sample)
packed_matmul = _Operation(
    1, kernels.packed_matmul, _recorded_packed_matmul, gradients.packed_matmul
)
tracked_packed_matmul = _Operation(
    2, kernels.tracked_packed_matmul, _recorded_packed_matmul, gradients.tracked_packed_matmul
)


def _name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def _dtype(name: str) -> Any:
    if name not in _DTYPES:
        raise TypeError(
            f"MLX has no {name}; it has {', '.join(_DTYPES)} of the dtypes that Gossamer takes"
        )
    return _DTYPES[name]


adapter = MLXAdapter()
