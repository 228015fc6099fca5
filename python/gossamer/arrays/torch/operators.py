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

#: What PyTorch calls the operands, the first one first.
_OPERAND_NAMES = ("input", "other", "mat2", "vec")


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


def operands(
    function: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both operands that an operator's function was called with, by position or by name.

    Raises TypeError if it was given more, such as ``out`` or ``alpha``.
    """
    if len(args) == 2 and not keywords:
        return args
    others = {name: given for name, given in keywords.items() if given is not None}
    named = [others.pop(name) for name in _OPERAND_NAMES if name in others]
    found = (*args, *named)
    if others or len(found) != 2:
        names = ", ".join(others) or f"{len(found)} arguments"
        raise TypeError(
            f"torch.{function.__name__} of a sparse or packed matrix takes its two operands only, "
            f"not {names}; scale an operand before instead of alpha, copy the result instead of out"
        )
    return found


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
