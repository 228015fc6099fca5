# SPDX-License-Identifier: Apache-2.0
"""Containers from their parts, validated once."""

from __future__ import annotations

import operator
from numbers import Integral
from typing import Any

import numpy as np

from .arrays import Adapter, Array, adapter_of, host_adapter
from .containers import COOArray, CSCArray, CSRArray, SparseArray
from .containers.format import check_format
from .cuda import Memory, memory_of
from .products import sparse_operand
from .structure import CooPattern, Pattern, index_arrays, integers

_VALIDATE = ("full", "metadata", "none")


def csr_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    *,
    sorted_indices: bool = False,
    canonical: bool = False,
    validate: str = "full",
    copy: bool = True,
) -> CSRArray:
    """Build a CSRArray.

    Parameters
    ----------
    arg
        ``(data, indices, indptr)``: row i has the values ``data[indptr[i]:indptr[i + 1]]`` in the
        columns ``indices[indptr[i]:indptr[i + 1]]``. data is borrowed where it is contiguous and in
        native byte order, and of a supported dtype. Or ``(data, (row, col))``, as for `coo_array`;
        ``(rows, columns)``, for a float64 matrix with nothing stored; or whatever `asarray` takes.
    shape
        Rows and columns; taken from the indices where it is not given.
    sorted_indices, canonical
        The caller's word that every row's columns are in order, and that no position is stored
        twice. Checked under full validation, which finds it out anyway; believed otherwise.
    validate
        "full" checks every index, "metadata" only shapes, dtypes and lengths, "none" what it must.
        Wrong indices that were not checked read and write out of bounds.
    copy
        False: borrow the index arrays too, with the promise that nobody writes to them. int64
        indices stay int64; all others are kept as int32 where shape and number of values fit.

    Returns
    -------
    CSRArray

    Raises
    ------
    TypeError
        For a dtype that is not supported, such as integer values.
    ValueError
        For a wrong shape, length, offset or index; the message names it.

    Examples
    --------
    >>> A = csr_array(([2.0, 3.0], [1, 0], [0, 1, 2]), shape=(2, 2))
    >>> A @ np.array([1.0, 10.0])
    array([20.,  3.])
    """
    _check_validate("csr_array", validate)
    if not _is_tuple_of(arg, 3):
        return _from_other("csr_array", arg, shape).tocsr()
    return _compressed("csr_array", arg, shape, sorted_indices, canonical, validate, copy)


def csc_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    *,
    sorted_indices: bool = False,
    canonical: bool = False,
    validate: str = "full",
    copy: bool = True,
) -> CSCArray:
    """Build a CSCArray; see `csr_array`, with rows and columns exchanged."""
    _check_validate("csc_array", validate)
    if not _is_tuple_of(arg, 3):
        return _from_other("csc_array", arg, shape).tocsc()
    return _compressed("csc_array", arg, shape, sorted_indices, canonical, validate, copy).T


def coo_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    *,
    sorted_indices: bool = False,
    canonical: bool = False,
    validate: str = "full",
    copy: bool = True,
) -> COOArray:
    """Build a COOArray.

    Parameters
    ----------
    arg
        ``(data, (row, col))``, entries in any order; those at one position add up. Or
        ``(rows, columns)``, for a float64 matrix with nothing stored, or whatever `asarray` takes.
    sorted_indices, canonical
        The caller's word that entries are in row-major order, and that no position is stored twice.
    shape, validate, copy
        As for `csr_array`, which says what is raised too.
    """
    _check_validate("coo_array", validate)
    if not _is_coo(arg):
        return _from_other("coo_array", arg, shape).tocoo()
    return _coordinates("coo_array", arg, shape, sorted_indices, canonical, validate, copy)


def fromdense(dense: Any, threshold: float = 0.0, format: str = "csr") -> SparseArray:
    """Store the elements of a dense matrix whose modulus exceeds the threshold, and every NaN.

    Parameters
    ----------
    dense
        Matrix of a supported dtype, any strides.
    threshold
        At least 0.
    format
        "csr", "csc" or "coo".

    Raises
    ------
    TypeError
        For a dtype that is not supported.
    ValueError
        For another rank than 2, a negative threshold or another format.
    """
    check_format("fromdense", format)
    threshold = check_threshold("fromdense", threshold)
    return _from_dense("fromdense: dense", dense, threshold, format)


