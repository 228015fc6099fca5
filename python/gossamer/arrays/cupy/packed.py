# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices over CuPy arrays."""

from __future__ import annotations

from typing import Any

import cupy

from ...cuda.packed import DeviceMatrix, Parts
from ...packed.dtypes import numpy_dtype
from ...packed.storage import PackedStorage, Storage, packed_parts
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
        return packed_parts(self)

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
        x = self.operand(x, transpose, swapped)
        x = memory.astype(x, self.result_dtype(x.dtype.name))
        return self._matrix.matmul(x, transpose, not swapped and x.ndim > 1)
