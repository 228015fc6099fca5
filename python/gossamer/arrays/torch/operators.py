# SPDX-License-Identifier: Apache-2.0
"""PyTorch's functions behind the operators that containers have."""

from __future__ import annotations

import operator
from typing import Any

import torch

from ...scipy_names import operand_advice
from ..operators import TorchOperators

#: PyTorch's functions, with the methods for a container as the first operand and as the second.
_OPERATORS = (
    (
        (
            torch.matmul,
            torch.mm,
            torch.mv,
            torch.sparse.mm,
            torch.Tensor.matmul,
            torch.Tensor.__matmul__,
        ),
        ("__matmul__", "__rmatmul__"),
    ),
    ((torch.Tensor.__rmatmul__,), ("__rmatmul__", "__matmul__")),
    ((torch.mul, torch.Tensor.mul, torch.Tensor.__mul__), ("__mul__", "__rmul__")),
    ((torch.add, torch.Tensor.add, torch.Tensor.__add__), ("__add__", "__radd__")),
    ((torch.sub, torch.Tensor.sub, torch.Tensor.__sub__), ("__sub__", "__rsub__")),
    ((torch.Tensor.__rsub__,), ("__rsub__", "__sub__")),
)
_METHODS = {function: methods for functions, methods in _OPERATORS for function in functions}

#: What PyTorch calls the operands, the first one first.
_OPERAND_NAMES = ("input", "other", "mat2", "vec")


def call_operator(
    cls: type[TorchOperators], func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
) -> Any:
    """Do what ``TorchOperators.__torch_function__`` does."""
    methods = None
    if not torch.compiler.is_compiling():
        methods = _METHODS.get(func)
    else:  # the compiler does not find functions in a dict
        _teach_reversed_matmul()
        for functions, found in _OPERATORS:
            if func in functions:
                methods = found
    if methods is None:
        name = getattr(func, "__name__", str(func))
        advice = operand_advice(cls, "torch", name)
        raise TypeError(
            f"PyTorch's {name} does not take a {cls.__name__}: "
            f"{f'write {advice}' if advice else cls._instead}"
        )
    left, right = args if len(args) == 2 and not kwargs else operands(func, args, kwargs or {})
    if isinstance(left, cls):
        return getattr(left, methods[0])(right)
    return getattr(right, methods[1])(left)


def operands(
    function: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both operands that an operator's function was called with, by position or by name.

    Raises TypeError if it was given more, such as ``out`` or ``alpha``.
    """
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

# Containers ask here from now on, without an import at every call.
setattr(TorchOperators, "__torch_function__", classmethod(call_operator))  # noqa: B010 - a method
