# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""Compressed sparse rows."""

from __future__ import annotations

from typing import ClassVar

from ..arrays import Array
from ..structure import Indices, Pattern
from .coo import COOArray
from .csc import CSCArray
from .patterned import PatternedArray
from .structural import structural


class CSRArray(PatternedArray):
    """A matrix by rows: offsets of the rows, columns of the stored values. Made by `csr_array`.

    ``A @ x`` allocates the result alone, a copy of some columns of x where they are strided, as in
    Fortran order, 64 MiB at most, and a copy of a small x, 1 MiB at most, that each thread keeps.
    Sparse × sparse takes scratch of up to a row of the result for each thread.

    A transposed product with a vector (``x @ A``, ``A.T @ x``, ``A.rmatvec``) adds up A's rows,
    with scratch for the call of half as many elements as are stored, at most twice as many where
    they are few. Other transposed products, `tocsc`, and products with a vector where rows hold
    less than four values on the average or values are few beside the columns, build the transposed
    positions on first use and keep them: columns + 1 + 2 nnz indices. Where nobody can write to the
    values, as to those that an operation made, the transposed values are kept too; otherwise they
    are gathered anew for each product, so that what was written is seen.

    What needs rows in order or each position once, as ``tocsr(canonical=True)``, sums, elementwise
    products and extremes, finds these on first use and keeps them, with rows + 1 + 2 indices for
    each, and nnz more where rows were not in order; values as above.
    """

    __slots__ = ()

    format: ClassVar[str] = "csr"

    _pattern: Pattern

    @property
    def indptr(self) -> Indices:
        """Row offsets, shape (rows + 1,), read-only."""
        return self._pattern.indptr

    @property
    def indices(self) -> Indices:
        """Column of each stored value, shape (nnz,), read-only."""
        return self._pattern.indices

    @property
    def T(self) -> CSCArray:
        return CSCArray(self)

    @structural
    def _to_csr(self, canonical: bool) -> CSRArray:
        if not canonical or self._pattern.canonical:
            return self
        pattern, selection = self._pattern.canonicalize()
        if selection is None:
            return CSRArray(pattern, self._data, self._arrays)
        data = self._ordered("canonical", lambda: self._arrays.select(self._data, selection))
        return CSRArray(pattern, data, self._arrays)

    @structural
    def _to_csc(self, canonical: bool) -> CSCArray:
        transposed = CSRArray(*self._by_cols(), self._arrays)
        return transposed.tocsr(canonical).T

    @structural
    def _to_coo(self, canonical: bool) -> COOArray:
        csr = self.tocsr(canonical)
        return COOArray(csr._pattern.tocoo(), csr._data, self._arrays)

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
        return pattern, self._ordered(
            "transposed", lambda: self._arrays.gather(self._data, index_map)
        )

    def _made(self, pattern: Pattern, data: Array) -> CSRArray:
        """Return a CSRArray over values that an operation made, read-only from now on."""
        return CSRArray(pattern, self._arrays.freeze(data), self._arrays)

    def _index_arrays(self) -> tuple[Indices, Indices]:
        return self.indices, self.indptr
