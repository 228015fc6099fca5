# SPDX-License-Identifier: Apache-2.0
"""Sums and elementwise products of sparse matrices, and products with scalars."""

from __future__ import annotations

from functools import reduce
from numbers import Number
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .containers.structural import structural
from .dtypes import check_value_dtype, promote
from .products import check_same_framework, dense_operand, sparse_operand

if TYPE_CHECKING:
    from .arrays import Adapter, Array
    from .containers import COOArray, CSRArray, SparseArray
    from .structure import Indices

S = TypeVar("S", bound="SparseArray")


def add(a: S, other: Any, sign: int, written: str) -> S:
    """A + B or A - B, canonical, in A's format; zeros that come out stay stored.

    ``written`` is how errors show the operation, for instance as "B - A".
    The number 0 adds nothing: Python's ``sum`` begins with it. Raises ValueError for different
    shapes, TypeError for a dense operand.
    """
    if isinstance(other, int | float) and other == 0:
        return a
    b = sparse_operand(other, "B")
    if b is None:
        raise TypeError(
            f"{written}: B is {type(other).__name__}, expected a sparse array; for a dense result "
            f"write {written.replace('A', 'A.todense()')}, and give SciPy's functions A.to_scipy()"
        )
    if a.shape != b.shape:
        raise ValueError(f"{written}: A has shape {a.shape} and B {b.shape}")
    check_same_framework(a, b)
    if a.format == "csc":
        return cast(S, add(a.T, b.T, sign, written).T)
    total = _add(a.tocsr(canonical=True), b.tocsr(canonical=True), sign)
    return cast(S, total.asformat(a.format))


@structural
def _add(a: CSRArray, b: CSRArray, sign: int) -> CSRArray:
    arrays = a._arrays
    pattern, (left, right) = a._pattern, promoted(arrays, a.data, b.data)
    if a._pattern is b._pattern:
        return a._made(pattern, left + right if sign > 0 else left - right)
    return a._made(*arrays.add(pattern, left, b._pattern, right, subtract=sign < 0))


def multiply(a: SparseArray, other: Any) -> SparseArray:
    """Elementwise product with a sparse or dense B; see `SparseArray.multiply`."""
    b = sparse_operand(other, "B")
    if b is not None:
        return _multiply_sparse(a, b)
    if _is_scalar(other):
        return scale(a, other, divide=False)
    dense = dense_operand(a, other, "B")
    if dense is None:
        raise TypeError(
            f"A.multiply(B): B is {type(other).__name__}, expected a sparse or dense array, or a "
            f"scalar"
        )
    return _multiply_dense(a, dense)


def _multiply_sparse(a: SparseArray, b: SparseArray) -> SparseArray:
    if a.shape != b.shape:
        raise ValueError(f"A.multiply(B): A has shape {a.shape} and B {b.shape}")
    check_same_framework(a, b)
    if a.format == "csc":
        return _multiply_sparse(a.T, b.T).T
    product = _intersection(a.tocsr(canonical=True), b.tocsr(canonical=True))
    return product.asformat(a.format)


@structural
def _intersection(a: CSRArray, b: CSRArray) -> CSRArray:
    arrays = a._arrays
    pattern, (x, y) = a._pattern, promoted(arrays, a.data, b.data)
    if a._pattern is b._pattern:
        return a._made(pattern, x * y)
    return a._made(*arrays.intersect(pattern, x, b._pattern, y))


@structural
def _multiply_dense(a: SparseArray, dense: Array) -> SparseArray:
    (m, n), shape = a.shape, tuple(dense.shape)
    if dense.ndim == 1:
        shape = 1, *shape
    if len(shape) != 2 or shape[0] not in (1, m) or shape[1] not in (1, n):
        raise ValueError(
            f"A.multiply(B): A has shape {a.shape} and B {tuple(dense.shape)}, expected {a.shape}, "
            f"{(n,)} or {(1, n)} for a factor a column, {(m, 1)} for one a row"
        )
    factors = a._arrays.take(dense.reshape(-1), _positions_in(shape, a.tocoo()))
    values, factors = promoted(a._arrays, a.data, factors)
    return a._with_data(a._arrays.freeze(values * factors))


def _positions_in(shape: tuple[int, ...], coo: COOArray) -> Indices:
    """Where a dense matrix of that shape, in memory by rows, has the element for each value."""
    if shape[0] > 1 and shape[1] > 1:
        return coo.row.astype(np.int64) * shape[1] + coo.col
    if shape[0] > 1:
        return coo.row
    return coo.col if shape[1] > 1 else np.zeros(coo.nnz, coo.index_dtype)


def promoted(arrays: Adapter, *values: Array) -> list[Array]:
    """Cast arrays to the dtype in which they meet."""
    dtype = reduce(promote, (arrays.dtype_name(x.dtype) for x in values))
    return [arrays.astype(x, dtype) for x in values]


def scale(a: S, factor: Any, divide: bool) -> S:
    """A * factor or A / factor.

    Python's numbers, and NumPy's integers, keep A's dtype; NumPy's floating and complex scalars
    promote.
    Raises TypeError for what is no scalar.
    """
    written = "A / B" if divide else "A * B"
    if isinstance(factor, np.ndarray) and factor.ndim == 0:
        factor = factor[()]
    if isinstance(factor, (np.integer, np.bool_)):
        factor = factor.item()
    elif isinstance(factor, np.generic):
        check_value_dtype(factor.dtype.name, f"{written}: B")
    if not _is_scalar(factor):
        raise TypeError(
            f"{written}: B is {type(factor).__name__}, expected a scalar; the "
            f"elementwise product is A.multiply(B), the matrix product A @ B"
        )
    data = a.data / factor if divide else a.data * factor
    check_value_dtype(a._arrays.dtype_name(data.dtype), f"{written}: the result")
    return a._with_data(a._arrays.freeze(data))


def _is_scalar(x: Any) -> bool:
    # Not all of NumPy's scalars are numbers to Python: those of bfloat16 and bool are not.
    return isinstance(x, (Number, np.generic)) or getattr(x, "shape", None) == ()


def power(a: SparseArray, n: Any) -> SparseArray:
    """Raise the elements of a canonical matrix to a power; see `SparseArray.power`."""
    if isinstance(n, bool) or not isinstance(n, int | float | np.integer | np.floating):
        raise TypeError(
            f"A ** n: n is {type(n).__name__}, expected a real number; the matrix product is A @ A"
        )
    if not n > 0:
        raise ValueError(
            f"A ** n: n = {n}, expected a positive number, since elements that are not stored "
            f"would become ones or infinite; take the power of A.todense()"
        )
    arrays = a._arrays
    exponent = n.item() if isinstance(n, np.generic) else n
    return a._with_data(arrays.freeze(arrays.astype(a.data**exponent, arrays.dtype_name(a.dtype))))
