# SPDX-License-Identifier: Apache-2.0
"""The engine's operations over tensors, registered and differentiable.

Patterns and selections travel as their numbers (`gossamer.structure.registry`): an operation of
PyTorch takes no Python objects.
"""

from __future__ import annotations

import sys
from functools import partial

import torch

from ... import gradients
from ...structure import Pattern, Selection
from ...structure.registry import structure_of
from .. import kernels
from ..numpy import sample_product
from ..operands import MAX_RANK
from .host import bits
from .library import Operation, runs_eagerly


def matmul(
    values: torch.Tensor, x: torch.Tensor, pattern: Pattern, transpose: bool, swapped: bool
) -> torch.Tensor:
    """Y = A X, or Aᵀ X; X is (n,), (..., n, k), or swapped (..., k, n)."""
    return MATMUL(values, x, pattern.number, transpose, swapped)


def linear(
    values: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None, pattern: Pattern
) -> torch.Tensor:
    """Y = x Aᵀ + b, all of one dtype: x is (n,) or (..., n), and b is (m,) or None."""
    if bias is None:
        return MATMUL(values, x, pattern.number, False, True)
    if (x.is_cpu or x.is_cuda) and runs_eagerly((values, x, bias)):
        return MATMUL.plus(bias, (values, x), pattern.number, False, True)
    return MATMUL(values, x, pattern.number, False, True) + bias


def sddmm(u: torch.Tensor, v: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """Values of U Vᵀ at the positions; U is (m,) or (..., m, k)."""
    return SDDMM(u, v, pattern.number)


def spgemm(
    a_values: torch.Tensor,
    b_values: torch.Tensor,
    a: Pattern,
    b: Pattern,
    c: Pattern,
    transpose_b: bool,
) -> torch.Tensor:
    """Values of A B, or A Bᵀ, at c's positions; all patterns of one index dtype."""
    return SPGEMM(a_values, b_values, a.number, b.number, c.number, transpose_b)


def segment_sum(values: torch.Tensor, selection: Selection) -> torch.Tensor:
    """Sums of selected values."""
    return SEGMENT_SUM(values, selection.number)


def todense(values: torch.Tensor, pattern: Pattern, transposed: bool) -> torch.Tensor:
    """Return the dense matrix, or its transpose."""
    return TODENSE(values, pattern.number, transposed)


def sample(dense: torch.Tensor, pattern: Pattern, transposed: bool) -> torch.Tensor:
    """Elements of a dense matrix, or its transpose, at the positions."""
    return SAMPLE(dense, pattern.number, transposed)


def conj(x: torch.Tensor) -> torch.Tensor:
    """Complex conjugate, which PyTorch's convention has in every gradient."""
    return x.conj() if x.is_complex() else x


# ---- kernels of the CPU, and the shapes of their results -----------------------------------------


def _product_like(
    x: torch.Tensor, pattern: Pattern, transpose: bool, swapped: bool
) -> torch.Tensor:
    return x.new_empty(kernels.matmul_shape(x.shape, pattern, transpose, swapped))


def _matmul_cpu(
    values: torch.Tensor,
    x: torch.Tensor,
    number: int,
    transpose: bool,
    swapped: bool,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    pattern = structure_of(number)
    y = _product_like(x, pattern, transpose, swapped)
    if x.ndim > (2 if swapped else MAX_RANK) or not values.is_contiguous():
        kernels.matmul(bits(values), bits(x), pattern, transpose, swapped, bits(y))
    else:
        kernels.multiply(values, x, y, pattern, transpose, swapped, torch.empty_like)
    return y if bias is None else y.add_(bias)


def _sddmm_cpu(u: torch.Tensor, v: torch.Tensor, number: int) -> torch.Tensor:
    pattern = structure_of(number)
    values = u.new_empty((pattern.nnz,))
    if u.ndim > MAX_RANK:
        kernels.sddmm(bits(u), bits(v), pattern, bits(values))
    else:
        sample_product(u, v, pattern, values, torch.Tensor.contiguous)
    return values


def _spgemm_cpu(
    a_values: torch.Tensor, b_values: torch.Tensor, a: int, b: int, c: int, transpose_b: bool
) -> torch.Tensor:
    left, right, product = (structure_of(number) for number in (a, b, c))
    values = a_values.new_empty((product.nnz,))
    data = bits(a_values), bits(b_values)
    kernels.spgemm(*data, left, right, product, transpose_b, bits(values))
    return values


def _segment_sum_cpu(values: torch.Tensor, number: int) -> torch.Tensor:
    selection = structure_of(number)
    sums = values.new_empty((selection.rows,))
    kernels.segment_sum(bits(values), selection, bits(sums))
    return sums


def _todense_cpu(values: torch.Tensor, number: int, transposed: bool) -> torch.Tensor:
    dense = _todense_fake(values, number, transposed)
    kernels.todense(bits(values), structure_of(number), transposed, bits(dense))
    return dense


def _todense_fake(values: torch.Tensor, number: int, transposed: bool) -> torch.Tensor:
    return values.new_empty(kernels.dense_shape(structure_of(number), transposed))


def _sample_cpu(dense: torch.Tensor, number: int, transposed: bool) -> torch.Tensor:
    pattern = structure_of(number)
    values = dense.new_empty((pattern.nnz,))
    kernels.sample(bits(dense), pattern, transposed, bits(values))
    return values


def _batched_matmul(
    operand: int,
    values: torch.Tensor,
    x: torch.Tensor,
    number: int,
    transpose: bool,
    swapped: bool,
) -> torch.Tensor | None:
    if operand == 0:
        return None
    # A batch of vectors is a matrix with a vector in each row.
    return MATMUL(values, x, number, transpose, swapped or x.ndim == 2)


#: What `gossamer.gradients` takes for a framework.
_THIS = sys.modules[__name__]

MATMUL = Operation(
    "matmul(Tensor values, Tensor x, int pattern, bool transpose, bool swapped) -> Tensor",
    1,
    _matmul_cpu,
    lambda values, x, number, *flags: _product_like(x, structure_of(number), *flags),
    partial(gradients.matmul, _THIS),
    _batched_matmul,
)
SDDMM = Operation(
    "sddmm(Tensor u, Tensor v, int pattern) -> Tensor",
    1,
    _sddmm_cpu,
    lambda u, v, number: u.new_empty((structure_of(number).nnz,)),
    partial(gradients.sddmm, _THIS),
)
SPGEMM = Operation(
    "spgemm(Tensor a_values, Tensor b_values, int a, int b, int product, bool transpose_b) "
    "-> Tensor",
    3,
    _spgemm_cpu,
    lambda a_values, b_values, a, b, c, transpose_b: a_values.new_empty((structure_of(c).nnz,)),
    partial(gradients.spgemm, _THIS),
)
SEGMENT_SUM = Operation(
    "segment_sum(Tensor values, int selection) -> Tensor",
    1,
    _segment_sum_cpu,
    lambda values, number: values.new_empty((structure_of(number).rows,)),
    partial(gradients.segment_sum, _THIS),
)
TODENSE = Operation(
    "todense(Tensor values, int pattern, bool transposed) -> Tensor",
    1,
    _todense_cpu,
    _todense_fake,
    partial(gradients.todense, _THIS),
)
SAMPLE = Operation(
    "sample(Tensor dense, int pattern, bool transposed) -> Tensor",
    1,
    _sample_cpu,
    lambda dense, number, transposed: dense.new_empty((structure_of(number).nnz,)),
    partial(gradients.sample, _THIS),
)
