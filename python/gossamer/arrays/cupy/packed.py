# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices over CuPy arrays."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...cuda.packed import DeviceMatrix, Parts
from ...dtypes import promote
from ...packed.dtypes import check_dense_dtype, has_scales, numpy_dtype
from ...packed.storage import PackedStorage, Storage, misfit
from ...structure import Pattern
from ..adapter import Adapter
from .adapter import adapter
from .memory import memory


class CuPyStorage(Storage):
    """A matrix in one of the packed formats over CuPy arrays of one device."""

    __slots__ = ("_matrix", "positions", "row_offsets")

    def __init__(
        self,
        format: str,
        dtype_name: str,
        shape: tuple[int, int],
        values: cupy.ndarray,
        positions: cupy.ndarray,
        row_offsets: cupy.ndarray,
        scales: cupy.ndarray | None = None,
    ) -> None:
        super().__init__(format, dtype_name, shape, values, scales)
        self.positions = positions
        self.row_offsets = row_offsets
        parts = Parts(values, positions, row_offsets, scales)
        self._matrix = DeviceMatrix(memory, format, dtype_name, shape, parts)

    @property
    def arrays(self) -> Adapter:
        return adapter

    def parts(self) -> dict[str, Any]:
        parts = {
            "values": self.values,
            "positions": self.positions,
            "row_offsets": self.row_offsets,
        }
        return parts if self.scales is None else {**parts, "scales": self.scales}

    def _host(self) -> PackedStorage:
        parts = {name: memory.to_host(part) for name, part in self.parts().items()}
        parts["values"] = parts["values"].view(numpy_dtype(self.dtype_name))
        return PackedStorage(self.format, self.dtype_name, (self.rows, self.cols), **parts)

    def count_nonzeros(self) -> int:
        return self._host().count_nonzeros()

    def todense(self, dtype_name: str) -> cupy.ndarray:
        return self._matrix.todense(dtype_name)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, cupy.ndarray]:
        pattern, values = self._host().tocsr(dtype_name)
        return pattern, memory.from_host(values, self._matrix.device)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> cupy.ndarray:
        x = packed_operand(self, x, transpose, swapped)
        inputs, outputs = (self.rows, self.cols) if transpose else (self.cols, self.rows)
        dtype = x.dtype.name
        if not has_scales(self.dtype_name):
            dtype = promote(self.dtype_name, dtype)
        vectors = memory.astype(x, dtype)
        along_rows = swapped or x.ndim == 1
        if not along_rows:
            vectors = vectors.swapaxes(-1, -2)
        count = vectors.size // inputs if inputs else int(np.prod(vectors.shape[:-1]))
        y = self._matrix.matmul(vectors.reshape(count, inputs), transpose)
        y = y.reshape(*vectors.shape[:-1], outputs)
        return y if along_rows else memory.contiguous(y.swapaxes(-1, -2))


class DenseCuPyStorage(Storage):
    """All elements in float32, a CuPy array of shape (rows, cols); products by CuPy."""

    __slots__ = ()

    def __init__(self, values: cupy.ndarray) -> None:
        super().__init__("dense", "float32", (values.shape[0], values.shape[1]), values, None)

    @property
    def arrays(self) -> Adapter:
        return adapter

    def parts(self) -> dict[str, Any]:
        return {"values": self.values}

    def count_nonzeros(self) -> int:
        return int(cupy.count_nonzero(self.values))

    def todense(self, dtype_name: str) -> cupy.ndarray:
        return memory.astype(self.values.copy(), dtype_name)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, cupy.ndarray]:
        pattern, values = adapter.fromdense(self.values, 0.0)
        return pattern, memory.astype(values, dtype_name)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> cupy.ndarray:
        x = memory.astype(packed_operand(self, x, transpose, swapped), "float32")
        matrix = self.values.T if transpose else self.values
        if x.ndim == 1:
            return matrix @ x
        return x @ matrix.T if swapped else matrix @ x


def packed_operand(storage: Storage, x: Any, transpose: bool, swapped: bool) -> cupy.ndarray:
    """Return x as an array that fits a packed matrix; raise TypeError or ValueError otherwise."""
    if not isinstance(x, cupy.ndarray):
        raise TypeError(
            f"x is a {type(x).__module__}.{type(x).__qualname__} and P holds CuPy arrays; convert "
            f"one of them, as with cupy.asarray(x)"
        )
    check_dense_dtype(x.dtype.name, "x")
    if x.device != storage.values.device:
        raise ValueError(
            f"x is on GPU {x.device.id} and P on GPU {storage.values.device.id}; move one of them"
        )
    inputs = storage.rows if transpose else storage.cols
    row_axis = -1 if swapped or x.ndim == 1 else -2
    if x.ndim == 0 or x.shape[row_axis] != inputs:
        outputs = storage.cols if transpose else storage.rows
        raise ValueError(misfit(inputs, outputs, x.shape, swapped))
    return x
