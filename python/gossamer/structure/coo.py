# SPDX-License-Identifier: Apache-2.0
"""The stored positions of a COO matrix."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .. import _engine
from .indices import Indices, empty_offsets, freeze
from .pattern import Pattern
from .positions import Positions


class CooPattern(Positions):
    """Positions of a matrix of shape (rows, cols) in any order, repeats allowed.

    Both index arrays have one dtype, int32 or int64, and are read-only.

    Attributes
    ----------
    row, col
        Row and column of each position, shape (nnz,); sorted in row-major order.
    joined
        PyTorch's index tensor of shape (2, nnz), if row and col came as its rows; else None.
    """

    __slots__ = ("_compressed", "_transpose", "col", "joined", "row")

    def __init__(
        self,
        rows: int,
        cols: int,
        row: Indices,
        col: Indices,
        sorted: bool = False,
        canonical: bool = False,
    ) -> None:
        self._describe(rows, cols, sorted, canonical)
        self.row = freeze(row)
        self.col = freeze(col)

    def _describe(self, rows: int, cols: int, sorted: bool, canonical: bool) -> None:
        super().__init__(rows, cols, sorted, canonical)
        self.joined: Any = None
        self._compressed: tuple[Pattern, Indices | None] | None = None
        self._transpose: CooPattern | None = None

    @property
    def nnz(self) -> int:
        """Number of stored positions."""
        return len(self.row)

    @property
    def index_arrays(self) -> tuple[Indices, Indices]:
        """Rows and columns."""
        return self.row, self.col

    @property
    def index_dtype(self) -> np.dtype[Any]:
        """Dtype of the index arrays."""
        return self.row.dtype

    def transpose(self) -> CooPattern:
        """Positions with rows and columns exchanged, sharing both arrays."""
        if self._transpose is None:
            self._transpose = self._transposed()
            self._transpose._transpose = self
        return self._transpose

    def _transposed(self) -> CooPattern:
        return CooPattern(self.cols, self.rows, self.col, self.row)

    def validate(self) -> tuple[bool, bool]:
        """Check every index; return whether they are sorted, and canonical.

        Raises
        ------
        ValueError
            Naming the first that is wrong.
        """
        return _engine.validate_coo(self.rows, self.cols, self.row, self.col)

    def astype(self, index_dtype: Any) -> CooPattern:
        """Return the same positions in another index dtype, which must hold them."""
        if self.index_dtype == index_dtype:
            return self
        row, col = self.row.astype(index_dtype), self.col.astype(index_dtype)
        return CooPattern(self.rows, self.cols, row, col, self.sorted, self.canonical)

    @property
    def is_compressed(self) -> bool:
        """Whether `compress` has its answer already, or moves nothing."""
        return self.sorted or self._compressed is not None

    @property
    def is_sorted_by_columns(self) -> bool:
        """Whether the transpose is known to be sorted, and this is not.

        What was compressed before does not matter: products would depend on those before them.
        """
        transpose = self._transpose
        return transpose is not None and transpose.sorted and not self.sorted

    @property
    def is_unordered(self) -> bool:
        """Whether positions are known to be sorted neither by rows nor by columns."""
        return not self.sorted and not self.is_sorted_by_columns

    def multiply(self, values: Any, x: Any, y: Any, conjugate: bool = False) -> None:
        """Write A @ x, or conj(A) @ x, of a vector into y, without a compressed structure."""
        _engine.matmul_coo(self.rows, self.cols, self.row, self.col, values, x, y, conjugate)

    def row_sums(self, values: Any, out: Any) -> None:
        """Write the sum of every row into out, as `multiply` does for ones."""
        _engine.row_sums_coo(self.rows, self.cols, self.row, self.col, values, out)

    def compress(self) -> tuple[Pattern, Indices | None]:
        """Pattern of the same positions row by row, sorted, and the index map of its values.

        The map is None where nothing moves. Made on the first call and kept: rows + 1 + 2 nnz
        indices.
        """
        if self._compressed is None:
            self._compressed = self._compress()
        return self._compressed

    def _compress(self) -> tuple[Pattern, Indices | None]:
        empty = partial(np.empty, dtype=self.index_dtype)
        indptr = empty_offsets(self.rows, self.index_dtype)
        moved = None if self.sorted else (empty(self.nnz), empty(self.nnz))
        indices, index_map = moved or (None, None)
        flags = _engine.coo_to_csr(
            self.rows, self.cols, self.row, self.col, True, indptr, indices, index_map
        )
        if indices is None:
            indices, flags = self.col, (True, self.canonical)
        return Pattern(self.rows, self.cols, indptr, indices, *flags), index_map
