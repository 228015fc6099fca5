# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices over tensors, and their registered product.

The operation takes plain tensors, integers and strings, so that a kernel for another device is
registered beside this one under that device's dispatch key.
"""

from __future__ import annotations

from typing import Any

import torch

from ... import _engine
from ...dtypes import promote
from ...packed.dtypes import check_dense_dtype, has_scales
from ...packed.storage import PackedStorage, Storage, misfit
from ...structure import Pattern
from ..adapter import Adapter
from ..kernels import MAX_RANK
from .adapter import adapter
from .cuda import device_matrix
from .cuda import packed_matmul as cuda_packed_matmul
from .host import DTYPES, NAMES, bits, to_numpy, to_tensor
from .library import Operation, check_same_device

#: Engine's names of the value types; float8 may come as its bytes, which casts leave alone.
VALUE_TYPES = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.int8: "int8",
    torch.float8_e4m3fn: "float8_e4m3",
    torch.uint8: "float8_e4m3",
}


def result_dtype(values: torch.Tensor, x: torch.Tensor) -> torch.dtype:
    """Dtype of a packed product."""
    name = VALUE_TYPES[values.dtype]
    return x.dtype if has_scales(name) else DTYPES[promote(name, NAMES[x.dtype])]


def _result(
    values: torch.Tensor, x: torch.Tensor, rows: int, cols: int, transpose: bool, swapped: bool
) -> torch.Tensor:
    outputs = cols if transpose else rows
    dtype = result_dtype(values, x)
    if x.ndim == 1:
        return x.new_empty((outputs,), dtype=dtype)
    *batch, first, second = x.shape
    last = (first, outputs) if swapped else (outputs, second)
    return x.new_empty((*batch, *last), dtype=dtype)


def _fake(
    values: torch.Tensor,
    positions: torch.Tensor,
    row_offsets: torch.Tensor,
    scales: torch.Tensor | None,
    x: torch.Tensor,
    format: str,
    rows: int,
    cols: int,
    transpose: bool,
    swapped: bool,
) -> torch.Tensor:
    return _result(values, x, rows, cols, transpose, swapped)


def _cpu(
    values: torch.Tensor,
    positions: torch.Tensor,
    row_offsets: torch.Tensor,
    scales: torch.Tensor | None,
    x: torch.Tensor,
    format: str,
    rows: int,
    cols: int,
    transpose: bool,
    swapped: bool,
) -> torch.Tensor:
    y = _result(values, x, rows, cols, transpose, swapped)
    matrix = _engine.PackedMatrix(
        format,
        VALUE_TYPES[values.dtype],
        rows,
        cols,
        bits(values),
        bits(positions),
        bits(row_offsets),
        None if scales is None else bits(scales),
    )
    x_bits, y_bits = bits(x), bits(y)
    if x.ndim > MAX_RANK:
        x_bits = x_bits.reshape(-1, *x.shape[-2:])
        y_bits = y_bits.reshape(-1, *y.shape[-2:])
    if swapped and x.ndim > 1:
        x_bits, y_bits = x_bits.swapaxes(-1, -2), y_bits.swapaxes(-1, -2)
    _engine.packed_matmul(matrix, x_bits, y_bits, transpose)
    return y


def _adjoint(operand: int, gradient: torch.Tensor, *arguments: Any) -> torch.Tensor:
    *parts, x, format, rows, cols, transpose, swapped = arguments
    if operand != 4:
        raise RuntimeError(
            "the values of a packed matrix are fixed and have no gradient; train a "
            "gossamer.nn.SparseLinear, or the dense weight under its mask, and pack the result"
        )
    by_x = packed_matmul(*parts, gradient, format, rows, cols, not transpose, swapped)
    return by_x.to(x.dtype)


def _batched(operand: int, *arguments: Any) -> torch.Tensor | None:
    *parts, x, format, rows, cols, transpose, swapped = arguments
    if operand != 4:
        return None
    # A batch of vectors is a matrix with a vector in each row.
    return packed_matmul(*parts, x, format, rows, cols, transpose, swapped or x.ndim == 2)


packed_matmul = Operation(
    "packed_matmul(Tensor values, Tensor positions, Tensor row_offsets, Tensor? scales, Tensor x, "
    "str format, int rows, int cols, bool transpose, bool swapped) -> Tensor",
    5,
    0,
    _cpu,
    _fake,
    _adjoint,
    _batched,
)
packed_matmul.register_kernel("cuda", cuda_packed_matmul)


class TensorStorage(Storage):
    """A matrix in one of the packed formats over tensors of one device."""

    __slots__ = ("_host", "positions", "row_offsets")

    def __init__(
        self,
        format: str,
        dtype_name: str,
        shape: tuple[int, int],
        values: torch.Tensor,
        positions: torch.Tensor,
        row_offsets: torch.Tensor,
        scales: torch.Tensor | None = None,
    ) -> None:
        super().__init__(format, dtype_name, shape, values, scales)
        self.positions = positions
        self.row_offsets = row_offsets
        self._host: PackedStorage | None = None

    @property
    def arrays(self) -> Adapter:
        return adapter

    @property
    def host(self) -> PackedStorage:
        """The same matrix over NumPy arrays."""
        if self._host is None:
            parts = {name: to_numpy(part) for name, part in self.parts().items()}
            shape = self.rows, self.cols
            self._host = PackedStorage(self.format, self.dtype_name, shape, **parts)
        return self._host

    def parts(self) -> dict[str, Any]:
        parts = {
            "values": self.values,
            "positions": self.positions,
            "row_offsets": self.row_offsets,
        }
        return parts if self.scales is None else {**parts, "scales": self.scales}

    def count_nonzeros(self) -> int:
        return self.host.count_nonzeros()

    def todense(self, dtype_name: str) -> torch.Tensor:
        if self.values.is_cuda:
            shape = self.rows, self.cols
            parts = self.values, self.positions, self.row_offsets, self.scales
            return device_matrix(self.format, shape, *parts, self.values.device.index).todense(
                dtype_name
            )
        return to_tensor(self.host.todense(dtype_name)).to(self.values.device)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, torch.Tensor]:
        pattern, values = self.host.tocsr(dtype_name)
        return pattern, to_tensor(values).to(self.values.device)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> torch.Tensor:
        x = packed_operand(self, x, transpose, swapped)
        return packed_matmul(
            self.values,
            self.positions,
            self.row_offsets,
            self.scales,
            x,
            self.format,
            self.rows,
            self.cols,
            transpose,
            swapped,
        )


class DenseTensorStorage(Storage):
    """All elements in float32, a tensor of shape (rows, cols); products by PyTorch."""

    __slots__ = ()

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__("dense", "float32", (values.shape[0], values.shape[1]), values, None)

    @property
    def arrays(self) -> Adapter:
        return adapter

    def parts(self) -> dict[str, Any]:
        return {"values": self.values}

    def count_nonzeros(self) -> int:
        return int(torch.count_nonzero(self.values))

    def todense(self, dtype_name: str) -> torch.Tensor:
        return self.values.to(DTYPES[dtype_name], copy=True)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, torch.Tensor]:
        pattern, values = self.arrays.fromdense(self.values, 0.0)
        return pattern, values.to(DTYPES[dtype_name])

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> torch.Tensor:
        x = packed_operand(self, x, transpose, swapped)
        matrix = self.values.T if transpose else self.values
        x = x.to(torch.float32)
        if x.ndim == 1:
            return matrix @ x
        return x @ matrix.T if swapped else matrix @ x


def packed_operand(storage: Storage, x: Any, transpose: bool, swapped: bool) -> torch.Tensor:
    """Return x as a tensor that fits a packed matrix; raise TypeError or ValueError otherwise."""
    x = adapter.operand(x, "x", "P")
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        check_dense_dtype(str(x.dtype).removeprefix("torch."), "x")
    check_same_device(x, storage.values, "P")
    inputs = storage.rows if transpose else storage.cols
    row_axis = -1 if swapped or x.ndim == 1 else -2
    if x.ndim == 0 or x.shape[row_axis] != inputs:
        outputs = storage.cols if transpose else storage.rows
        raise ValueError(misfit(inputs, outputs, tuple(x.shape), swapped))
    return x
