# SPDX-License-Identifier: Apache-2.0
"""Containers from their parts, validated once."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from .arrays import Adapter, Array, adapter_of, host_adapter
from .arrays.numpy import read
from .containers import COOArray, CSCArray, CSRArray, SparseArray
from .containers.format import check_format
from .cuda import Memory, memory_of
from .dtypes import GIVE_DTYPE, check_value_dtype, dtype_name, requested_dtype
from .scipy_interop import is_scipy_sparse, take_over
from .structure import CooPattern, Pattern, index_arrays, integers

_VALIDATE = ("full", "metadata", "none")


def csr_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    dtype: Any = None,
    *,
    index_dtype: Any = None,
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
        ``(rows, columns)``, for a matrix with nothing stored; or whatever `asarray` takes.
    shape
        Rows and columns; taken from the indices where it is not given.
    dtype
        Cast the values to it, integer ones too. Unless given, values keep their dtype, and a matrix
        with nothing stored is of float64.
    index_dtype
        int32 or int64; see ``copy``. Narrow a matrix of int64 by ``csr_array(A, index_dtype=...)``.
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
        For a dtype that is not supported, such as integer values without ``dtype``.
    ValueError
        For a wrong shape, length, offset or index, or more than ``index_dtype`` holds; the message
        names it.

    Examples
    --------
    >>> A = csr_array(([2.0, 3.0], [1, 0], [0, 1, 2]), shape=(2, 2))
    >>> A @ np.array([1.0, 10.0])
    array([20.,  3.])
    """
    flags = sorted_indices, canonical
    asked = _Asked("csr_array", shape, dtype, index_dtype, flags, validate, copy)
    return asked.compressed(arg) if _is_tuple_of(arg, 3) else asked.other(arg).tocsr()


def csc_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    dtype: Any = None,
    *,
    index_dtype: Any = None,
    sorted_indices: bool = False,
    canonical: bool = False,
    validate: str = "full",
    copy: bool = True,
) -> CSCArray:
    """Build a CSCArray; see `csr_array`, with rows and columns exchanged."""
    flags = sorted_indices, canonical
    asked = _Asked("csc_array", shape, dtype, index_dtype, flags, validate, copy)
    return asked.compressed(arg).T if _is_tuple_of(arg, 3) else asked.other(arg).tocsc()


def coo_array(
    arg: Any,
    shape: tuple[int, int] | None = None,
    dtype: Any = None,
    *,
    index_dtype: Any = None,
    sorted_indices: bool = False,
    canonical: bool = False,
    validate: str = "full",
    copy: bool = True,
) -> COOArray:
    """Build a COOArray.

    Parameters
    ----------
    arg
        ``(data, (row, col))``, entries in any order, the indices also one array of shape (2, nnz);
        those at one position add up. Or
        ``(rows, columns)``, for a matrix with nothing stored, or whatever `asarray` takes.
    sorted_indices, canonical
        The caller's word that entries are in row-major order, and that no position is stored twice.
    shape, dtype, index_dtype, validate, copy
        As for `csr_array`, which says what is raised too.
    """
    flags = sorted_indices, canonical
    asked = _Asked("coo_array", shape, dtype, index_dtype, flags, validate, copy)
    return asked.coordinates(arg) if _is_coo(arg) else asked.other(arg).tocoo()


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
    """Return x as a container: itself, or what `from_scipy` or `fromdense` makes of it.

    Raises
    ------
    TypeError
        For a dtype that is not supported, and what holds no numbers.
    ValueError
        For another rank than 2.
    """
    return _as_container("asarray: x", x)


def from_parts(
    format: str,
    data: Array,
    indices: tuple[Any, Any],
    shape: tuple[int, int],
    dtype: Any = None,
    copy: bool = False,
) -> SparseArray:
    """Container of a format from its values and both index arrays, validated."""
    if format == "coo":
        return coo_array((data, indices), shape, dtype, copy=copy)
    build = csr_array if format == "csr" else csc_array
    return build((data, *indices), shape, dtype, copy=copy)


