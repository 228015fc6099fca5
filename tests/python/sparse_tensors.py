# SPDX-License-Identifier: Apache-2.0
"""Small matrices of tensors, dense and sparse."""

import gossamer
import torch


def dense(rows=9, cols=7, dtype=torch.float64, density=0.4):
    generator = torch.Generator().manual_seed(rows * cols)
    D = torch.randn(rows, cols, dtype=dtype, generator=generator)
    return D * (torch.rand(rows, cols, generator=generator) < density)


def operand(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tracked(*shape, dtype=torch.float64):
    return operand(*shape, dtype=dtype).requires_grad_()


def sparse(format="csr", dtype=torch.float64, rows=9, cols=7):
    return gossamer.fromdense(dense(rows, cols, dtype), format=format)
