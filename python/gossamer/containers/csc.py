# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""Compressed sparse columns: the transpose of compressed sparse rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import Indices, Pattern
from .base import SparseArray
from .structural import structural

if TYPE_CHECKING:
    from .coo import COOArray
    from .csr import CSRArray


class CSCArray(SparseArray):
    """A matrix by columns: offsets of the columns, rows of the stored values. Made by `csc_array`.

    It is its transpose, a CSRArray, read with rows and columns exchanged, and shares its arrays and
    whatever that has cached. So here ``A @ x`` is the transposed product, and ``x @ A`` the one
    that needs nothing; see `CSRArray`.
    """

    __slots__ = ("_transpose",)

    format: ClassVar[str] = "csc"

    def __init__(self, transpose: CSRArray) -> None:
        self._transpose = transpose
        self._data = transpose._data
        self._arrays = transpose._arrays

    @property
    def shape(self) -> tuple[int, int]:
        return self._transpose.shape[::-1]

    @property
    def indptr(self) -> Indices:
        """Column offsets, shape (columns + 1,), read-only."""
        return self._transpose.indptr

    @property
    def indices(self) -> Indices:
        """Row of each stored value, shape (nnz,), read-only."""
        return self._transpose.indices

    @property
    def index_dtype(self) -> np.dtype[Any]:
        return self._transpose.index_dtype

    @property
    def has_sorted_indices(self) -> bool:
        return self._transpose.has_sorted_indices

    @property
    def has_canonical_format(self) -> bool:
        return self._transpose.has_canonical_format

    @property
    def T(self) -> CSRArray:
        return self._transpose

    @structural
    def _to_csr(self, canonical: bool) -> CSRArray:
        return self._transpose.tocsc(canonical).T

    @structural
    def _to_csc(self, canonical: bool) -> CSCArray:
        csr = self._transpose.tocsr(canonical)
        return self if csr is self._transpose else csr.T

    @structural
    def _to_coo(self, canonical: bool) -> COOArray:
        return self.tocsr(canonical).tocoo() if canonical else self._transpose.tocoo().T

    def todense(self) -> Array:
        return self._arrays.todense(self._transpose._pattern, self._data, transposed=True)

    def _csr(self) -> CSRArray:
        return self.tocsr()

    def _by_rows(self) -> tuple[Pattern, Array]:
        return self._transpose._by_cols()

    def _by_cols(self) -> tuple[Pattern, Array]:
        return self._transpose._by_rows()

    def _stored(self) -> tuple[Pattern, Array, bool]:
        return self._transpose._pattern, self._data, True

    @property
    def _structure(self) -> Pattern:
        return self._transpose._pattern

    @classmethod
    def _of(cls, structure: Any, data: Array, arrays: Adapter) -> CSCArray:
        from .csr import CSRArray

        return cls(CSRArray(structure, data, arrays))

    def _with_data(self, data: Array, arrays: Adapter | None = None) -> CSCArray:
        return CSCArray(self._transpose._with_data(data, arrays))

    def _index_arrays(self) -> tuple[Indices, Indices]:
        return self.indices, self.indptr
