# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Memory
"""Tensors in the memory of a GPU, and the packed product there."""

from __future__ import annotations

from functools import cache, partial
from typing import Any
from weakref import WeakValueDictionary

import torch

from ...cuda.library import engine
from ...cuda.memory import Memory
from ...cuda.packed import DeviceMatrix, Parts
from ...cuda.tuning import BITMAP_TILES_VECTORS
from .host import DTYPES, VALUE_TYPES, product_dtype, to_numpy, to_tensor
from .library import DESCRIBES_TENSORS
from .lifetimes import KeptWithMemory

_DTYPES = {
    **DTYPES,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "float8_e4m3": torch.float8_e4m3fn,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

_device = cache(partial(torch.device, "cuda"))


class TorchMemory(Memory):
    """CUDA tensors, and PyTorch's current streams."""

    def device(self, x: torch.Tensor) -> int:
        index: int = x.device.index
        return index

    def stream_handle(self, device: int) -> int:
        handle: int = torch._C._cuda_getCurrentRawStream(device)
        return handle

    def synchronize(self, device: int) -> None:
        torch.cuda.synchronize(device)

    def dtype_name(self, x: torch.Tensor) -> str:
        return _NAMES[x.dtype]

    def pointer(self, x: torch.Tensor) -> int:
        pointer: int = x.data_ptr()
        return pointer

    def strides(self, x: torch.Tensor) -> tuple[int, ...]:
        strides: tuple[int, ...] = x.stride()
        return strides

    def view(self, x: torch.Tensor, swapped: bool = False) -> Any:
        return engine().View(x, swapped) if DESCRIBES_TENSORS else super().view(x, swapped)

    def operand(self, x: torch.Tensor) -> Any:
        return x if DESCRIBES_TENSORS else self.view(x)

    def empty(self, shape: tuple[int, ...], dtype: str, device: int) -> torch.Tensor:
        return torch.empty(shape, dtype=_DTYPES[dtype], device=_device(device))

    def empty_like(self, x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return x.new_empty(shape)

    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=_DTYPES[dtype], device=torch.device("cuda", device))

    def contiguous(self, x: torch.Tensor) -> torch.Tensor:
        return x.contiguous()

    def copy(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    def astype(self, x: torch.Tensor, dtype: str) -> torch.Tensor:
        wanted = _DTYPES[dtype]
        return x if x.dtype is wanted else x.to(wanted)

    def from_host(self, x: Any, device: int) -> torch.Tensor:
        return to_tensor(x).to(torch.device("cuda", device))

    def to_host(self, x: torch.Tensor) -> Any:
        return to_numpy(x)

    def scratch_dtype(self, dtype: str) -> str:
        return dtype

    def dense_matmul(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.dtype is torch.float32:
            return a @ b
        # A result of 16 bits would be allowed to have partial sums of 16 bits.
        return torch.mm(a, b, out_dtype=torch.float32)


memory = TorchMemory()

#: What products need of packed matrices, kept with their parts.
_matrices = KeptWithMemory()

#: Matrices by the storage of the values of their `stand_in`, which they keep: so no other tensor
#: has its address while they live.
_standing_for: WeakValueDictionary[int, DeviceMatrix] = WeakValueDictionary()


def new_device_matrix(parts: Parts, format: str, shape: tuple[int, int]) -> DeviceMatrix:
    """Return what products on a GPU need of a packed matrix, for an owner that keeps it."""
    matrix = DeviceMatrix(memory, format, VALUE_TYPES[parts.values.dtype], shape, parts)
    _standing_for[matrix.stand_in.values.untyped_storage()._cdata] = matrix
    return matrix


def _place(x: torch.Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def device_matrix(parts: Parts, format: str, shape: tuple[int, int]) -> DeviceMatrix:
    """Return what products on a GPU need of a packed matrix, anew after a write to its parts."""
    if not parts.row_offsets.numel():
        matrix = _standing_for.get(parts.values.untyped_storage()._cdata)
        if matrix is None:
            raise RuntimeError(
                "these are no packed arrays, but what stands for them in a PackedLinear on a GPU; "
                "take them from its weight or its state_dict(), and before it loads another state"
            )
        if _place(matrix.scales) != _place(parts.scales):
            raise RuntimeError(
                "the scales of a PackedLinear that was laid out on a GPU are fixed; give other "
                "values, positions and row_offsets together with other scales"
            )
        return matrix

    def make() -> DeviceMatrix:
        return new_device_matrix(parts, format, shape)

    made: DeviceMatrix = _matrices.of(parts, (format, *shape), make)
    return made


def packed_matmul(*arguments: Any) -> torch.Tensor:
    """P X on a GPU; arguments as of the operation."""
    *parts, x, format, rows, cols, transpose, swapped = arguments
    matrix = device_matrix(Parts(*parts), format, (rows, cols))
    return device_product(matrix, x.detach() if x.requires_grad else x, transpose, swapped)


def device_product(
    matrix: DeviceMatrix,
    x: torch.Tensor,
    transpose: bool,
    swapped: bool,
    bias: torch.Tensor | None = None,
    lays_out_for: int = BITMAP_TILES_VECTORS,
) -> torch.Tensor:
    """P X or Pᵀ X, x on the matrix's GPU and without a gradient; swapped, X and Y transposed.

    A bias is added along Y's last axis. For how many vectors the matrix may be laid out is said in
    `DeviceMatrix.matmul`.
    """
    dtype = product_dtype(matrix.dtype, x.dtype)
    if x.dtype is not dtype:
        x = x.to(dtype)
    if bias is not None:
        bias = (bias if bias.dtype is dtype else bias.to(dtype)).contiguous()
    columns = not swapped and x.ndim > 1
    y: torch.Tensor = matrix.matmul(x, transpose, columns, bias, None, lays_out_for)
    return y
