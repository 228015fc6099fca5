# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""Adapter of ``torch.Tensor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...devices import CPU, Device
from ...dtypes import accumulator, check_value_dtype, promote
from ...structure import (
    CooPattern,
    Indices,
    Pattern,
    Selection,
)
from .. import kernels
from ..adapter import Adapter, Array
from ..numpy import adapter as numpy_adapter
from ..numpy import misfit
from . import operations
from .host import DTYPES, NAMES, to_numpy, to_tensor
from .library import check_same_device

if TYPE_CHECKING:
    from ...containers import SparseArray
    from ...packed.storage import Storage


class TorchAdapter(Adapter):
    """Values as tensors: autograd follows them through every operation."""

    array_type = torch.Tensor

    # ---- arrays --------------------------------------------------------------------------------

    def operand(self, x: Any, argument: str, matrix: str) -> torch.Tensor:
        """Return x as a plain strided tensor of any dtype; a matrix is to take part with it."""
        if isinstance(x, list | tuple):
            x = torch.tensor(x)
        if not isinstance(x, torch.Tensor):
            raise TypeError(
                f"{argument} is a {type(x).__module__}.{type(x).__qualname__} and {matrix} holds "
                f"torch tensors; convert one of them, as with torch.from_numpy(numpy.asarray(x))"
            )
        if x.layout is not torch.strided or x.is_nested:
            raise TypeError(
                f"{argument} is a tensor of layout {x.layout}, expected a dense one; take sparse "
                f"tensors over with gossamer.from_torch, or call x.to_dense()"
            )
        if x.is_quantized:
            raise TypeError(f"{argument} is a quantized tensor; call x.dequantize() first")
        return x

    def asarray(self, x: Any, argument: str) -> torch.Tensor:
        x = self.operand(x, argument, "A")
        if x.dtype not in NAMES:
            check_value_dtype(str(x.dtype).removeprefix("torch."), argument)
        return x

    def values(self, x: Any, argument: str) -> torch.Tensor:
        x = self.asarray(x, argument)
        if x.ndim != 1:
            raise ValueError(f"{argument} has shape {tuple(x.shape)}, expected one axis")
        return x.contiguous()

    def dtype_name(self, dtype: Any) -> str:
        if isinstance(dtype, torch.dtype):
            return str(dtype).removeprefix("torch.")
        return numpy_adapter.dtype_name(dtype)

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        return torch.empty(shape, dtype=DTYPES[dtype])

    def concatenate(self, arrays: list[Array]) -> torch.Tensor:
        return torch.cat(arrays)

    def astype(self, x: torch.Tensor, dtype: str) -> torch.Tensor:
        return x.to(DTYPES[dtype])

    def copy(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def freeze(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def is_frozen(self, x: torch.Tensor) -> bool:
        return False

    def is_tracing(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def opaque(self, function: Callable[..., Any]) -> Callable[..., Any]:
        opaque: Callable[..., Any] = torch._dynamo.nonstrict_trace(function)
        return opaque

    def tonumpy(self, x: torch.Tensor) -> Any:
        return to_numpy(x)

    def fromnumpy(self, x: Any) -> torch.Tensor:
        return to_tensor(x)

    def device(self, x: torch.Tensor) -> Device:
        return CPU if x.device.type == "cpu" else Device("gpu", x.device.index)

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

    # ---- operations of the engine --------------------------------------------------------------

    def matmul(self, a: SparseArray, x: torch.Tensor, conjugate: bool = False) -> torch.Tensor:
        return self._product(a, x, conjugate, swapped=False)

    def rmatmul(self, a: SparseArray, x: torch.Tensor) -> torch.Tensor:
        return self._product(a, x, conjugate=False, swapped=True)

    def _product(
        self, a: SparseArray, x: torch.Tensor, conjugate: bool, swapped: bool
    ) -> torch.Tensor:
        """Y_i = A X_i for every batch member; swapped: Y_i = X_i A."""
        if a.format == "coo" and self.is_tracing():
            a = a.tocsr()
        pattern, values, transpose = a._stored()
        if conjugate:
            values = self.conj(values)
        x = self.operand(x, "x", "A")
        if x.dtype is not values.dtype:
            x = self.asarray(x, "x")
            dtype = promote(NAMES[values.dtype], NAMES[x.dtype])
            values, x = self.astype(values, dtype), self.astype(x, dtype)
        check_same_device(x, values, "A")
        outputs, inputs = a.shape[:: -1 if swapped else 1]
        row_axis = -1 if swapped or x.ndim == 1 else -2
        if x.ndim == 0 or x.shape[row_axis] != inputs:
            raise ValueError(misfit(outputs, inputs, tuple(x.shape), swapped))
        return operations.matmul(values, x, pattern, transpose != swapped, swapped)

    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, torch.Tensor]:
        dtype = promote(NAMES[a_values.dtype], NAMES[b_values.dtype])
        a_values, b_values = self.astype(a_values, dtype), self.astype(b_values, dtype)
        check_same_device(b_values, a_values, "A")
        c = kernels.spgemm_pattern(a, b)
        a, b = a.astype(c.index_dtype), b.astype(c.index_dtype)
        return c, operations.spgemm(a_values, b_values, a, b, c, False)

    def sddmm(self, pattern: Pattern, u: Array, v: Array) -> torch.Tensor:
        dtype = promote(NAMES[u.dtype], NAMES[v.dtype])
        kernels.check_sddmm(pattern, u.shape, v.shape)
        return operations.sddmm(self.astype(u, dtype), self.astype(v, dtype), pattern)

    def compress(self, coo: CooPattern, values: Array) -> tuple[Pattern, torch.Tensor]:
        pattern, index_map = coo.compress()
        return pattern, values if index_map is None else self.gather(values, index_map)

    def gather(self, values: torch.Tensor, index_map: Indices) -> torch.Tensor:
        return operations.segment_sum(values, Selection(len(values), index_map))

    def segment_sum(
        self, values: torch.Tensor, segments: Indices, index_map: Indices | None
    ) -> torch.Tensor:
        return operations.segment_sum(values, Selection(len(values), index_map, segments))

    def todense(self, pattern: Pattern, values: Array, transposed: bool) -> torch.Tensor:
        return operations.todense(values, pattern, transposed)

    def fromdense(self, dense: torch.Tensor, threshold: float) -> tuple[Pattern, torch.Tensor]:
        pattern, values = numpy_adapter.fromdense(to_numpy(dense), threshold)
        if dense.requires_grad:
            return pattern, operations.sample(dense, pattern, False)
        return pattern, to_tensor(values).to(dense.device)

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from .packed import DenseTensorStorage, TensorStorage

        parts = {
            name: to_tensor(part) if isinstance(part, np.ndarray) else part
            for name, part in parts.items()
        }
        if format == "dense":
            return DenseTensorStorage(parts["values"])
        return TensorStorage(format, dtype, shape, **parts)


adapter = TorchAdapter()
