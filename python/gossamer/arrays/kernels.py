# SPDX-License-Identifier: Apache-2.0
"""The engine's operations on NumPy arrays, as adapters of other frameworks call them.

Arrays are given as the engine takes them: bfloat16 as its bits. Those of rank 1 that hold a
matrix's values are contiguous; every other may have any strides. ``out`` is written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _engine
from ..structure import Pattern, Selection, common_index_dtype, index_dtype

#: Axes that the engine's views have at most.
MAX_RANK = 8


def matmul_shape(
    shape: tuple[int, ...], pattern: Pattern, transpose: bool, swapped: bool
) -> tuple[int, ...]:
    """Shape of Y = A X, or Aᵀ X, for the shape of X: (n,), (..., n, k) or swapped (..., k, n)."""
    outputs = pattern.cols if transpose else pattern.rows
    if len(shape) == 1:
        return (outputs,)
    return (*shape[:-1], outputs) if swapped else (*shape[:-2], outputs, shape[-1])


def matmul(values: Any, x: Any, pattern: Pattern, transpose: bool, swapped: bool, out: Any) -> None:
    """Write Y = A X, or Aᵀ X; swapped, X and Y are the transposed ones."""
    if transpose:
        pattern, index_map = pattern.transpose()
        moved = np.empty_like(values)
        _engine.gather(values, index_map, moved)
        values = moved
    x, out = within_rank(x), within_rank(out)
    if swapped and x.ndim > 1:
        x, out = x.swapaxes(-1, -2), out.swapaxes(-1, -2)
    _engine.matmul(pattern.handle, values, x, out, False)


def sddmm(u: Any, v: Any, pattern: Pattern, out: Any) -> None:
    """Write the values of U Vᵀ at the positions, summed over batches."""
    _engine.sddmm(pattern.handle, within_rank(u), within_rank(v), out)


def spgemm(
    a_values: Any,
    b_values: Any,
    a: Pattern,
    b: Pattern,
    c: Pattern,
    transpose_b: bool,
    out: Any,
) -> None:
    """Write the values of A B, or A Bᵀ, at c's positions."""
    _engine.spgemm_masked(a.handle, a_values, b.handle, b_values, c.handle, out, transpose_b)


def spgemm_pattern(a: Pattern, b: Pattern) -> Pattern:
    """Pattern of A B, in an index dtype that holds it."""
    a, b = common_index_dtype(a, b)
    offsets = np.empty(a.rows + 1, np.int64)
    nnz = _engine.spgemm_count(a.handle, b.handle, offsets)
    indices = np.empty(nnz, index_dtype(a.rows, b.cols, nnz, at_least=a.index_dtype))
    _engine.spgemm_fill(a.handle, None, b.handle, None, offsets, indices, None)
    return Pattern(a.rows, b.cols, offsets.astype(indices.dtype), indices, True, True)


def segment_sum(values: Any, selection: Selection, out: Any) -> None:
    """Write sums of selected values."""
    if selection.segments is not None:
        _engine.segment_sum(values, selection.index_map, selection.segments, out)
    else:
        assert selection.index_map is not None
        _engine.gather(values, selection.index_map, out)


def todense(values: Any, pattern: Pattern, transposed: bool, out: Any) -> None:
    """Write the dense matrix, or its transpose; duplicates are summed."""
    _engine.todense(pattern.handle, values, out.T if transposed else out)


def sample(dense: Any, pattern: Pattern, transposed: bool, out: Any) -> None:
    """Write the elements of a dense matrix, or its transpose, at the positions."""
    matrix = dense.T if transposed else dense
    out[...] = matrix[pattern.row_indices(), pattern.indices]


def within_rank(x: Any) -> Any:
    """Fold the leading axes of an array that has more than the engine's views."""
    if x.ndim <= MAX_RANK:
        return x
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
