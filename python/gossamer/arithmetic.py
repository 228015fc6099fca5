# SPDX-License-Identifier: Apache-2.0
"""Sums of sparse matrices, and products with scalars."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .containers.structural import structural
from .dtypes import check_value_dtype, promote
from .products import check_same_framework, sparse_operand

if TYPE_CHECKING:
    from .containers import CSRArray, SparseArray

S = TypeVar("S", bound="SparseArray")


def add(a: SparseArray, other: Any, sign: int) -> Any:
    """A + B or A - B, canonical, in A's format; zeros that come out stay stored.

    Raises ValueError for different shapes, TypeError for a dense operand.
    """
    b = sparse_operand(other)
    operator = "+" if sign > 0 else "-"
    if b is None:
        raise TypeError(
            f"A {operator} B: B is {type(other).__name__}, expected a sparse array; for a dense "
            f"result write A.todense() {operator} B"
        )
    if a.shape != b.shape:
        raise ValueError(f"A {operator} B: A has shape {a.shape} and B {b.shape}")
    check_same_framework(a, b)
    if a.format == "csc":
        return add(a.T, b.T, sign).T
    return _add(a.tocsr(canonical=True), b.tocsr(canonical=True), sign).asformat(a.format)


@structural
def _add(a: CSRArray, b: CSRArray, sign: int) -> CSRArray:
    arrays = a._arrays
    dtype = promote(arrays.dtype_name(a.dtype), arrays.dtype_name(b.dtype))
    pattern, left, right = a._pattern, arrays.astype(a.data, dtype), arrays.astype(b.data, dtype)
    if a._pattern is not b._pattern:
        pattern, from_a, from_b = a._pattern.union(b._pattern)
        left, right = arrays.gather(left, from_a), arrays.gather(right, from_b)
    return a._made(pattern, left + right if sign > 0 else left - right)


def scale(a: S, factor: Any, divide: bool) -> S:
    """A * factor or A / factor.

    Python's numbers, and NumPy's integers, keep A's dtype; NumPy's floating and complex scalars
    promote.
    Raises TypeError for what is no scalar.
    """
    if isinstance(factor, (np.integer, np.bool_)):
        factor = factor.item()
    if not isinstance(factor, Number) and getattr(factor, "shape", None) != ():
        raise TypeError(
            f"A {'/' if divide else '*'} B: B is {type(factor).__name__}, expected a scalar; "
            f"elementwise products are not supported, the matrix product is A @ B"
        )
    data = a.data / factor if divide else a.data * factor
    check_value_dtype(a._arrays.dtype_name(data.dtype), "the result")
    return a._with_data(a._arrays.freeze(data))
