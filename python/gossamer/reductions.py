# SPDX-License-Identifier: Apache-2.0
"""Sums, norms and diagonals. Each is a segment sum over the stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array, host_adapter
from .containers.structural import structural
from .dtypes import accumulator, is_complex, real_dtype
from .structure import integer

if TYPE_CHECKING:
    from .containers import SparseArray


def check_no_out(function: str, out: Any) -> None:
    """Raise TypeError with advice for an array that is to take the result."""
    if out is not None:
        raise TypeError(
            f"{function}: out is {type(out).__name__}, expected None; write out[...] = "
            f"A.{function}(axis)"
        )


def check_axis(function: str, axis: Any) -> None:
    """Raise ValueError unless it is one of a matrix, or None for all."""
    if axis is not None and not (isinstance(axis, int | np.integer) and -2 <= axis < 2):
        raise ValueError(f"{function}: axis = {axis!r}, expected None, 0 or 1")


def with_axis(a: SparseArray, reduced: Array, axis: int | None, keepdims: bool) -> Array:
    """Return a reduction with the axes that were summed over left in, of length 1, if asked for."""
    if not keepdims:
        return reduced
    rows, cols = a.shape
    return reduced.reshape(
        (1 if axis in (None, 0, -2) else rows, 1 if axis not in (0, -2) else cols)
    )


def total(a: SparseArray, axis: int | None) -> Array:
    """Sum over an axis, or over everything."""
    check_axis("sum", axis)
    if axis is None:
        return a._arrays.sum(a.data)
    if axis in (0, -2):
        return row_sums(a.T)
    return row_sums(a)


def mean(a: SparseArray, axis: int | None) -> Array:
    """Mean over an axis, or over everything, divided before it is rounded to A's dtype."""
    check_axis("mean", axis)
    count = a.shape[0] * a.shape[1] if axis is None else a.shape[axis]
    arrays, name = a._arrays, a._arrays.dtype_name(a.dtype)
    return arrays.astype(total(a.astype(accumulator(name)), axis) / count, name)


def extreme(a: SparseArray, name: str, axis: int | None) -> Array:
    """Largest ("max") or smallest ("min") element, of everything or along an axis."""
    check_axis(name, axis)
    shape = a.shape[::-1] if axis in (0, -2) else a.shape
    if shape[1] == 0 or (axis is None and shape[0] == 0):
        raise ValueError(f"{name}: A of shape {a.shape} has no elements")
    if axis is None:
        return total_extreme(a, name)
    a = a.T if axis in (0, -2) else a
    # Negated, a largest element of 0 would be -0.
    return row_maxima(a) if name == "max" else 0 - row_maxima(-a)


@structural
def total_extreme(a: SparseArray, name: str) -> Array:
    """Largest or smallest element of all."""
    values = a.tocsr(canonical=True).data
    if len(values) < a.shape[0] * a.shape[1]:
        zero = a._arrays.gather(values, np.array([-1], np.int32))
        values = a._arrays.concatenate([values, zero])
    return getattr(values, name)()


@structural
def row_maxima(a: SparseArray) -> Array:
    """Largest element of every row, shape (rows,)."""
    arrays, csr = a._arrays, a.tocsr(canonical=True)
    name, pattern = arrays.dtype_name(a.dtype), csr._pattern.on_host()
    if is_complex(name):
        raise TypeError(f"max, min: A has dtype {name}; complex numbers have no order")
    lowest = np.where(np.diff(pattern.indptr) == a.shape[1], -np.inf, 0)
    initial = arrays.fromnumpy(host_adapter().astype(lowest, name))
    row = pattern.row_indices()
    return arrays.scatter_max(arrays.to(initial, a.device), row, csr.data)


@structural
def row_sums(a: SparseArray) -> Array:
    """Sum of every row, shape (rows,)."""
    pattern, values = a._by_rows()
    return a._arrays.segment_sum(values, pattern.row_segments, None)


@structural
def row_norms(a: SparseArray) -> Array:
    """Square root of the sum of squared moduli of every row, shape (rows,)."""
    arrays, csr = a._arrays, a.tocsr(canonical=True)
    squares = arrays.absolute_square(csr.data)
    norms = arrays.sqrt(arrays.segment_sum(squares, csr._pattern.row_segments, None))
    return arrays.astype(norms, real_dtype(arrays.dtype_name(a.dtype)))


@structural
def diagonal(a: SparseArray, k: int) -> Array:
    """Elements (i, i + k)."""
    k = integer(k, "diagonal: k")
    if a.format == "csc":
        return diagonal(a.T, -k)
    csr = a._csr()
    rows, cols = a.shape
    first, last = max(0, -k), min(rows, cols - k)
    if first >= last:
        return a._arrays.take(a.data, slice(0))
    row = csr._pattern.row_indices()
    # A sum that overflows turns negative, and so equals no column.
    stored = np.flatnonzero(csr.indices == row + row.dtype.type(k)).astype(row.dtype)
    segments = np.zeros(last - first + 1, row.dtype)
    np.cumsum(np.bincount(row[stored] - first, minlength=last - first), out=segments[1:])
    return a._arrays.segment_sum(csr.data, segments, stored)
