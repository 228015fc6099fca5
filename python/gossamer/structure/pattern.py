# SPDX-License-Identifier: Apache-2.0
"""The stored positions of a compressed matrix, and what can be derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _engine
from .indices import Indices, empty_offsets, freeze, index_dtype
from .positions import Positions
from .selection import Selection

if TYPE_CHECKING:
    from .coo import CooPattern

# Positions from which looking for runs pays.
_FEWEST_WITH_RUNS = 4096

# Columns for each stored or wanted position from which picked ones are looked up: an array of all
# would outgrow the matrix. A Zen 5, 1000 of 10⁶ positions' columns, ms by array and looked up: 4.5
# columns a position 14 and 48, 16 31 and 44, 32 53 and 44, 64 95 and 45.
_COLUMNS_PER_POSITION = 24


class Pattern(Positions):
    """Positions of a matrix of shape (rows, cols), row by row; a CSC array holds its transpose's.

    Immutable, and shared by all containers that store the same positions. Both index arrays have
    one dtype, int32 or int64, and are read-only; int32 implies that rows, cols and nnz are below
    2³¹.

    Attributes
    ----------
    indptr, indices
        Row offsets, shape (rows + 1,), and column indices, shape (nnz,); sorted where each row's
        never decrease.
    handle
        The engine's view of the two arrays.
    prepared
        What a device keeps for products with it, by what the device calls itself.
    """

    __slots__ = (
        "_canonical",
        "_runs_known",
        "_transpose",
        "handle",
        "indices",
        "indptr",
        "prepared",
    )

    def __init__(
        self,
        rows: int,
        cols: int,
        indptr: Indices,
        indices: Indices,
        sorted: bool = False,
        canonical: bool = False,
    ) -> None:
        self._describe(rows, cols, sorted, canonical)
        self.indptr = freeze(indptr)
        self.indices = freeze(indices)
        self.handle = _engine.CsrPattern(rows, cols, indptr, indices)

    def _describe(self, rows: int, cols: int, sorted: bool, canonical: bool) -> None:
        super().__init__(rows, cols, sorted, canonical)
        self.prepared: dict[Any, Any] = {}
        self._runs_known = False
        self._transpose: tuple[Pattern, Indices] | None = None
        self._canonical: tuple[Pattern, Selection | None] | None = None

    @property
    def nnz(self) -> int:
        """Number of stored positions."""
        return len(self.indices)

    @property
    def index_arrays(self) -> tuple[Indices, Indices]:
        """Columns and row offsets."""
        return self.indices, self.indptr

    @property
    def index_dtype(self) -> np.dtype[Any]:
        """Dtype of the index arrays."""
        return self.indices.dtype

    def __deepcopy__(self, memo: Any) -> Pattern:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = self.rows, self.cols, self.indptr, self.indices, self.sorted, self.canonical
        return Pattern, arguments

    def _empty(self, count: int) -> Indices:
        return np.empty(count, self.index_dtype)

    @property
    def row_segments(self) -> Indices:
        """Row offsets as the segments of sums over rows, where operations on values take them."""
        return self.indptr

    def validate(self, csc: bool = False) -> tuple[bool, bool]:
        """Check every offset and index; return whether they are sorted, and canonical.

        Raises
        ------
        ValueError
            Naming the first that is wrong; ``csc`` makes it speak of rows.
        """
        return _engine.validate_csr(self.handle, csc)

    def tocoo(self) -> CooPattern:
        """Return the same positions as rows and columns."""
        from .coo import CooPattern

        return CooPattern(
            self.rows, self.cols, self.row_indices(), self.indices, self.sorted, self.canonical
        )

    def multiply(
        self, values: Any, x: Any, y: Any, conjugate: bool = False, swapped: bool = False
    ) -> None:
        """Write A @ x, or conj(A) @ x, into y; arrays as the engine takes them.

        Swapped, x and y have their last two axes exchanged: a vector in each row.

        The first product looks for rows that repeat the row before, one column to the right, as in
        bands and stencils: products that know them read a run's columns once. An index is kept for
        each run, where these have 4 rows on the average.
        """
        if not self._runs_known:
            self.find_runs()
        _engine.matmul(self.handle, values, x, y, conjugate, swapped)

    def product(self, values: Any, x: Any, conjugate: bool, most_bytes: int) -> Any:
        """Return A @ x, or conj(A) @ x, of NumPy's arrays; None if that has over `most_bytes`."""
        if not self._runs_known:
            self.find_runs()
        return _engine.product(
            np.empty, self.handle, values, x, values.dtype, conjugate, most_bytes
        )

    def column_sums(self, values: Any, out: Any) -> None:
        """Write the sum of every column into out, as `multiply_transposed` does for ones."""
        _engine.column_sums(self.handle, values, out)

    def multiply_transposed(self, values: Any, x: Any, y: Any, conjugate: bool = False) -> None:
        """Write A.T @ x, or A.H @ x, into y; arrays as the engine takes them.

        Rows of A are added up in pieces, which the first product finds, and no transposed structure
        is made.
        """
        _engine.matmul_transposed(self.handle, values, x, y, conjugate)

    def find_runs(self) -> None:
        """Let products know the runs, before the first one."""
        if not self._runs_known and self.nnz >= _FEWEST_WITH_RUNS:
            starts = self._empty(self.rows // 4 + 1)
            runs = _engine.find_runs(self.handle, starts)
            if runs:
                self.handle.use_runs(starts[: runs + 1].copy(), runs)
        self._runs_known = True

    def transpose(self) -> tuple[Pattern, Indices]:
        """Pattern of the transpose, sorted, and the index map of its values.

        Made on the first call and kept: cols + 1 + 2 nnz indices.
        """
        if self._transpose is None:
            indptr = empty_offsets(self.cols, self.index_dtype)
            indices, index_map = self._empty(self.nnz), self._empty(self.nnz)
            _engine.transpose(self.handle, indptr, indices, index_map)
            transposed = Pattern(self.cols, self.rows, indptr, indices, True, self.canonical)
            self._transpose = transposed, freeze(index_map)
        return self._transpose

    def canonicalize(self) -> tuple[Pattern, Selection | None]:
        """Pattern with sorted rows and every position once, and what its values are sums of.

        None where the values stay as they are. Made on the first call and kept: of n positions
        rows + 1 + 2 n indices, and nnz more where rows were not sorted.
        """
        if self.canonical:
            return self, None
        if self._canonical is None:
            pattern, segments, index_map = self._canonicalized()
            stays = segments is None and index_map is None
            selection = None if stays else Selection(self.nnz, index_map, segments)
            self._canonical = pattern, selection
        return self._canonical

    def _canonicalized(self) -> tuple[Pattern, Any, Any]:
        """Canonical pattern, segments and index map of a `Selection`, None for none."""
        ordered, index_map = self.sort()
        if ordered.canonical:
            return ordered, None, index_map
        indptr = self._empty(self.rows + 1)
        count = _engine.count_distinct(ordered.handle, indptr)
        if count == self.nnz:
            pattern = Pattern(self.rows, self.cols, indptr, ordered.indices, True, True)
            return pattern, None, index_map
        indices, segments = self._empty(count), self._empty(count + 1)
        _engine.fill_distinct(ordered.handle, indptr, indices, segments)
        return Pattern(self.rows, self.cols, indptr, indices, True, True), segments, index_map

    def sort(self) -> tuple[Pattern, Indices | None]:
        """Pattern with each row's columns in order, equal ones in stored order, and its map."""
        if self.sorted:
            return self, None
        indices, index_map = self._empty(self.nnz), self._empty(self.nnz)
        flags = _engine.sort_indices(self.handle, indices, index_map)
        return Pattern(self.rows, self.cols, self.indptr, indices, *flags), freeze(index_map)

    def union(self, other: Pattern) -> tuple[Pattern, Indices, Indices]:
        """Positions of either of two canonical patterns, and the map from each, -1 where absent."""
        a, b, indptr, nnz = self._count_union(other)
        indices, from_a, from_b = a._empty(nnz), a._empty(nnz), a._empty(nnz)
        _engine.fill_union(a.handle, b.handle, indptr, indices, from_a, from_b)
        return Pattern(a.rows, a.cols, indptr, indices, True, True), from_a, from_b

    def add(self, values: Any, other: Pattern, others: Any, subtract: bool) -> tuple[Pattern, Any]:
        """Pattern and values of the sum or difference of two canonical matrices.

        Values are NumPy arrays of one dtype, as the engine takes them.
        """
        a, b, indptr, nnz = self._count_union(other)
        indices, sums = a._empty(nnz), np.empty(nnz, values.dtype)
        _engine.fill_union_values(
            a.handle, values, b.handle, others, subtract, indptr, indices, sums
        )
        return Pattern(a.rows, a.cols, indptr, indices, True, True), sums

    def intersection(self, other: Pattern) -> tuple[Pattern, Indices, Indices]:
        """Positions that two canonical patterns share, and the map from each."""
        a, b, indptr, nnz = self._count_intersection(other)
        indices, from_a, from_b = a._empty(nnz), a._empty(nnz), a._empty(nnz)
        _engine.fill_intersection(a.handle, b.handle, indptr, indices, from_a, from_b)
        return Pattern(a.rows, a.cols, indptr, indices, True, True), from_a, from_b

    def intersect(self, values: Any, other: Pattern, others: Any) -> tuple[Pattern, Any]:
        """Pattern and values of the elementwise product of two canonical matrices; as `add`."""
        a, b, indptr, nnz = self._count_intersection(other)
        indices, products = a._empty(nnz), np.empty(nnz, values.dtype)
        _engine.fill_intersection_values(
            a.handle, values, b.handle, others, indptr, indices, products
        )
        return Pattern(a.rows, a.cols, indptr, indices, True, True), products

    def _count_intersection(self, other: Pattern) -> tuple[Pattern, Pattern, Indices, int]:
        """Both patterns in one index dtype, the row offsets of what they share, and its size."""
        a, b = common_index_dtype(self, other)
        indptr = a._empty(a.rows + 1)
        return a, b, indptr, _engine.count_intersection(a.handle, b.handle, indptr)

    def _count_union(self, other: Pattern) -> tuple[Pattern, Pattern, Indices, int]:
        """Both patterns in one index dtype that holds their union, its row offsets and size."""
        a, b = common_index_dtype(self, other)
        if a.nnz + b.nnz > np.iinfo(a.index_dtype).max:
            a, b = a.astype(np.int64), b.astype(np.int64)
        indptr = a._empty(a.rows + 1)
        return a, b, indptr, _engine.count_union(a.handle, b.handle, indptr)

    def row_indices(self) -> Indices:
        """Row of each stored position, shape (nnz,)."""
        row = self._empty(self.nnz)
        _engine.csr_to_coo(self.handle, row)
        return freeze(row)

    def select_rows(self, rows: range | Indices) -> tuple[Pattern, slice | Indices]:
        """Pattern of some rows, and where their values are: a slice for a range, of step 1."""
        if not isinstance(rows, range):
            return self._pick_rows(rows)
        start, stop = (int(self.indptr[i]) for i in (rows.start, max(rows.start, rows.stop)))
        indptr = self.indptr[rows.start : rows.start + len(rows) + 1] - self.indptr[rows.start]
        indices = self.indices[start:stop]
        pattern = Pattern(len(rows), self.cols, indptr, indices, self.sorted, self.canonical)
        return pattern, slice(start, stop)

    def _pick_rows(self, rows: Indices) -> tuple[Pattern, Indices]:
        source, indptr, nnz = self._row_offsets_of(rows)
        indices, positions = source._empty(nnz), source._empty(nnz)
        _engine.select_rows(source.handle, rows, indptr, indices, positions)
        return Pattern(
            len(rows), self.cols, indptr, indices, self.sorted, self.canonical
        ), positions

    def pick_rows(self, values: Any, rows: Indices) -> tuple[Pattern, Any]:
        """Pattern and values of rows by number; values are NumPy's, as the engine takes them."""
        source, indptr, nnz = self._row_offsets_of(rows)
        indices, picked = source._empty(nnz), np.empty(nnz, values.dtype)
        _engine.select_rows_values(source.handle, values, rows, indptr, indices, picked)
        return Pattern(len(rows), self.cols, indptr, indices, self.sorted, self.canonical), picked

    def _row_offsets_of(self, rows: Indices) -> tuple[Pattern, Indices, int]:
        """Positions in an index dtype that holds some rows, where each of these begins, their size.

        Rows that are named several times may need a wider one.
        """
        indptr = self._empty(len(rows) + 1)
        nnz = _engine.count_rows(self.handle, rows, indptr)
        if index_dtype(0, 0, nnz, self.index_dtype) == self.index_dtype:
            return self, indptr, nnz
        return self.astype(np.int64)._row_offsets_of(rows)

    def select_columns(self, cols: range | Indices) -> tuple[Pattern, Indices]:
        """Pattern of some columns, and where their values are.

        Those of a range keep their order; other ones may repeat, and come sorted.
        """
        if not isinstance(cols, range):
            return self._pick_columns(cols)
        bounds, indptr = (cols.start, cols.stop, cols.step), self._empty(self.rows + 1)
        nnz = _engine.count_columns(self.handle, *bounds, indptr)
        indices, positions = self._empty(nnz), self._empty(nnz)
        _engine.fill_columns(self.handle, *bounds, indptr, indices, positions)
        flags = self.sorted, self.canonical
        return Pattern(self.rows, len(cols), indptr, indices, *flags), positions

    def _pick_columns(self, cols: Indices) -> tuple[Pattern, Indices]:
        if self.cols > _COLUMNS_PER_POSITION * (self.nnz + len(cols) + 1):
            return self._without_empty_columns(cols)
        dtype = index_dtype(self.cols, len(cols), len(cols), self.index_dtype)
        sources = Pattern(
            len(cols), self.cols, np.arange(len(cols) + 1, dtype=dtype), cols.astype(dtype)
        )
        targets, _ = sources.transpose()  # row c says where column c goes
        copies = int(np.diff(targets.indptr).max(initial=0))
        dtype = index_dtype(0, 0, copies * self.nnz, dtype)
        targets = targets.astype(dtype)
        source, indptr = self.astype(dtype), np.empty(self.rows + 1, dtype)
        nnz = _engine.count_picked_columns(source.handle, targets.handle, indptr)
        indices, positions = np.empty(nnz, dtype), np.empty(nnz, dtype)
        _engine.fill_picked_columns(source.handle, targets.handle, indptr, indices, positions)
        # Two entries at one position, in a column that is named twice, come out as 0 1 0 1.
        in_order = (copies <= 1 or self.canonical) and bool((cols[1:] >= cols[:-1]).all())
        flags = (self.sorted, self.canonical) if in_order else (False, False)
        picked = Pattern(self.rows, len(cols), indptr, indices, *flags)
        if picked.sorted:
            return picked, positions
        indices, ordered = np.empty(nnz, dtype), np.empty(nnz, dtype)
        flags = _engine.sort_indices_values(picked.handle, positions, indices, ordered)
        return Pattern(self.rows, len(cols), indptr, indices, *flags), ordered

    def _without_empty_columns(self, cols: Indices) -> tuple[Pattern, Indices]:
        """Columns by number, in memory for those alone; all that nobody asked for become one."""
        wanted, numbers = np.unique(cols, return_inverse=True)
        wanted = np.append(wanted, self.cols)
        indices = np.searchsorted(wanted, self.indices).astype(self.index_dtype)
        indices[wanted[indices] != self.indices] = len(wanted) - 1
        return Pattern(self.rows, len(wanted), self.indptr, indices)._pick_columns(numbers)

    def astype(self, index_dtype: Any) -> Pattern:
        """Return the same positions in another index dtype, which must hold them."""
        if self.index_dtype == index_dtype:
            return self
        return Pattern(
            self.rows,
            self.cols,
            self.indptr.astype(index_dtype),
            self.indices.astype(index_dtype),
            self.sorted,
            self.canonical,
        )


def on_diagonals(
    shape: tuple[int, int], diagonals: Sequence[tuple[int, int, int]], values: int
) -> tuple[Pattern, Indices]:
    """Pattern of a matrix that its diagonals describe, and which of the values each position has.

    A diagonal is its offset, the number of its first value, and the step to the next one: 0 where
    it has one value; offsets ascend, and lie in the matrix.
    """
    nnz = _engine.count_diagonals(*shape, diagonals)
    dtype = index_dtype(*shape, max(nnz, values))
    indptr = empty_offsets(shape[0], dtype)
    indices, index_map = np.empty(nnz, dtype), np.empty(nnz, dtype)
    _engine.fill_diagonals(*shape, diagonals, indptr, indices, index_map)
    return Pattern(*shape, indptr, indices, True, True), index_map


def beside(
    patterns: Sequence[Pattern], dtype: Any, values: Sequence[Any] | None = None
) -> tuple[Pattern, Any]:
    """Pattern of matrices side by side, and where each of its values is in all of theirs.

    Their values are taken to follow each other; ``dtype`` is to hold all positions. The values
    themselves, NumPy arrays of one dtype as the engine takes them, come instead of the map where
    they are given.
    """
    blocks = [pattern.astype(dtype) for pattern in patterns]
    handles, rows = [block.handle for block in blocks], blocks[0].rows
    cols, nnz = (sum(getattr(block, n) for block in blocks) for n in ("cols", "nnz"))
    indptr, indices = np.empty(rows + 1, dtype), np.empty(nnz, dtype)
    moved = np.empty(nnz, dtype if values is None else values[0].dtype)
    if values is None:
        _engine.hstack(handles, indptr, indices, moved)
    else:
        _engine.hstack_values(handles, values, indptr, indices, moved)
    flags = all(block.sorted for block in blocks), all(block.canonical for block in blocks)
    return Pattern(rows, cols, indptr, indices, *flags), moved


def kron(a: Pattern, b: Pattern, dtype: Any, values: Sequence[Any] = ()) -> tuple[Pattern, Any]:
    """Pattern of a Kronecker product, and which of all pairs of values each of its values is of.

    Pairs follow each other as in ``outer``; otherwise as `beside`, with the products of the values.
    """
    a, b = a.astype(dtype), b.astype(dtype)
    rows, cols, nnz = a.rows * b.rows, a.cols * b.cols, a.nnz * b.nnz
    indptr, indices = empty_offsets(rows, dtype), np.empty(nnz, dtype)
    made = np.empty(nnz, values[0].dtype if values else dtype)
    if values:
        x, y = values
        _engine.kron_values(a.handle, x, b.handle, y, indptr, indices, made)
    else:
        _engine.kron(a.handle, b.handle, indptr, indices, made)
    # A column twice in a row of A: B's row comes twice, one behind the other.
    flags = a.canonical and b.sorted, a.canonical and b.canonical
    return Pattern(rows, cols, indptr, indices, *flags), made


def below(patterns: Sequence[Pattern], dtype: Any) -> Pattern:
    """Pattern of matrices one below the other; ``dtype`` is to hold all positions."""
    rows = sum(pattern.rows for pattern in patterns)
    indptr, above, done = np.zeros(rows + 1, dtype), 0, 0
    for p in patterns:
        offsets = indptr[above + 1 : above + p.rows + 1]
        np.add(p.indptr[1:], dtype.type(done), out=offsets, dtype=dtype)
        above, done = above + p.rows, done + p.nnz
    indices = np.concatenate([pattern.indices for pattern in patterns], dtype=dtype)
    flags = all(p.sorted for p in patterns), all(p.canonical for p in patterns)
    return Pattern(rows, patterns[0].cols, indptr, indices, *flags)


def common_index_dtype(a: Pattern, b: Pattern) -> tuple[Pattern, Pattern]:
    """Both patterns in the wider of their index dtypes."""
    dtype = np.promote_types(a.index_dtype, b.index_dtype)
    return a.astype(dtype), b.astype(dtype)