def asarray(x: Any) -> SparseArray:
    """Return x as a container: itself, or what `from_scipy` or `fromdense` makes of it."""
    return _as_container("asarray: x", x)


def restore(
    format: str, data: Array, indices: tuple[Any, Any], shape: tuple[int, int]
) -> SparseArray:
    """Container from what ``SparseArray.__reduce__`` stored."""
    if format == "coo":
        return coo_array((data, indices), shape, copy=False)
    build = csr_array if format == "csr" else csc_array
    return build((data, *indices), shape, copy=False)


def _coordinates(
    name: str,
    parts: tuple[Any, Any],
    shape: tuple[int, int] | None,
    sorted_indices: bool,
    canonical: bool,
    validate: str,
    copy: bool,
) -> COOArray:
    """Build a COOArray, for the function of that name."""
    data, (row, col) = parts
    arrays, data = _values(name, data)
    if shape is None:
        shape = _length_of(row, f"{name}: row"), _length_of(col, f"{name}: col")
    rows, cols = check_shape(name, shape)
    given = {f"{name}: row": row, f"{name}: col": col}
    placed = _beside(data, given, (rows, cols), copy)
    row, col = placed[1] if placed else index_arrays(given, (rows, cols), len(data), copy)
    for argument, indices in (("row", row), ("col", col)):
        if len(indices) != len(data):
            raise ValueError(
                f"{name}: {argument} has {len(indices)} elements and data {len(data)}; "
                f"they must be equally many"
            )
    flags = sorted_indices, canonical
    if placed:
        from .cuda.structure import DeviceCooPattern

        pattern: CooPattern = DeviceCooPattern(placed[0], rows, cols, row, col, *flags)
    else:
        pattern = CooPattern(rows, cols, row, col, *flags)
    if validate == "full":
        found = pattern.validate()
        _check_flags(name, sorted_indices, canonical, *found)
        pattern.sorted, pattern.canonical = found
    return COOArray(pattern, data, arrays)


def _compressed(
    name: str,
    parts: tuple[Any, Any, Any],
    shape: tuple[int, int] | None,
    sorted_indices: bool,
    canonical: bool,
    validate: str,
    copy: bool,
) -> CSRArray:
    """Build a CSRArray, or the transpose of the CSC array that is described."""
    axis = "columns" if name == "csc_array" else "rows"
    data, indices, indptr = parts
    arrays, data = _values(name, data)
    if shape is None:
        rows = max(len(integers(indptr, f"{name}: indptr")) - 1, 0)
        cols = _length_of(indices, f"{name}: indices")
    else:
        rows, cols = check_shape(name, shape)[:: -1 if name == "csc_array" else 1]
    given = {f"{name}: indptr": indptr, f"{name}: indices": indices}
    placed = _beside(data, given, (rows, cols), copy)
    indptr, indices = placed[1] if placed else index_arrays(given, (rows, cols), len(data), copy)
    if len(indptr) != rows + 1:
        raise ValueError(
            f"{name}: indptr has {len(indptr)} elements, expected {rows + 1} for {rows} {axis}"
        )
    if len(indices) != len(data):
        raise ValueError(
            f"{name}: indices has {len(indices)} elements and data {len(data)}; "
            f"they must be equally many"
        )
    flags = sorted_indices, canonical
    if placed:
        from .cuda.structure import DevicePattern

        pattern: Pattern = DevicePattern(placed[0], rows, cols, indptr, indices, *flags)
    else:
        pattern = Pattern(rows, cols, indptr, indices, *flags)
    if validate == "full":
        found = pattern.validate(name == "csc_array")
        _check_flags(name, sorted_indices, canonical, *found)
        pattern.sorted, pattern.canonical = found
    return CSRArray(pattern, data, arrays)


def _values(name: str, data: Any) -> tuple[Adapter, Array]:
    arrays = adapter_of(data) or host_adapter()
    check_not_tracing(name, arrays)
    return arrays, arrays.values(data, f"{name}: data")


