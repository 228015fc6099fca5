# SPDX-License-Identifier: Apache-2.0
"""Index arrays: their dtype, and how a caller's become ours."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..cuda import memory_of

#: int32 or int64, contiguous, read-only.
Indices = np.ndarray[Any, np.dtype[Any]]

_INT32_MAX = 2**31 - 1


def index_dtype(rows: int, cols: int, nnz: int, at_least: Any = np.int32) -> np.dtype[Any]:
    """int32 where the shape and the number of stored elements fit, else int64."""
    fits = max(rows, cols, nnz) <= _INT32_MAX
    return np.dtype(at_least if fits else np.int64)


def empty_offsets(rows: int, dtype: Any) -> Indices:
    """Return uninitialized row offsets, shape (rows + 1,).

    Raises
    ------
    MemoryError
        Naming their number, also where that is beyond what an address can be.
    """
    try:
        return np.empty(rows + 1, dtype)
    except (MemoryError, ValueError):
        raise MemoryError(
            f"no memory for the {rows + 1} {np.dtype(dtype)} offsets of a compressed matrix of "
            f"shape[0] = {rows}, in CSC shape[1]; COO keeps none"
        ) from None


def freeze(indices: Indices) -> Indices:
    """Mark an index array that we made as read-only."""
    indices.flags.writeable = False
    return indices


def is_frozen(array: Any) -> bool:
    """Whether nobody can write to the array: it and everything it views is read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


def index_arrays(
    given: dict[str, Any], shape: tuple[int, int], nnz: int, copy: bool
) -> list[Indices]:
    """Return a caller's index arrays as read-only arrays of one dtype.

    int64 is kept; everything else becomes int32 where the shape and nnz fit, else int64. Arrays
    that somebody could still write to are copied unless `copy` is false.

    Parameters
    ----------
    given
        What the caller passed, by the name that error messages use.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, for no integers, more than one axis, or a value out of the dtype's
        range.
    """
    arrays = {argument: integers(x, argument) for argument, x in given.items()}
    # A list has no dtype to keep.
    wide = any(hasattr(x, "dtype") and arrays[name].dtype == np.int64 for name, x in given.items())
    dtype = index_dtype(*shape, nnz, at_least=np.int64 if wide else np.int32)
    return [_converted(x, dtype, argument, copy) for argument, x in arrays.items()]


def integer(x: Any, argument: str) -> int:
    """Return a caller's integer; TypeError for what is none."""
    try:
        return operator.index(x)
    except TypeError:
        raise TypeError(f"{argument} = {x!r}, expected an integer") from None


def integers(x: Any, argument: str) -> Indices:
    """Return a caller's index array, or list, as a NumPy array; errors as of `index_arrays`."""
    memory = memory_of(x)
    try:
        array = np.asarray(x) if memory is None else memory.to_host(x)
    except MemoryError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TypeError(
            f"{argument} is a {type(x).__module__}.{type(x).__qualname__} whose elements cannot be "
            f"read ({reason}); indices are integers, "
            f"not traced and without gradients"
        ) from error
    if array.ndim != 1:
        raise ValueError(f"{argument} has shape {array.shape}, expected one axis")
    if array.size == 0 and not hasattr(x, "dtype"):
        return array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{argument} has dtype {array.dtype}, expected int32 or int64")
    return array


def _converted(array: Indices, dtype: np.dtype[Any], argument: str, copy: bool) -> Indices:
    if array.dtype != dtype:
        limits = np.iinfo(dtype)
        if not np.can_cast(array.dtype, dtype):
            wrong = np.flatnonzero((array < limits.min) | (array > limits.max))
            if wrong.size:
                i = wrong[0]
                raise ValueError(f"{argument}[{i}] = {array[i]} is out of range for {dtype}")
        return freeze(array.astype(dtype))
    if copy and not is_frozen(array):
        return freeze(array.copy())
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.require(array, requirements=("C", "A"))
    return freeze(array.view())


def host_indices(indices: Any) -> Indices:
    """Return an index map as a NumPy array; those of patterns on a GPU are there."""
    memory = memory_of(indices)
    on_host: Indices = indices if memory is None else memory.to_host(indices)
    return on_host
