# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""Adapter of ``torch.Tensor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...cuda import sparse, structure
from ...devices import CPU, Device
from ...dtypes import VALUE_DTYPES, accumulator, check_value_dtype
from ...structure import Pattern
from ..adapter import Array, refuse_sparse
from ..differentiable import DifferentiableAdapter
from ..numpy import adapter as numpy_adapter
from . import operations
from .cuda import memory
from .host import DTYPES, NAMES, to_numpy, to_tensor
from .library import check_same_device
from .threads import on_threads_of_torch

if TYPE_CHECKING:
    from ...packed.storage import Storage


class TorchAdapter(DifferentiableAdapter):
    """Values as tensors: autograd follows them through every operation."""

    ops = operations

    array_type = torch.Tensor

    # ---- arrays --------------------------------------------------------------------------------

    def operand(self, x: Any, argument: str) -> torch.Tensor:
        """Return x as a plain strided tensor of any dtype."""
        if isinstance(x, list | tuple):
            x = torch.tensor(x)
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"{argument} is {type(x).__name__}, expected a tensor")
        if x.is_nested:
            raise TypeError(f"{argument} is a nested tensor; multiply x.unbind() one by one")
        if x.layout is not torch.strided:
            raise TypeError(
                f"{argument} is a tensor of layout {x.layout}, expected a dense one; take sparse "
                f"tensors over with gossamer.from_torch, or call x.to_dense()"
            )
        if x.is_quantized:
            raise TypeError(f"{argument} is a quantized tensor; call its dequantize() first")
        return x

    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> torch.Tensor:
        x = self.operand(x, argument)
        if dtypes is not VALUE_DTYPES or x.dtype not in NAMES:
            check_value_dtype(str(x.dtype).removeprefix("torch."), argument, dtypes)
        return x

    def values(self, x: Any, argument: str) -> torch.Tensor:
        return super().values(x, argument).contiguous()

    def dtype_name(self, dtype: Any) -> str:
        if isinstance(dtype, torch.dtype):
            return NAMES.get(dtype) or str(dtype).removeprefix("torch.")
        return numpy_adapter.dtype_name(dtype)

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        return torch.empty(shape, dtype=DTYPES[dtype])

    def concatenate(self, arrays: list[Array]) -> torch.Tensor:
        return torch.cat(arrays)

    def astype(self, x: torch.Tensor, dtype: str) -> torch.Tensor:
        return x.to(DTYPES[dtype])

    def copy(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def alias(self, x: torch.Tensor) -> torch.Tensor | None:
        return None if x.requires_grad else x.detach()

    def is_alias(self, alias: torch.Tensor, x: torch.Tensor) -> bool:
        is_same = alias.data_ptr() == x.data_ptr() and alias.dtype is x.dtype
        return is_same and alias.shape == x.shape and not x.requires_grad

    def is_tracing(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def opaque(self, function: Callable[..., Any]) -> Callable[..., Any]:
        opaque: Callable[..., Any] = torch._dynamo.nonstrict_trace(function)
        return opaque

    def tonumpy(self, x: torch.Tensor) -> Any:
        return to_numpy(x)

    def fromnumpy(self, x: Any) -> torch.Tensor:
        return to_tensor(x if x.flags.writeable else x.copy())  # a tensor can be written to

    def device(self, x: torch.Tensor) -> Device:
        kind, index = x.device.type, x.device.index
        return CPU if kind == "cpu" else Device("gpu" if kind == "cuda" else kind, index or 0)

    def to(self, x: torch.Tensor, device: Device) -> torch.Tensor:
        return x.to(torch.device("cpu") if device == CPU else torch.device("cuda", device.index))

    # ---- elementwise ---------------------------------------------------------------------------

    def conj(self, x: torch.Tensor) -> torch.Tensor:
        return operations.conj(x)

    def absolute_square(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_complex():
            return x.real**2 + x.imag**2
        return torch.square(self.astype(x, accumulator(NAMES[x.dtype])))

    def sqrt(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(x)

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sum(self.astype(x, accumulator(NAMES[x.dtype]))).to(x.dtype)

    def take(self, x: torch.Tensor, positions: Any) -> torch.Tensor:
        return x[positions if isinstance(positions, slice) else torch.from_numpy(positions)]

    def scatter_max(self, x: torch.Tensor, positions: Any, values: torch.Tensor) -> torch.Tensor:
        index = torch.from_numpy(positions.astype(np.int64)).to(x.device)
        return x.scatter_reduce(0, index, values, "amax")

    # ---- operations of the engine --------------------------------------------------------------

    def _operands(self, values: torch.Tensor, x: Any) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.operand(x, "x")
        if x.dtype is not values.dtype:
            values, x = self._promoted(values, self.asarray(x, "x"))
        check_same_device(x, values, "A")
        return values, x

    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, torch.Tensor]:
        check_same_device(b_values, a_values, "A", "B")
        return super().spgemm(a, a_values, b, b_values)

    @on_threads_of_torch
    def _product_pattern(self, a: Pattern, b: Pattern, a_values: torch.Tensor) -> Pattern:
        if not a_values.is_cuda:
            return super()._product_pattern(a, b, a_values)
        return sparse.spgemm_pattern(memory, a, b, a_values.device.index)

    @on_threads_of_torch
    def fromdense(self, dense: torch.Tensor, threshold: float) -> tuple[Pattern, torch.Tensor]:
        if dense.is_cuda:
            pattern: Pattern
            pattern, values = structure.fromdense(memory, dense.detach(), threshold)
        else:
            pattern, on_host = numpy_adapter.fromdense(to_numpy(dense), threshold)
            values = to_tensor(on_host)
        if dense.requires_grad:
            return pattern, operations.sample(dense, pattern, False)
        return pattern, values

    def tracks(self, x: torch.Tensor) -> bool:
        return bool(x.requires_grad and torch.is_grad_enabled())

    def packed_operand(self, x: Any, values: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            refuse_sparse(x)
        x = self.operand(x, "x")
        check_same_device(x, values, "P")
        return x

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from ...packed.dense import DenseStorage
        from .packed import TensorStorage

        parts = {
            name: to_tensor(part) if isinstance(part, np.ndarray) else part
            for name, part in parts.items()
        }
        if format == "dense":
            return DenseStorage(self, parts["values"])
        if not self.is_tracing():
            for part in parts.values():
                # As torch._dynamo.mark_static_address says it, without the import: CUDA graphs of
                # the compiler read the parts where the first product found them.
                part._dynamo_static_input_type = "unguarded"
        return TensorStorage(format, dtype, shape, **parts)


adapter = TorchAdapter()
