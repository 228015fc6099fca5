# SPDX-License-Identifier: Apache-2.0
"""Reading elements, rows and columns."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array, adapter_of
from .containers.structural import structural
from .structure import Indices

if TYPE_CHECKING:
    from .containers import CSRArray, SparseArray

#: Start, stop and step of a range; or a list or array that names rows or columns, in any order.
Picked = tuple[int, int, int] | list[Any] | Array


def getitem(a: SparseArray, key: Any) -> Any:
    """A[i, j] is a scalar; else a container in A's format, of what rows and columns name."""
    row_key, col_key = _axes(key)
    if getattr(row_key, "ndim", 0) == 2 and getattr(col_key, "ndim", 0) == 2:  # numpy.ix_
        by_row = getitem(a, (_flat(row_key, 1, "row"), slice(None)))
        return getitem(by_row, (slice(None), _flat(col_key, 0, "column")))
    traced = a._arrays.is_tracing()
    rows = _picked(row_key, a.shape[0], "row", traced)
    cols = _picked(col_key, a.shape[1], "column", traced)
    if isinstance(rows, int) and isinstance(cols, int):
        return _element(a, rows, cols)
    if not isinstance(rows, int | tuple) and not isinstance(cols, int | tuple):
        raise TypeError(
            "A[...]: rows and columns are both given by number; write A[numpy.ix_(rows, columns)] "
            "for the submatrix, and A.to_scipy()[rows, columns] for single elements"
        )
    return _submatrix(a, *((i, i + 1, 1) if isinstance(i, int) else i for i in (rows, cols)))


def _axes(key: Any) -> tuple[Any, Any]:
    """Return what is asked of the rows and of the columns; an ellipsis is the axes not named."""
    keys = list(key) if isinstance(key, tuple) else [key]
    ellipses = [i for i, k in enumerate(keys) if k is Ellipsis]
    named = len(keys) - len(ellipses)
    if named > 2 or len(ellipses) > 1:
        raise IndexError(f"A[...]: too many indices: {len(keys)} for the 2 axes of a matrix")
    at = ellipses[0] if ellipses else len(keys)
    keys[at : at + 1] = [slice(None)] * (2 - named)
    return keys[0], keys[1]


def _flat(key: Any, axis: int, name: str) -> Any:
    """Return the numbers in an index that `numpy.ix_` made, which has one element along an axis."""
    if key.shape[axis] != 1:
        raise IndexError(
            f"A[...]: the {name} index has shape {tuple(key.shape)}, expected one axis"
        )
    return key.reshape(-1)


def _picked(key: Any, length: int, axis: str, traced: bool) -> int | Picked:
    """Rows or columns that an index, a slice, or an array of integers or booleans names.

    Where a framework records the code, arrays have no elements, NumPy's neither.
    """
    if isinstance(key, slice):
        picked = range(length)[key]  # what key.indices gives, which PyTorch 2.11 cannot compile
        # A step beyond the axis leaves its first element, as one to its end does.
        return picked.start, picked.stop, max(-length - 1, min(picked.step, length + 1))
    adapter = adapter_of(key)
    if isinstance(key, list | range) or (adapter is not None and key.ndim > 0):
        if adapter is not None and (traced or adapter.is_tracing()):
            raise RuntimeError(
                f"A[...]: the {axis} index is an array inside torch.compile, which knows no "
                f"elements; give a list of numbers, or index outside"
            )
        return key
    try:
        if isinstance(key, bool | np.bool_):
            raise TypeError
        index = operator.index(key)
    except TypeError:
        raise TypeError(
            f"A[...]: the {axis} index is {key!r}, expected an integer, a slice, or an array of "
            f"integers or booleans; A[i], A[i, j], A[i:j, k:l], A[rows] and A[:, columns] are "
            f"supported"
        ) from None
    if not -length <= index < length:
        raise IndexError(f"A[...]: {axis} {index} is out of range for {length} {axis}s")
    return index % length


def _numbers(key: Any, length: int, axis: str) -> Indices:
    """Rows or columns by number, from an array of numbers, or of a boolean for each of all."""
    adapter = adapter_of(key)
    array = np.asarray(key) if adapter is None else adapter.tonumpy(key)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "biu"):
        raise TypeError(
            f"A[...]: the {axis} index has shape {array.shape} and dtype {array.dtype}, expected "
            f"one axis of integers or booleans"
        )
    if array.dtype.kind == "b":
        if array.size != length:
            raise IndexError(
                f"A[...]: the {axis} index has {array.size} booleans, expected one for each of "
                f"{length} {axis}s"
            )
        return np.flatnonzero(array)
    if not array.size:
        return np.empty(0, np.int64)
    # Contiguous and aligned for the engine, and nobody writes to it once it is checked.
    array = array.copy()
    least = array.min()
    if least < -length or array.max() >= length:
        first = array[(array < -length) | (array >= length)][0]
        raise IndexError(f"A[...]: {axis} {first} is out of range for {length} {axis}s")
    numbers = array.astype(np.int64, copy=False)
    return np.where(numbers < 0, numbers + length, numbers) if least < 0 else numbers


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
def _submatrix(a: SparseArray, rows: Picked, cols: Picked) -> SparseArray:
    rows, cols = (
        key if isinstance(key, tuple) else _numbers(key, length, axis)
        for key, length, axis in zip((rows, cols), a.shape, ("row", "column"), strict=True)
    )
    if a.format == "csc":
        return _submatrix(a.T, cols, rows).T
    return _columns(_rows(a._csr(), rows), cols).asformat(a.format)


def _rows(csr: CSRArray, picked: tuple[int, int, int] | Indices) -> CSRArray:
    rows: range | Indices = range(*picked) if isinstance(picked, tuple) else picked
    if isinstance(rows, range):
        if rows == range(csr.shape[0]):
            return csr
        if rows.step != 1:
            rows = np.arange(rows.start, rows.stop, rows.step)
    return type(csr)(*csr._arrays.select_rows(csr._pattern, csr.data, rows), csr._arrays)


def _columns(csr: CSRArray, picked: tuple[int, int, int] | Indices) -> CSRArray:
    cols = range(*picked) if isinstance(picked, tuple) else picked
    if isinstance(cols, range) and cols == range(csr.shape[1]):
        return csr
    pattern, stored = csr._pattern.select_columns(cols)
    return type(csr)(pattern, csr._arrays.gather(csr.data, stored), csr._arrays)
