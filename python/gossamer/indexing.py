# SPDX-License-Identifier: Apache-2.0
"""Reading elements, rows and columns."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .containers.structural import structural

if TYPE_CHECKING:
    from .containers import CSRArray, SparseArray


#: Start, stop and step of a range.
Bounds = tuple[int, int, int]


def getitem(a: SparseArray, key: Any) -> Any:
    """A[i, j] is a scalar; with a slice, or with A[i], a container in A's format."""
    row_key, col_key = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
    rows = _positions(row_key, a.shape[0], "row")
    cols = _positions(col_key, a.shape[1], "column")
    if isinstance(row_key, slice) or isinstance(col_key, slice):
        bounds = [(taken.start, taken.stop, taken.step) for taken in (rows, cols)]
        return _submatrix(a, *bounds)
    return _element(a, rows.start, cols.start)


def _positions(key: Any, length: int, axis: str) -> range:
    """Rows or columns that an index or a slice names."""
    if isinstance(key, slice):
        return range(*key.indices(length))
    try:
        if isinstance(key, bool | np.bool_):
            raise TypeError
        index = operator.index(key)
    except TypeError:
        raise TypeError(
            f"A[...]: the {axis} index is {key!r}, expected an integer or a slice; "
            f"A[i], A[i:j], A[i:j, k:l] and A[i, j] are supported"
        ) from None
    if not -length <= index < length:
        raise IndexError(f"A[...]: {axis} {index} is out of range for {length} {axis}s")
    return range(index % length, index % length + 1)


@structural
def _element(a: SparseArray, i: int, j: int) -> Any:
    if a.format == "csc":
        return _element(a.T, j, i)
    pattern, values = a._by_rows()
    start, stop = int(pattern.indptr[i]), int(pattern.indptr[i + 1])
    columns = pattern.indices[start:stop]
    if pattern.sorted:
        first, last = np.searchsorted(columns, np.array([j, j + 1], columns.dtype))
        stored: Any = slice(start + int(first), start + int(last))
    else:
        stored = start + np.flatnonzero(columns == j)
    return a._arrays.sum(a._arrays.take(values, stored))


@structural
def _submatrix(a: SparseArray, row_bounds: Bounds, col_bounds: Bounds) -> SparseArray:
    if a.format == "csc":
        return _submatrix(a.T, col_bounds, row_bounds).T
    rows, cols = range(*row_bounds), range(*col_bounds)
    csr = _rows(a._csr(), rows)
    if cols != range(a.shape[1]):
        csr = _rows(csr.tocsc().T, cols).T.tocsr()
    return csr.asformat(a.format)


def _rows(csr: CSRArray, rows: range) -> CSRArray:
    if rows == range(csr.shape[0]):
        return csr
    pattern, stored = csr._pattern.select_rows(rows)
    return type(csr)(pattern, csr._arrays.take(csr.data, stored), csr._arrays)
