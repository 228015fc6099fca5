# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""Compressed sparse rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import CooPattern, Indices, Pattern
from .base import SparseArray
from .coo import COOArray
from .csc import CSCArray
from .structural import structural


class CSRArray(SparseArray):
    """A matrix by rows: offsets of the rows, columns of the stored values. Made by `csr_array`.

    ``A @ x`` allocates the result alone. Transposed products (``x @ A``, ``A.T @ x``,
    ``A.rmatvec``) and `tocsc` build the transposed positions on first use and keep them: columns +
    1 + 2 nnz indices. Where nobody can write to the values, as to those that an operation made, the
    transposed values are kept too; otherwise they are gathered anew for each product, so that what
    was written is seen.
    """

    __slots__ = ("_pattern", "_transposed_data")

    format: ClassVar[str] = "csr"

    def __init__(self, pattern: Pattern, data: Array, arrays: Adapter) -> None:
        self._pattern = pattern
        self._data = data
        self._arrays = arrays
        self._transposed_data: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self._pattern.rows, self._pattern.cols

    @property
    def indptr(self) -> Indices:
        """Row offsets, shape (rows + 1,), read-only."""
        return self._pattern.indptr

    @property
    def indices(self) -> Indices:
        """Column of each stored value, shape (nnz,), read-only."""
        return self._pattern.indices

    @property
    def index_dtype(self) -> np.dtype[Any]:
        return self._pattern.index_dtype

    @property
    def has_sorted_indices(self) -> bool:
        return self._pattern.sorted

    @property
    def has_canonical_format(self) -> bool:
        return self._pattern.canonical

    @property
    def T(self) -> CSCArray:
        return CSCArray(self)

    @structural
    def tocsr(self, canonical: bool = False) -> CSRArray:
        if not canonical or self._pattern.canonical:
            return self
        pattern, segments, index_map = self._pattern.canonicalize()
        if segments is not None:
            return self._made(pattern, self._arrays.segment_sum(self._data, segments, index_map))
        if index_map is not None:
            return self._made(pattern, self._arrays.gather(self._data, index_map))
        return CSRArray(pattern, self._data, self._arrays)

    @structural
    def tocsc(self, canonical: bool = False) -> CSCArray:
        transposed = CSRArray(*self._by_cols(), self._arrays)
        return transposed.tocsr(canonical).T

    @structural
    def tocoo(self, canonical: bool = False) -> COOArray:
        csr = self.tocsr(canonical)
        pattern = csr._pattern
        coo = CooPattern(
            pattern.rows,
            pattern.cols,
            pattern.row_indices(),
            pattern.indices,
            pattern.sorted,
            pattern.canonical,
        )
        return COOArray(coo, csr._data, self._arrays)

    def todense(self) -> Array:
        return self._arrays.todense(self._pattern, self._data, transposed=False)

    def _csr(self) -> CSRArray:
        return self

    def _by_rows(self) -> tuple[Pattern, Array]:
        return self._pattern, self._data

    def _stored(self) -> tuple[Pattern, Array, bool]:
        return self._pattern, self._data, False

    def _by_cols(self) -> tuple[Pattern, Array]:
        pattern, index_map = self._pattern.transpose()
        if self._transposed_data is not None:
            return pattern, self._transposed_data
        data = self._arrays.freeze(self._arrays.gather(self._data, index_map))
        if self._arrays.is_frozen(self._data):
            self._transposed_data = data
        return pattern, data

    @property
    def _structure(self) -> Pattern:
        return self._pattern

    def _with_data(self, data: Array, arrays: Adapter | None = None) -> CSRArray:
        return CSRArray(self._pattern, data, arrays or self._arrays)

    def _made(self, pattern: Pattern, data: Array) -> CSRArray:
        """Return a CSRArray over values that an operation made, read-only from now on."""
        return CSRArray(pattern, self._arrays.freeze(data), self._arrays)

    def _index_arrays(self) -> tuple[Indices, Indices]:
        return self.indices, self.indptr
