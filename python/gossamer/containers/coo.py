# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""Coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..arrays import Array
from ..structure import CooPattern, Indices, Pattern
from .patterned import PatternedArray
from .structural import structural

if TYPE_CHECKING:
    from .csc import CSCArray
    from .csr import CSRArray


class COOArray(PatternedArray):
    """A matrix by entries: row, column and value of each, in any order. Made by `coo_array`.

    Entries at one position are summed wherever the matrix is used. Over NumPy arrays, products with
    vectors, sums along an axis and diagonals take entries in no order as they are, with scratch of
    up to twice as many elements as are stored, or one for each row. Other products, and those of
    other frameworks, build the positions by rows on first use and keep them, rows + 1 + 2 nnz
    indices; transposed ones those by columns, except ``x @ A`` of a vector where entries are in
    order, as of `CSRArray`. Where nobody can write to the values, these are kept in that order too.
    Conversions keep nothing.
    """

    __slots__ = ()

    format: ClassVar[str] = "coo"

    _pattern: CooPattern

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
    def T(self) -> COOArray:
        return self._transposed()

    @structural
    def _transposed(self) -> COOArray:
        return COOArray(self._pattern.transpose(), self._data, self._arrays)

    @structural
    def _to_csr(self, canonical: bool) -> CSRArray:
        from .csr import CSRArray

        if self._pattern.is_compressed:
            return self._csr().tocsr(canonical)
        pattern, data = self._arrays.compress(self._pattern, self._data)
        return CSRArray(pattern, self._arrays.freeze(data), self._arrays).tocsr(canonical)

    @structural
    def _to_csc(self, canonical: bool) -> CSCArray:
        return self.T.tocsr(canonical).T

    @structural
    def _to_coo(self, canonical: bool) -> COOArray:
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
        return pattern, self._ordered("rows", lambda: self._arrays.gather(self._data, index_map))

    def _by_cols(self) -> tuple[Pattern, Array]:
        return self.T._by_rows()

    def _stored(self) -> tuple[Pattern, Array, bool]:
        transposed = self._pattern.is_sorted_by_columns
        return *(self.T if transposed else self)._by_rows(), transposed

    def _index_arrays(self) -> tuple[Indices, Indices]:
        return self.coords