@dataclass(slots=True)
class _Asked:
    """What the constructor function of that name was asked for, but for the arrays themselves."""

    name: str
    shape: Any
    dtype: Any
    index_dtype: Any
    flags: tuple[bool, bool]
    validate: str
    copy: bool

    def __post_init__(self) -> None:
        if self.validate not in _VALIDATE:
            raise ValueError(
                f"{self.name}: validate = {self.validate!r}, expected one of {', '.join(_VALIDATE)}"
            )
        if self.shape is not None:
            self.shape = check_shape(self.name, self.shape)

    def coordinates(self, parts: tuple[Any, Any]) -> COOArray:
        """COOArray of ``(data, (row, col))``."""
        name, (data, (row, col)) = self.name, parts
        arrays, data = self._values(data)
        rows, cols = self.shape or check_shape(
            name, (_length_of(row, f"{name}: row"), _length_of(col, f"{name}: col"))
        )
        given = {f"{name}: row": row, f"{name}: col": col}
        placed = _beside(data, given, (rows, cols), self.copy)
        row, col = placed[1] if placed else index_arrays(given, (rows, cols), len(data), self.copy)
        for argument, indices in (("row", row), ("col", col)):
            self._check_length(argument, indices, data)
        if placed:
            from .cuda.structure import DeviceCooPattern

            pattern: CooPattern = DeviceCooPattern(placed[0], rows, cols, row, col, *self.flags)
        else:
            pattern = CooPattern(rows, cols, row, col, *self.flags)
        if self.validate == "full":
            try:
                found = pattern.validate()
            except ValueError as error:  # the engine knows the container, not who asked for it
                raise ValueError(str(error).replace("coo_array", name, 1)) from None
            self._note(pattern, *found)
        return COOArray(self._in_index_dtype(pattern, arrays), data, arrays)

    def compressed(self, parts: tuple[Any, Any, Any]) -> CSRArray:
        """CSRArray of ``(data, indices, indptr)``, for `csc_array` of the transpose."""
        name, (data, indices, indptr) = self.name, parts
        is_csc = name == "csc_array"
        arrays, data = self._values(data)
        if self.shape is None:
            rows = max(len(integers(indptr, f"{name}: indptr")) - 1, 0)
            rows, cols = check_shape(name, (rows, _length_of(indices, f"{name}: indices")))
        else:
            rows, cols = self.shape[:: -1 if is_csc else 1]
        given = {f"{name}: indptr": indptr, f"{name}: indices": indices}
        placed = _beside(data, given, (rows, cols), self.copy)
        indptr, indices = (
            placed[1] if placed else index_arrays(given, (rows, cols), len(data), self.copy)
        )
        if len(indptr) != rows + 1:
            raise ValueError(
                f"{name}: indptr has {len(indptr)} elements, expected {rows + 1} for {rows} "
                f"{'columns' if is_csc else 'rows'}"
            )
        self._check_length("indices", indices, data)
        if placed:
            from .cuda.structure import DevicePattern

            pattern: Pattern = DevicePattern(placed[0], rows, cols, indptr, indices, *self.flags)
        else:
            pattern = Pattern(rows, cols, indptr, indices, *self.flags)
        if self.validate == "full":
            self._note(pattern, *pattern.validate(is_csc))
        return CSRArray(self._in_index_dtype(pattern, arrays), data, arrays)

    def other(self, arg: Any) -> SparseArray:
        """Container, of any format, of what is not described by this constructor's own arrays."""
        if _is_coo(arg):
            unordered = replace(self, flags=(False, False), validate="full", copy=True)
            return unordered.coordinates(arg).tocoo(canonical=True)
        if _is_tuple_of(arg, 2) and all(isinstance(length, Integral) for length in arg):
            empty = replace(self, shape=check_shape(self.name, arg), flags=(False, False))
            matrix: SparseArray = empty.coordinates((np.empty(0), ([], [])))
        elif isinstance(arg, tuple):
            compressed = "" if self.name == "coo_array" else "(data, indices, indptr), "
            raise TypeError(
                f"{self.name}: arg is a tuple of {', '.join(type(part).__name__ for part in arg)}, "
                f"expected {compressed}(data, (row, col)), (rows, columns) or a matrix"
            )
        else:
            matrix = _as_container(f"{self.name}: arg", arg, self.dtype, GIVE_DTYPE)
        if self.shape not in (None, matrix.shape):
            raise ValueError(
                f"{self.name}: shape = {self.shape}, but the matrix has shape {matrix.shape}"
            )
        structure = self._in_index_dtype(matrix._structure, matrix._arrays)
        is_same = structure is matrix._structure
        return matrix if is_same else matrix._of(structure, matrix.data, matrix._arrays)

    def _values(self, data: Any) -> tuple[Adapter, Array]:
        arrays, data = cast(self.name, f"{self.name}: data", data, self.dtype, GIVE_DTYPE)
        return arrays, arrays.values(data, f"{self.name}: data")

    def _check_length(self, argument: str, indices: Any, data: Array) -> None:
        if len(indices) != len(data):
            raise ValueError(
                f"{self.name}: {argument} has {len(indices)} elements and data {len(data)}; "
                f"they must be equally many"
            )

    def _note(self, pattern: Pattern | CooPattern, is_sorted: bool, is_canonical: bool) -> None:
        """Write down what validation found; ValueError where the caller's word was wrong."""
        sorted_indices, canonical = self.flags
        if sorted_indices and not is_sorted:
            raise ValueError(
                f"{self.name}: sorted_indices = True, but the indices are not in order"
            )
        if canonical and not is_canonical:
            raise ValueError(
                f"{self.name}: canonical = True, but the indices are not in order or hold "
                f"duplicates"
            )
        pattern.sorted, pattern.canonical = is_sorted, is_canonical

    def _in_index_dtype(self, pattern: Any, arrays: Adapter) -> Any:
        """Return the positions, checked before, in the index dtype that was asked for."""
        if self.index_dtype is None:
            return pattern
        try:
            dtype = arrays.dtype_name(self.index_dtype)
        except TypeError:
            dtype = ""
        if dtype not in ("int32", "int64"):
            raise ValueError(
                f"{self.name}: index_dtype = {self.index_dtype!r}, expected int32 or int64"
            )
        if dtype == "int32" and max(pattern.rows, pattern.cols, pattern.nnz) >= 2**31:
            raise ValueError(
                f"{self.name}: index_dtype = int32, but a shape of {(pattern.rows, pattern.cols)} "
                f"with {pattern.nnz} values needs int64"
            )
        return pattern.astype(dtype)


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


