# SPDX-License-Identifier: Apache-2.0
"""Gradients of the engine's operations, once for all frameworks.

Each operation is linear in each of its operands, and its adjoint by one operand is an operation of
the same few: so these rules serve every order of differentiation. ``ops`` is a framework's module
or object with the operations ``matmul``, ``sddmm``, ``spgemm``, ``segment_sum``, ``todense``,
``sample``, ``packed_matmul`` and ``tracked_packed_matmul``, with ``cast_like``, and with ``conj``:
the complex conjugate where the framework's gradients are by convention conjugated (PyTorch, MLX),
the identity where they are not (JAX).

Every function takes the number of the operand, the gradient of the result, then the operation's
arguments, and returns the operand's gradient.
"""

from __future__ import annotations

from typing import Any

from .arrays import Array
from .structure import Pattern, Selection


def matmul(
    ops: Any,
    operand: int,
    gradient: Array,
    values: Array,
    x: Array,
    pattern: Pattern,
    transpose: bool,
    swapped: bool,
) -> Array:
    """Of Y = A X, or Aᵀ X: by the values (0) and by X (1); swapped, X and Y are transposed."""
    if operand == 1:
        return ops.matmul(ops.conj(values), gradient, pattern, not transpose, swapped)
    return ops.sddmm(*sampled_factors(ops.conj(x), gradient, transpose, swapped), pattern)


def sddmm(ops: Any, operand: int, gradient: Array, u: Array, v: Array, pattern: Pattern) -> Array:
    """Of the values of U Vᵀ at the positions: by U (0) and by V (1)."""
    other = ops.conj(u if operand == 1 else v)
    return ops.matmul(gradient, other, pattern, operand == 1, False)


def spgemm(
    ops: Any,
    operand: int,
    gradient: Array,
    a_values: Array,
    b_values: Array,
    a: Pattern,
    b: Pattern,
    c: Pattern,
    transpose_b: bool,
) -> Array:
    """Of the values of A B, or A Bᵀ, at c's positions: by A's values (0) and by B's (1).

    No list of products is built: each gradient is a product at the operand's own positions.
    """
    if operand == 0:
        return ops.spgemm(gradient, ops.conj(b_values), c, b, a, not transpose_b)
    a_values = ops.conj(a_values)
    if transpose_b:
        c_transposed, c_map = c.transpose()
        moved = ops.segment_sum(gradient, Selection(c.nnz, c_map))
        return ops.spgemm(moved, a_values, c_transposed, a, b, False)
    a_transposed, a_map = a.transpose()
    moved = ops.segment_sum(a_values, Selection(a.nnz, a_map))
    return ops.spgemm(moved, gradient, a_transposed, c, b, False)


def segment_sum(
    ops: Any, operand: int, gradient: Array, values: Array, selection: Selection
) -> Array:
    """Of sums of selected values."""
    return ops.segment_sum(gradient, selection.transpose())


def todense(
    ops: Any, operand: int, gradient: Array, values: Array, pattern: Pattern, transposed: bool
) -> Array:
    """Of the dense matrix, or its transpose."""
    return ops.sample(gradient, pattern, transposed)


def sample(
    ops: Any, operand: int, gradient: Array, dense: Array, pattern: Pattern, transposed: bool
) -> Array:
    """Of the elements of a dense matrix, or its transpose, at the positions."""
    return ops.todense(gradient, pattern, transposed)


def packed_matmul(
    ops: Any,
    operand: int,
    gradient: Array,
    x: Array,
    matrix: Any,
    transpose: bool,
    swapped: bool,
) -> Array:
    """Of P X, or Pᵀ X, by X."""
    by_x = ops.packed_matmul(gradient, matrix, not transpose, swapped)
    return ops.cast_like(by_x, x)


def tracked_packed_matmul(
    ops: Any,
    operand: int,
    gradient: Array,
    values: Array,
    x: Array,
    slots: Any,
    transpose: bool,
    swapped: bool,
) -> Array:
    """Of P X, or Pᵀ X, by P's stored values (0) and by X (1)."""
    if operand == 1:
        by_x = ops.tracked_packed_matmul(values, gradient, slots, not transpose, swapped)
        return ops.cast_like(by_x, x)
    u, v = sampled_factors(ops.cast_like(x, gradient), gradient, transpose, swapped)
    return ops.cast_like(ops.segment_sum(ops.sddmm(u, v, slots.pattern), slots.padded), values)


def sampled_factors(
    x: Array, gradient: Array, transpose: bool, swapped: bool
) -> tuple[Array, Array]:
    """U and V whose U Vᵀ has the gradient by the matrix of a product, from X and that of Y."""
    if swapped and x.ndim > 1:
        x, gradient = x.mT, gradient.mT
    return (x, gradient) if transpose else (gradient, x)
