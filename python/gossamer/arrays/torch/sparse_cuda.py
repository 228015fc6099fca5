# SPDX-License-Identifier: Apache-2.0
"""The registered operations on sparse matrices, for CUDA tensors."""

from __future__ import annotations

import torch

from ...cuda import sparse
from ...structure.registry import structure_of
from ..kernels import matmul_shape
from . import operations
from .cuda import memory


def _matmul(
    values: torch.Tensor,
    x: torch.Tensor,
    number: int,
    transpose: bool,
    swapped: bool,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    pattern = structure_of(number)
    y = x.new_empty(matmul_shape(x.shape, pattern, transpose, swapped))
    added = None if bias is None else bias.contiguous()
    sparse.matmul(memory, values.contiguous(), x, pattern, transpose, swapped, y, added)
    return y


def _sddmm(u: torch.Tensor, v: torch.Tensor, number: int) -> torch.Tensor:
    pattern = structure_of(number)
    values = u.new_empty((pattern.nnz,))
    sparse.sddmm(memory, u, v, pattern, values)
    return values


def _spgemm(
    a_values: torch.Tensor, b_values: torch.Tensor, a: int, b: int, c: int, transpose_b: bool
) -> torch.Tensor:
    left, right, product = (structure_of(number) for number in (a, b, c))
    values = a_values.new_empty((product.nnz,))
    data = a_values.contiguous(), b_values.contiguous()
    sparse.spgemm(memory, *data, left, right, product, transpose_b, values)
    return values


def _segment_sum(values: torch.Tensor, number: int) -> torch.Tensor:
    selection = structure_of(number)
    sums = values.new_empty((selection.rows,))
    sparse.segment_sum(memory, values.contiguous(), selection, sums)
    return sums


def _todense(values: torch.Tensor, number: int, transposed: bool) -> torch.Tensor:
    pattern = structure_of(number)
    shape = pattern.rows, pattern.cols
    dense = values.new_empty(shape[::-1] if transposed else shape)
    sparse.todense(memory, values.contiguous(), pattern, transposed, dense)
    return dense


def _sample(dense: torch.Tensor, number: int, transposed: bool) -> torch.Tensor:
    pattern = structure_of(number)
    values = dense.new_empty((pattern.nnz,))
    sparse.sample(memory, dense, pattern, transposed, values)
    return values


for _operation, _kernel in (
    (operations.MATMUL, _matmul),
    (operations.SDDMM, _sddmm),
    (operations.SPGEMM, _spgemm),
    (operations.SEGMENT_SUM, _segment_sum),
    (operations.TODENSE, _todense),
    (operations.SAMPLE, _sample),
):
    _operation.register_kernel("cuda", _kernel)
