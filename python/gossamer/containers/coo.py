# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""Coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import CooPattern, Indices, Pattern
from .base import SparseArray
from .structural import structural

if TYPE_CHECKING:
    from .csc import CSCArray
    from .csr import CSRArray


class COOArray(SparseArray):
    """A matrix by entries: row, column and value of each, in any order. Made by `coo_array`.

    Entries at one position are summed wherever the matrix is used. Products build the positions by
    rows on first use and keep them, rows + 1 + 2 nnz indices; ``x @ A`` those by columns. Where
    nobody can write to the values, these are kept in that order too. Conversions keep nothing.
    """

    __slots__ = ("_ordered_data", "_pattern")

    format: ClassVar[str] = "coo"

    def __init__(self, pattern: CooPattern, data: Array, arrays: Adapter) -> None:
        self._pattern = pattern
        self._data = data
        self._arrays = arrays
        self._ordered_data: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self._pattern.rows, self._pattern.cols

    @property
    def row(self) -> Indices:
        """Row of each stored value, shape (nnz,), read-only."""
        return self._pattern.row

    @property
    def col(self) -> Indices:
        """Column of each stored value, shape (nnz,), read-only."""
        return self._pattern.col

    @property
    def coords(self) -> tuple[Indices, Indices]:
        """Both index arrays, ``(row, col)``."""
        return self.row, self.col

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
    def T(self) -> COOArray:
        return self._transposed()

    @structural
    def _transposed(self) -> COOArray:
        return COOArray(self._pattern.transpose(), self._data, self._arrays)

    @structural
    def tocsr(self, canonical: bool = False) -> CSRArray:
        from .csr import CSRArray

        if self._pattern.is_compressed:
            return self._csr().tocsr(canonical)
        pattern, data = self._arrays.compress(self._pattern, self._data)
        return CSRArray(pattern, self._arrays.freeze(data), self._arrays).tocsr(canonical)

    @structural
    def tocsc(self, canonical: bool = False) -> CSCArray:
        return self.T.tocsr(canonical).T

    @structural
    def tocoo(self, canonical: bool = False) -> COOArray:
        return (
            self.tocsr(canonical=True).tocoo()
            if canonical and not self._pattern.canonical
            else self
        )

    def todense(self) -> Array:
        return self._csr().todense()

    @structural
    def _csr(self) -> CSRArray:
        from .csr import CSRArray

        return CSRArray(*self._by_rows(), self._arrays)

    def _by_rows(self) -> tuple[Pattern, Array]:
        pattern, index_map = self._pattern.compress()
        if index_map is None:
            return pattern, self._data
        if self._ordered_data is not None:
            return pattern, self._ordered_data
        data = self._arrays.freeze(self._arrays.gather(self._data, index_map))
        if self._arrays.is_frozen(self._data):
            self._ordered_data = data
        return pattern, data

    def _by_cols(self) -> tuple[Pattern, Array]:
        return self.T._by_rows()

    def _stored(self) -> tuple[Pattern, Array, bool]:
        return *self._by_rows(), False

    @property
    def _structure(self) -> CooPattern:
        return self._pattern

    def _with_data(self, data: Array, arrays: Adapter | None = None) -> COOArray:
        return COOArray(self._pattern, data, arrays or self._arrays)

    def _index_arrays(self) -> tuple[Indices, Indices]:
        return self.coords
