# SPDX-License-Identifier: Apache-2.0
"""Sums, norms and diagonals. Each is a segment sum over the stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array
from .containers.structural import structural
from .dtypes import accumulator, is_complex, real_dtype
from .structure import CooPattern, integer

if TYPE_CHECKING:
    from .containers import SparseArray


def check_options(function: str, out: Any, others: dict[str, Any]) -> None:
    """Raise TypeError with advice for an array that is to take the result, and unknown keywords."""
    for name in others:  # such as PyTorch's dim and keepdim
        raise TypeError(
            f"{function}: there is no argument {name!r}; write A.{function}(axis), with "
            f"keepdims=True to keep the axes"
        )
    if out is not None:
        raise TypeError(
            f"{function}: out is {type(out).__name__}, expected None; write out[...] = "
            f"A.{function}(axis)"
        )


def check_axis(function: str, axis: Any) -> None:
    """Raise ValueError unless it is one of a matrix, or None for all."""
    if axis is not None and not (isinstance(axis, int | np.integer) and -2 <= axis < 2):
        raise ValueError(f"{function}: axis = {axis!r}, expected 0, 1, or None for both")


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
    return col_sums(a) if axis in (0, -2) else row_sums(a)


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
    dtype = a._arrays.dtype_name(a.dtype)
    if is_complex(dtype):
        raise TypeError(
            f"{name}: A has dtype {dtype}; complex numbers have no order, the {name} of their "
            f"moduli is abs(A).{name}()"
        )
    if axis is None:
        return total_extreme(a, name)
    return row_extremes(a.T if axis in (0, -2) else a, name)


@structural
def total_extreme(a: SparseArray, name: str) -> Array:
    """Largest or smallest element of all."""
    values = a._canonical().data
    return a._arrays.extreme(values, name, len(values) < a.shape[0] * a.shape[1])


@structural
def row_extremes(a: SparseArray, name: str) -> Array:
    """Largest or smallest element of every row, shape (rows,)."""
    return a._arrays.row_extremes(a.tocsr(canonical=True), name)


@structural
def row_sums(a: SparseArray) -> Array:
    """Sum of every row, shape (rows,)."""
    return a._arrays.row_sums(a)


@structural
def col_sums(a: SparseArray) -> Array:
    """Sum of every column, shape (columns,)."""
    return a._arrays.row_sums(_turned(a))


@structural
def col_norms(a: SparseArray) -> Array:
    """Square root of the sum of squared moduli of every column, shape (columns,)."""
    return row_norms(_turned(a))


def _turned(a: SparseArray) -> SparseArray:
    """Transpose; of COO in order by way of its rows, as products take it."""
    structure = a._structure
    return a._csr().T if isinstance(structure, CooPattern) and structure.sorted else a.T


@structural
def row_norms(a: SparseArray) -> Array:
    """Square root of the sum of squared moduli of every row, shape (rows,)."""
    arrays, a = a._arrays, a._canonical()
    norms = arrays.sqrt(arrays.row_sums(a._with_data(arrays.absolute_square(a.data))))
    return arrays.astype(norms, real_dtype(arrays.dtype_name(a.dtype)))


@structural
def diagonal(a: SparseArray, k: int) -> Array:
    """Elements (i, i + k)."""
    k = integer(k, "diagonal: k")
    if a.format == "csc":
        return diagonal(a.T, -k)
    if not -a.shape[0] < k < a.shape[1]:
        return a._arrays.take(a.data, slice(0))
    return a._arrays.diagonal(a, k)
