# SPDX-License-Identifier: Apache-2.0
"""The engine's operations on NumPy arrays, as adapters of other frameworks call them.

bfloat16 may come as ml_dtypes' type or as its bits; strides may be any. Results are written into
``out`` where it is given, and returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _engine
from ..structure import Pattern, Selection, check_values, common_index_dtype, index_dtype
from .numpy import bits, sample_product
from .operands import within_rank


def matmul_shape(
    shape: tuple[int, ...], pattern: Pattern, transpose: bool, swapped: bool
) -> tuple[int, ...]:
    """Shape of Y = A X, or Aᵀ X, for the shape of X: (n,), (..., n, k) or swapped (..., k, n)."""
    return product_shape(shape, (pattern.rows, pattern.cols), transpose, swapped)


def product_shape(
    shape: tuple[int, ...], size: tuple[int, int], transpose: bool, swapped: bool
) -> tuple[int, ...]:
    """`matmul_shape` for a matrix of shape ``size``."""
    outputs = size[1] if transpose else size[0]
    if swapped or len(shape) == 1:
        return *shape[:-1], outputs
    return *shape[:-2], outputs, shape[-1]


def dense_shape(pattern: Pattern, transposed: bool) -> tuple[int, int]:
    """Shape of the dense matrix, or of its transpose."""
    return (pattern.cols, pattern.rows) if transposed else (pattern.rows, pattern.cols)


def matmul(
    values: Any, x: Any, pattern: Pattern, transpose: bool, swapped: bool, out: Any = None
) -> Any:
    """Y = A X, or Aᵀ X; swapped, X and Y are the transposed ones."""
    if out is None:
        out = np.empty(matmul_shape(x.shape, pattern, transpose, swapped), x.dtype)
    x, y = folded(bits(x), swapped), folded(bits(out), swapped)
    multiply(_vector(values), x, y, pattern, transpose, swapped, np.empty_like)
    return out


def multiply(
    values: Any,
    x: Any,
    y: Any,
    pattern: Pattern,
    transpose: bool,
    swapped: bool,
    empty_like: Callable[[Any], Any],
) -> None:
    """Write `matmul` of arrays that the engine takes as they are, of any framework, into y."""
    if not transpose:
        pattern.multiply(values, x, y, False, swapped)
    elif x.ndim == 1 and pattern.adds_rows:
        pattern.multiply_transposed(values, x, y)
    else:
        transposed, index_map = pattern.transpose()
        moved = empty_like(values)
        _engine.gather(values, index_map, moved)
        transposed.multiply(moved, x, y, False, swapped)


def folded(x: Any, swapped: bool) -> Any:
    """Fold leading axes of an operand: all of vectors in rows, so that they are one batch."""
    if swapped and x.ndim > 2:
        return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return within_rank(x)


def sddmm(u: Any, v: Any, pattern: Pattern, out: Any = None) -> Any:
    """Values of U Vᵀ at the positions, summed over batches."""
    out = np.empty(pattern.nnz, u.dtype) if out is None else out
    sample_product(
        within_rank(bits(u)), within_rank(bits(v)), pattern, bits(out), np.ascontiguousarray
    )
    return out


def spgemm(
    a_values: Any,
    b_values: Any,
    a: Pattern,
    b: Pattern,
    c: Pattern,
    transpose_b: bool,
    out: Any = None,
) -> Any:
    """Values of A B, or A Bᵀ, at c's positions."""
    out = np.empty(c.nnz, a_values.dtype) if out is None else out
    left, right = _vector(a_values), _vector(b_values)
    _engine.spgemm_masked(a.handle, left, b.handle, right, c.handle, bits(out), transpose_b)
    return out


def spgemm_pattern(a: Pattern, b: Pattern) -> Pattern:
    """Pattern of A B, in an index dtype that holds it."""
    a, b = common_index_dtype(a, b)
    offsets = np.empty(a.rows + 1, np.int64)
    nnz = _engine.spgemm_count(a.handle, b.handle, offsets)
    indices = np.empty(nnz, index_dtype(a.rows, b.cols, nnz, at_least=a.index_dtype))
    _engine.spgemm_fill(a.handle, None, b.handle, None, offsets, indices, None)
    return Pattern(a.rows, b.cols, offsets.astype(indices.dtype), indices, True, True)


def packed_matmul(x: Any, matrix: Any, transpose: bool, swapped: bool) -> Any:
    """P X, or Pᵀ X, for a packed matrix over NumPy arrays; swapped, X and the result transposed."""
    return matrix.matmul(x, transpose, swapped)


def verified(values: Any, x: Any, matrix: Any) -> Any:
    """Return x where 8-bit values are those of a packed matrix; raise ValueError if they are not.

    What traces values cannot look at them before.
    """
    if not np.array_equal(values.view(np.uint8), matrix.values.view(np.uint8)):
        raise ValueError(
            f"a packed array of {matrix.dtype_name} got other values as a leaf: they are rounded "
            f"and stay as they are; pack it as float32, float16 or bfloat16"
        )
    return x


def tracked_packed_matmul(values: Any, x: Any, slots: Any, transpose: bool, swapped: bool) -> Any:
    """P X, or Pᵀ X, for a matrix of these values in its slots; otherwise as `packed_matmul`."""
    return slots.over(values).matmul(x, transpose, swapped)


def segment_sum(values: Any, selection: Selection, out: Any = None) -> Any:
    """Sums of selected values."""
    check_values(values, selection.cols)
    out = np.empty(selection.rows, values.dtype) if out is None else out
    if selection.segments is not None:
        _engine.segment_sum(_vector(values), selection.index_map, selection.segments, bits(out))
    else:
        assert selection.index_map is not None
        _engine.gather(_vector(values), selection.index_map, bits(out))
    return out


def todense(values: Any, pattern: Pattern, transposed: bool, out: Any = None) -> Any:
    """Return the dense matrix, or its transpose; duplicates are summed."""
    out = np.empty(dense_shape(pattern, transposed), values.dtype) if out is None else out
    target = bits(out)
    _engine.todense(pattern.handle, _vector(values), target.T if transposed else target)
    return out


def sample(dense: Any, pattern: Pattern, transposed: bool, out: Any = None) -> Any:
    """Elements of a dense matrix, or its transpose, at the positions."""
    matrix = dense.T if transposed else dense
    sampled = matrix[pattern.row_indices(), pattern.indices]
    if out is not None:
        out[...] = sampled
    return sampled


def _vector(values: Any) -> Any:
    return bits(np.ascontiguousarray(values))