def _beside(
    values: Array, given: dict[str, Any], shape: tuple[int, int], copy: bool
) -> tuple[Memory, list[Any]] | None:
    """Index arrays on the GPU of the values; None where these, or the indices, are on none."""
    if memory_of(values) is None:
        return None
    from .cuda.structure import index_arrays_beside  # imported where there is a GPU

    return index_arrays_beside(values, given, shape, copy)


def check_not_tracing(name: str, arrays: Adapter) -> None:
    """Raise RuntimeError with advice where a framework records Python code."""
    if arrays.is_tracing():
        raise RuntimeError(
            f"{name}: new positions cannot be made inside torch.compile, which knows no elements; "
            f"make the sparse array outside, and give it other values inside by A.with_data(values)"
        )


def _as_container(argument: str, x: Any) -> SparseArray:
    sparse = sparse_operand(x, argument)
    return _from_dense(argument, x, 0.0, "csr") if sparse is None else sparse


def _from_dense(argument: str, dense: Any, threshold: float, format: str) -> SparseArray:
    arrays = adapter_of(dense) or host_adapter()
    check_not_tracing(argument.partition(":")[0], arrays)
    dense = arrays.asarray(dense, argument)
    if dense.ndim != 2:
        raise ValueError(f"{argument} has shape {tuple(dense.shape)}, expected two axes")
    if format == "csc":
        return _from_dense(argument, dense.T, threshold, "csr").T
    pattern, data = arrays.fromdense(dense, threshold)
    return CSRArray(pattern, arrays.freeze(data), arrays).asformat(format)


def _from_other(name: str, arg: Any, shape: tuple[int, int] | None) -> SparseArray:
    if _is_coo(arg):
        coo = _coordinates(name, arg, shape, False, False, "full", True)
        matrix: SparseArray = coo.tocoo(canonical=True)
    elif _is_tuple_of(arg, 2) and all(isinstance(length, Integral) for length in arg):
        matrix = coo_array((np.empty(0), ([], [])), check_shape(name, arg))
    elif isinstance(arg, tuple):
        raise TypeError(
            f"{name}: arg is a tuple of {', '.join(type(part).__name__ for part in arg)}, expected "
            f"(data, indices, indptr), (data, (row, col)), (rows, columns) or a matrix"
        )
    else:
        matrix = _as_container(f"{name}: arg", arg)
    if shape is not None and matrix.shape != check_shape(name, shape):
        raise ValueError(f"{name}: shape = {shape}, but the matrix has shape {matrix.shape}")
    return matrix


def _is_tuple_of(arg: Any, count: int) -> bool:
    return isinstance(arg, tuple) and len(arg) == count


def _is_coo(arg: Any) -> bool:
    return _is_tuple_of(arg, 2) and isinstance(arg[1], tuple | list) and len(arg[1]) == 2


def _length_of(indices: Any, argument: str) -> int:
    """Length of an axis that was not given: one more than the largest index."""
    given = integers(indices, argument)
    return int(given.max()) + 1 if given.size else 0


def check_shape(name: str, shape: Any) -> tuple[int, int]:
    """Return the shape that a function of that name was given, once it is two valid lengths."""
    try:
        rows, cols = (operator.index(length) for length in shape)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: shape = {shape!r}, expected two integers") from None
    if not (0 <= rows < 2**63 and 0 <= cols < 2**63):
        raise ValueError(f"{name}: shape = {(rows, cols)}, expected lengths from 0 to 2**63 - 1")
    return rows, cols


def check_threshold(name: str, threshold: Any) -> float:
    """Return the threshold that a function of that name was given, a number from 0."""
    try:
        number = float(threshold)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: threshold = {threshold!r}, expected a number") from None
    if not number >= 0:
        raise ValueError(f"{name}: threshold = {threshold}, expected 0 or more")
    return number


def _check_validate(name: str, validate: str) -> None:
    if validate not in _VALIDATE:
        raise ValueError(f"{name}: validate = {validate!r}, expected one of {', '.join(_VALIDATE)}")


def _check_flags(
    name: str, sorted_indices: bool, canonical: bool, is_sorted: bool, is_canonical: bool
) -> None:
    if sorted_indices and not is_sorted:
        raise ValueError(f"{name}: sorted_indices = True, but the indices are not in order")
    if canonical and not is_canonical:
        raise ValueError(
            f"{name}: canonical = True, but the indices are not in order or hold duplicates"
        )
