# SPDX-License-Identifier: Apache-2.0
"""Sums, norms and diagonals. Each is a segment sum over the stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arrays import Array
from .containers.structural import structural
from .dtypes import real_dtype

if TYPE_CHECKING:
    from .containers import SparseArray


def total(a: SparseArray, axis: int | None) -> Array:
    """Sum over an axis, or over everything."""
    if axis is None:
        return a._arrays.sum(a.data)
    if axis in (0, -2):
        return row_sums(a.T)
    if axis in (1, -1):
        return row_sums(a)
    raise ValueError(f"sum: axis = {axis!r}, expected None, 0 or 1")


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
    segments = np.searchsorted(row[stored], np.arange(first, last + 1)).astype(row.dtype)
    return a._arrays.segment_sum(csr.data, segments, stored)
