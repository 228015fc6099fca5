# SPDX-License-Identifier: Apache-2.0
"""Weights and operands that the tests of packed tensors share."""

import torch

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STORED = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")


def weight(rows=48, cols=70, dtype=torch.float32, density=0.4):
    generator = torch.Generator().manual_seed(rows + cols)
    W = torch.randn(rows, cols, generator=generator)
    return W.mul_(torch.rand(rows, cols, generator=generator) < density).to(dtype)


def operand(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def linear(*shape, bias=True):
    layer = torch.nn.Linear(*shape[::-1], bias=bias)
    with torch.no_grad():
        layer.weight.copy_(weight(*shape))
    return layer