def _as_container(argument: str, x: Any, dtype: Any = None, how: str | None = None) -> SparseArray:
    if isinstance(x, SparseArray):
        return x if dtype is None else x.astype(dtype)
    if is_scipy_sparse(x):
        return take_over(x, argument, dtype=dtype, how=how)
    return _from_dense(argument, x, 0.0, "csr", dtype, how)


def _from_dense(
    argument: str,
    dense: Any,
    threshold: float,
    format: str,
    dtype: Any = None,
    how: str | None = None,
) -> SparseArray:
    arrays, dense = cast(argument.partition(":")[0], argument, dense, dtype, how)
    if dense.ndim != 2:
        raise ValueError(f"{argument} has shape {tuple(dense.shape)}, expected two axes")
    dense = arrays.asarray(dense, argument)
    if format == "csc":
        return _from_dense(argument, dense.T, threshold, "csr").T
    pattern, data = arrays.fromdense(dense, threshold)
    return CSRArray(pattern, arrays.freeze(data), arrays).asformat(format)


def cast(
    function: str, argument: str, x: Any, dtype: Any, how: str | None = None
) -> tuple[Adapter, Array]:
    """Adapter of x, and x as its array, of that dtype if one is given.

    Otherwise x of a dtype that is not supported is refused, with the advice ``how`` to cast.
    """
    arrays = adapter_of(x)
    if arrays is None:
        arrays, x = host_adapter(), read(x, argument)
    check_not_tracing(function, arrays)
    if dtype is None:
        check_value_dtype(dtype_name(x.dtype), argument, how=how)
        return arrays, x
    return arrays, arrays.astype(x, requested_dtype(function, arrays, dtype))


def _is_tuple_of(arg: Any, count: int) -> bool:
    return isinstance(arg, tuple) and len(arg) == count


def _is_coo(arg: Any) -> bool:
    """Whether it is ``(data, (row, col))``, the indices two arrays or one of two rows."""
    if not _is_tuple_of(arg, 2):
        return False
    indices = arg[1]
    if isinstance(indices, tuple | list):
        return len(indices) == 2
    return getattr(indices, "ndim", 0) == 2 and indices.shape[0] == 2


def _length_of(indices: Any, argument: str) -> int:
    """Length of an axis that was not given: one more than the largest index."""
    given = integers(indices, argument)
    if given.size and given.min() < 0:
        i = int(np.argmax(given < 0))
        raise ValueError(f"{argument}[{i}] = {given[i]} is negative")
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
