# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""NumPy arrays. bfloat16 is ml_dtypes' type, imported only when somebody asks for it by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _engine
from ..cuda import default_memory
from ..devices import CPU, Device
from ..dtypes import VALUE_DTYPES, accumulator, check_value_dtype, numpy_name, promote
from ..structure import (
    CooPattern,
    Indices,
    Pattern,
    beside,
    common_index_dtype,
    empty_offsets,
    index_dtype,
    is_frozen,
    kron,
)
from .adapter import Adapter, Array, refuse_sparse
from .operands import check_fits, within_rank

if TYPE_CHECKING:
    from ..containers import CSRArray, SparseArray
    from ..packed.storage import Storage

#: Bytes of the largest block that glibc's allocator keeps once it was freed. The engine keeps those
#: of larger results, not smaller ones as well: glibc's was in use last, and is in the cache.
_LARGEST_BLOCK_KEPT = 32 << 20

#: Bytes of the largest workspace that a sparse product is computed into at once; beyond what glibc
#: keeps it is memory of the engine's large results. At 256 MiB a product of 50,000 rows of 21
#: diagonals would gain too, but take 146 MiB more than its 16 on two threads.
_LARGEST_WORKSPACE = 128 << 20


class NumPyAdapter(Adapter):
    """Adapter of ``numpy.ndarray``."""

    array_type = np.ndarray

    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> Array:
        if hasattr(x, "filled"):
            raise TypeError(f"{argument} is a masked array; fill it first, as with x.filled(0)")
        array = read(x, argument)
        check_value_dtype(numpy_name(array.dtype), argument, dtypes)
        if not array.dtype.isnative:
            return array.astype(array.dtype.newbyteorder("="))
        if not array.flags.aligned or any(step % array.itemsize for step in array.strides):
            return array.copy()
        return array

    def values(self, x: Any, argument: str) -> Array:
        array = self.asarray(x, argument)
        if array.ndim != 1:
            raise ValueError(f"{argument} has shape {array.shape}, expected one axis")
        if array.dtype.isbuiltin == 0:
            # It was unpickled with a dtype object of its own; the shortest path compares identity.
            array = array.view(array.dtype.type)
        return np.ascontiguousarray(array)

    def dtype_name(self, dtype: Any) -> str:
        return numpy_name(_dtype(dtype))

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        return np.empty(shape, _dtype(dtype))

    def concatenate(self, arrays: list[Array]) -> Array:
        return np.concatenate(arrays)

    def astype(self, x: Array, dtype: str) -> Array:
        return x.astype(_dtype(dtype), copy=False)

    def copy(self, x: Array) -> Array:
        return x.copy()

    def freeze(self, x: Array) -> Array:
        x.flags.writeable = False
        return x

    def is_frozen(self, x: Array) -> bool:
        return is_frozen(x)

    def tonumpy(self, x: Array) -> Any:
        return x

    def fromnumpy(self, x: Any) -> Array:
        return x

    def to(self, x: Array, device: Device) -> Array:
        if device == CPU:
            return x
        return default_memory().from_host(x, device.index)

    def conj(self, x: Array) -> Array:
        return x.conj() if x.dtype.kind == "c" else x

    def absolute_square(self, x: Array) -> Array:
        if x.dtype.kind == "c":
            return x.real**2 + x.imag**2
        return np.square(self.astype(x, accumulator(numpy_name(x.dtype))))

    def outer(self, x: Array, y: Array) -> Array:
        products = np.empty(len(x) * len(y), x.dtype)  # no view, which would never be frozen
        np.multiply.outer(x, y, out=products.reshape(len(x), len(y)))
        return products

    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    def sum(self, x: Array) -> Array:
        name = numpy_name(x.dtype)
        total = np.add.reduce(self.astype(x, accumulator(name)), axis=None)
        return total if accumulator(name) == name else total.astype(x.dtype)

    def take(self, x: Array, positions: Any) -> Array:
        if isinstance(positions, slice):
            return x[positions]
        return self.gather(np.ascontiguousarray(x), positions)

    def matmul(
        self, a: SparseArray, x: Array, conjugate: bool = False, swapped: bool = False
    ) -> Array:
        if swapped:
            return self._product_from_left(a, x, conjugate)
        if a.format != "csr" and x.ndim == 1:
            if a.format == "coo" and (coo := _unordered(a)) is not None:
                return self._sum_of_entries(coo, a.data, x, conjugate, swapped=False)
            pattern, values, transposed = a._stored()
            if transposed and pattern.adds_rows:
                return self._sum_of_rows(pattern, values, x, conjugate, swapped=False)
            if transposed:
                pattern, values = a._by_rows()
        else:
            pattern, values = a._by_rows()
        # The shortest path: a dtype that the engine reads as it is, a shape that fits. The long one
        # takes every other operand, and names what is wrong with it.
        dtype = values.dtype
        if x.dtype is dtype and dtype.isbuiltin == 1:
            try:
                y: Array | None = pattern.product(values, x, conjugate, _LARGEST_BLOCK_KEPT)
            except (IndexError, TypeError, ValueError):
                y = None
            if y is not None:
                return y
        return self._product(pattern, values, x, conjugate, swapped=False)

    def _product_from_left(self, a: SparseArray, x: Array, conjugate: bool) -> Array:
        if a.format == "coo" and x.ndim == 1 and (coo := _unordered(a)) is not None:
            return self._sum_of_entries(coo.transpose(), a.data, x, conjugate, swapped=True)
        if a.format != "csc" and x.ndim == 1 and a._structure.adds_rows:
            pattern, values, transposed = a._stored()
            if not transposed:
                return self._sum_of_rows(pattern, values, x, conjugate, swapped=True)
        return self._product(*a._by_cols(), x, conjugate, swapped=True)

    def _sum_of_entries(
        self, pattern: CooPattern, values: Array, x: Any, conjugate: bool, swapped: bool
    ) -> Array:
        """A x for a vector, without a compressed structure."""
        values, x = self._operands(values, x, pattern.rows, pattern.cols, swapped)
        y = _result((pattern.rows,), x.dtype)
        pattern.multiply(bits(values), bits(x), bits(y), conjugate)
        return y

    def _sum_of_rows(
        self, pattern: Pattern, values: Array, x: Any, conjugate: bool, swapped: bool
    ) -> Array:
        """Aᵀ x for a vector, without a transposed structure."""
        fits = x.dtype is values.dtype and x.shape == (pattern.rows,)
        if not fits or not x.flags.c_contiguous or not x.flags.aligned:
            values, x = self._operands(values, x, pattern.cols, pattern.rows, swapped)
        y = _result((pattern.cols,), x.dtype)
        pattern.multiply_transposed(bits(values), bits(x), bits(y), conjugate)
        return y

    def _operands(
        self, values: Array, x: Any, outputs: int, inputs: int, swapped: bool
    ) -> tuple[Array, Array]:
        """Values and x in one dtype, for a product of ``inputs`` to ``outputs`` elements."""
        x = self.dense_operand(x, values, "x")
        check_fits(x.shape, (outputs, inputs), swapped)
        if x.dtype != values.dtype:
            dtype = promote(numpy_name(values.dtype), numpy_name(x.dtype))
            values, x = self.astype(values, dtype), self.astype(x, dtype)
        return values, x

    def _product(
        self, pattern: Pattern, values: Array, x: Any, conjugate: bool, swapped: bool
    ) -> Array:
        """Y with Y_i = A X_i for every batch member; swapped: with Y_iᵀ = A X_iᵀ."""
        values, x = self._operands(values, x, pattern.rows, pattern.cols, swapped)
        row_axis = -1 if swapped or x.ndim == 1 else -2
        shape = list(x.shape)
        shape[row_axis] = pattern.rows
        x = within_rank(x)
        y = _result((*x.shape[:-2], *shape[-2:]), x.dtype)
        pattern.multiply(bits(values), bits(x), bits(y), conjugate, swapped)
        return y.reshape(shape)

    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        dtype = promote(numpy_name(a_values.dtype), numpy_name(b_values.dtype))
        a_bits, b_bits = (bits(self.astype(v, dtype)) for v in (a_values, b_values))
        a, b = common_index_dtype(a, b)
        offsets = np.empty(a.rows + 1, np.int64)
        product = _engine.SpgemmAtOnce(a.handle, a_bits, b.handle, b_bits, offsets)
        workspace = _workspace(product.workspace_size)
        nnz = product.count() if workspace is None else product.compute(workspace)
        columns = index_dtype(a.rows, b.cols, nnz, at_least=a.index_dtype)
        # glibc hands back to the system what is free beyond twice the largest block so far, as two
        # arrays of one size are: a product of 20,000×2000 in float32 faulted 1567 pages in anew,
        # every time. One block of both sizes, as its workspace is too, makes it keep them; blocks
        # beyond its limit are never kept.
        block = nnz * (columns.itemsize + a_bits.itemsize)
        from_glibc = workspace is not None and workspace.nbytes <= _LARGEST_BLOCK_KEPT
        if not from_glibc and block <= _LARGEST_BLOCK_KEPT:
            np.empty(block, np.uint8)
        indices = np.empty(nnz, columns)
        values = self.empty((nnz,), dtype)
        if workspace is None:
            _engine.spgemm_fill(a.handle, a_bits, b.handle, b_bits, offsets, indices, bits(values))
        else:
            product.collect(indices, bits(values))
        pattern = Pattern(a.rows, b.cols, offsets.astype(indices.dtype), indices, True, True)
        return pattern, values

    def add(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array, subtract: bool
    ) -> tuple[Pattern, Array]:
        pattern, sums = a.add(bits(a_values), b, bits(b_values), subtract)
        return pattern, sums.view(a_values.dtype)

    def intersect(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        pattern, products = a.intersect(bits(a_values), b, bits(b_values))
        return pattern, products.view(a_values.dtype)

    def beside(
        self, patterns: list[Pattern], values: list[Array], index_dtype: Any
    ) -> tuple[Pattern, Array]:
        pattern, moved = beside(patterns, index_dtype, [bits(v) for v in values])
        return pattern, moved.view(values[0].dtype)

    def kron(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array, index_dtype: Any
    ) -> tuple[Pattern, Array]:
        pattern, products = kron(a, b, index_dtype, [bits(a_values), bits(b_values)])
        return pattern, products.view(a_values.dtype)

    def row_sums(self, a: SparseArray) -> Array:
        if (coo := _unordered(a)) is not None:
            return _entry_sums(coo, a.data)
        pattern, values, transposed = a._stored()
        if not transposed:
            return super().row_sums(a)
        sums = _result((pattern.cols,), values.dtype)
        pattern.column_sums(bits(values), bits(sums))
        return sums

    def diagonal(self, a: SparseArray, k: int) -> Array:
        first, last = max(0, -k), min(a.shape[0], a.shape[1] - k)
        if (coo := _unordered(a)) is not None:
            on = np.flatnonzero(coo.col - coo.row == k)
            stored = CooPattern(last - first, coo.cols, coo.row[on] - first, coo.col[on])
            return _entry_sums(stored, a.data[on])
        csr = a._csr()
        pattern, values = csr._pattern, csr.data
        elements = np.empty(last - first, values.dtype)
        _engine.diagonal(pattern.handle, bits(values), k, pattern.sorted, bits(elements))
        return elements

    def extreme(self, values: Array, name: str, with_zero: bool) -> Array:
        found = [getattr(values, name)()] if len(values) else []
        zero = [values.dtype.type(0)] if with_zero else []
        return getattr(np.array(found + zero, values.dtype), name)()

    def row_extremes(self, a: CSRArray, name: str) -> Array:
        extremes = np.empty(a.shape[0], a.dtype)
        largest = name == "max"
        _engine.row_extremes(a._pattern.handle, bits(a.data), largest, bits(extremes))
        return extremes

    def sddmm(self, pattern: Pattern, u: Array, v: Array) -> Array:
        dtype = promote(numpy_name(u.dtype), numpy_name(v.dtype))
        u, v = self.astype(u, dtype), self.astype(v, dtype)
        values = self.empty((pattern.nnz,), dtype)
        sample_product(bits(u), bits(v), pattern, bits(values), np.ascontiguousarray)
        return values

    def compress(self, coo: CooPattern, values: Array) -> tuple[Pattern, Array]:
        # Values move along with their indices: quicker than through a map, which nobody needs here.
        indptr = empty_offsets(coo.rows, coo.index_dtype)
        indices = np.empty(coo.nnz, coo.index_dtype)
        moved = np.empty(coo.nnz, values.dtype)
        flags = _engine.coo_to_csr_values(
            coo.rows,
            coo.cols,
            coo.row,
            coo.col,
            bits(values),
            True,
            indptr,
            indices,
            bits(moved),
        )
        return Pattern(coo.rows, coo.cols, indptr, indices, *flags), moved

    def select_rows(
        self, a: Pattern, values: Array, rows: range | Indices
    ) -> tuple[Pattern, Array]:
        if isinstance(rows, range):
            return super().select_rows(a, values, rows)
        pattern, picked = a.pick_rows(bits(values), rows)
        return pattern, picked.view(values.dtype)

    def gather(self, values: Array, index_map: Indices) -> Array:
        out = np.empty(len(index_map), values.dtype)
        _engine.gather(bits(values), index_map, bits(out))
        return out

    def segment_sum(self, values: Array, segments: Indices, index_map: Indices | None) -> Array:
        out = np.empty(len(segments) - 1, values.dtype)
        _engine.segment_sum(bits(values), index_map, segments, bits(out))
        return out

    def todense(self, pattern: Pattern, values: Array, transposed: bool) -> Array:
        shape = (pattern.cols, pattern.rows) if transposed else (pattern.rows, pattern.cols)
        dense = _result(shape, values.dtype)
        target = bits(dense)
        _engine.todense(pattern.handle, bits(values), target.T if transposed else target)
        return dense

    def fromdense(self, dense: Array, threshold: float) -> tuple[Pattern, Array]:
        rows, cols = dense.shape
        offsets = np.empty(rows + 1, np.int64)
        nnz = _engine.count_nonzeros(bits(dense), threshold, offsets)
        indices = np.empty(nnz, index_dtype(rows, cols, nnz))
        indptr = offsets.astype(indices.dtype)
        values = np.empty(nnz, dense.dtype)
        _engine.fill_nonzeros(bits(dense), threshold, indptr, indices, bits(values))
        return Pattern(rows, cols, indptr, indices, True, True), values

    def dense_operand(self, x: Any, values: Array, argument: str) -> Array:
        if getattr(x, "dtype", None) is None:
            x = read(x, argument)
            if x.dtype.kind in "biuf":
                return self.astype(x, numpy_name(values.dtype))  # Python's numbers have no dtype
        if x.dtype.kind in "biu":
            # As NumPy has it: SciPy's operators try a product of int8 to learn what comes out.
            wide = np.float32 if values.dtype.kind == "V" else values.dtype
            dtype = values.dtype if x.itemsize == 1 else np.result_type(wide, x.dtype)
            x = x.astype(dtype)
        return self.asarray(x, argument)

    def packed_operand(self, x: Any, values: Array) -> Array:
        refuse_sparse(x)
        if isinstance(x, np.ndarray) and x.dtype.kind in "biu":
            # As in dense_operand, but for products in float32.
            narrow = x.itemsize == 1 and numpy_name(values.dtype) in VALUE_DTYPES
            x = x.astype(values.dtype if narrow else np.float32)
        return super().packed_operand(x, values)

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from ..packed.dense import DenseStorage
        from ..packed.storage import PackedStorage

        if format == "dense":
            return DenseStorage(self, parts["values"])
        return PackedStorage(format, dtype, shape, **parts)


def read(x: Any, argument: str) -> Any:
    """NumPy's array of what may be nested lists; ValueError for lengths that differ.

    Raises TypeError for what holds no numbers.
    """
    if hasattr(x, "todense"):
        raise TypeError(
            f"{argument} is a {type(x).__module__}.{type(x).__qualname__}, a sparse matrix of its "
            f"own kind; gossamer.from_scipy, from_torch and from_jax take such matrices over"
        )
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from error
    if array.dtype.kind not in "biufcV" and not isinstance(x, np.ndarray):
        given = type(x).__name__
        if isinstance(x, list | tuple):
            parts = np.asarray(x, object).ravel()
            part = next((part for part in parts if not isinstance(part, Number)), parts[0])
            given += f" that holds {part!r:.40}"
        raise TypeError(f"{argument} is a {given}, expected numbers in an array or list")
    return array


def _unordered(a: SparseArray) -> CooPattern | None:
    """Entries that are known to be sorted neither by rows nor by columns; None for all else."""
    entries = a._structure
    if isinstance(entries, CooPattern) and entries.is_unordered:
        return entries
    return None


def _entry_sums(entries: CooPattern, values: Array) -> Array:
    """Sum of every row of entries in any order."""
    sums = _result((entries.rows,), values.dtype)
    entries.row_sums(bits(values), bits(sums))
    return sums


def _dtype(dtype: Any) -> np.dtype[Any]:
    if isinstance(dtype, str) and dtype == "bfloat16":
        import ml_dtypes

        dtype = ml_dtypes.bfloat16
    try:
        named: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype = {dtype!r}: {error}") from None
    return named


def _result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A dense result as of ``np.empty``; a large one in memory of results that are gone.

    Not for what a container keeps: it views memory that could be written to, so it never counts as
    frozen.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes <= _LARGEST_BLOCK_KEPT:
        return np.empty(shape, dtype)
    if nbytes <= sys.maxsize:
        with suppress(MemoryError):
            return _engine.large_result(nbytes).view(dtype).reshape(shape)
    raise MemoryError(
        f"unable to allocate {nbytes} bytes ({nbytes / 2**30:.1f} GiB) for a result of shape "
        f"{shape} and dtype {dtype.name}"
    )


def _workspace(size: int) -> Array | None:
    """Elements of int64 for a sparse product in one phase, None where it takes two."""
    if 8 * size > _LARGEST_WORKSPACE:
        return None
    try:
        return _result((size,), np.dtype(np.int64))
    except MemoryError:  # two phases need no more than the product
        return None


def bits(x: Array) -> Array:
    """View x as the engine takes it: bfloat16 as its bits."""
    return x.view(np.uint16) if x.dtype.kind == "V" else x


# Strided columns cost a cache line for each element that is gathered; a copy, a pass over U and V.
# Two threads of a Xeon, float32, µs direct / by way of a copy, k columns: 1024², 10 a row, k=8 25 /
# 60, k=64 341 / 244, k=1000 22021 / 8461; 4096², 8 a row, k=64 1083 / 819; 1024², 4 a row, k=64 148
# / 174, k=1000 8651 / 7506; 1024², 2 a row, k=1000 4853 / 7436.
_COPIED_COLUMNS, _COPIED_PER_ROW = 16, 8


def sample_product(
    u: Any, v: Any, pattern: Pattern, values: Any, contiguous: Callable[[Any], Any]
) -> None:
    """Write `sddmm` of arrays that the engine takes as they are, of any framework, into values."""
    is_dense = pattern.nnz >= _COPIED_PER_ROW * max(pattern.rows, pattern.cols)
    if is_dense and u.ndim > 1 and u.shape[-1] >= _COPIED_COLUMNS:
        u, v = contiguous(u), contiguous(v)
    _engine.sddmm(pattern.handle, u, v, values)


adapter = NumPyAdapter()
