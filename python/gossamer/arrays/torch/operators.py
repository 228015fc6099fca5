# SPDX-License-Identifier: Apache-2.0
"""PyTorch's functions behind the operators that containers have."""

from __future__ import annotations

import operator
from typing import Any

import torch

_OPERATORS = {
    "matmul": (torch.matmul, torch.mm, torch.mv, torch.Tensor.matmul, torch.Tensor.__matmul__),
    "rmatmul": (torch.Tensor.__rmatmul__,),
    "mul": (torch.mul, torch.Tensor.mul, torch.Tensor.__mul__),
    "add": (torch.add, torch.Tensor.add, torch.Tensor.__add__),
    "sub": (torch.sub, torch.Tensor.sub, torch.Tensor.__sub__),
    "rsub": (torch.Tensor.__rsub__,),
}


def operator_name(function: Any) -> str | None:
    """Name of the operator, such as "matmul", or None if containers do not have it.

    "rmatmul" has its operands exchanged.
    """
    if torch.compiler.is_compiling():
        _teach_reversed_matmul()
    for name, functions in _OPERATORS.items():
        if function in functions:
            return name
    return None


def _teach_reversed_matmul() -> bool:
    """Let the compiler call ``__rmatmul__`` for ``A @ x``; run by it while it traces.

    PyTorch up to 2.13 at least exchanges the operands of ``A @ x`` as for every operator with a
    reversed form, but then calls ``matmul``, which is ``x @ A``.
    """
    from torch._dynamo.exc import RestartAnalysis
    from torch._dynamo.variables.builtin import BUILTIN_TO_TENSOR_RFN_MAP

    if operator.matmul not in BUILTIN_TO_TENSOR_RFN_MAP:
        BUILTIN_TO_TENSOR_RFN_MAP[operator.matmul] = torch.Tensor.__rmatmul__
        raise RestartAnalysis(restart_reason="A @ x is traced anew")
    return True


_teach_reversed_matmul._dynamo_marked_constant = True  # type: ignore[attr-defined]
