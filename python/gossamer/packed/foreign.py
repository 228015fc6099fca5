# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices for frameworks whose arrays the engine does not keep: MLX's and JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Adapter
from ..structure import Pattern
from .dtypes import check_dense_dtype
from .storage import Storage, misfit


class ForeignStorage(Storage):
    """A matrix over NumPy arrays that multiplies arrays of another framework.

    ``multiply`` is the framework's `gossamer.arrays.kernels.packed_matmul`.
    """

    __slots__ = ("_arrays", "_multiply", "host")

    def __init__(self, arrays: Adapter, host: Storage, multiply: Callable[..., Any]) -> None:
        shape = host.rows, host.cols
        super().__init__(host.format, host.dtype_name, shape, host.values, host.scales)
        self._arrays = arrays
        self._multiply = multiply
        self.host = host

    @property
    def arrays(self) -> Adapter:
        return self._arrays

    def parts(self) -> dict[str, Any]:
        return self.host.parts()

    def count_nonzeros(self) -> int:
        return self.host.count_nonzeros()

    def todense(self, dtype_name: str) -> Any:
        return self._arrays.fromnumpy(self.host.todense(dtype_name))

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        pattern, values = self.host.tocsr(dtype_name)
        return pattern, self._arrays.fromnumpy(values)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        x = self._arrays.asarray(x, "x")
        check_dense_dtype(self._arrays.dtype_name(x.dtype), "x")
        inputs, outputs = (self.rows, self.cols) if transpose else (self.cols, self.rows)
        row_axis = -1 if swapped or x.ndim == 1 else -2
        if x.ndim == 0 or x.shape[row_axis] != inputs:
            raise ValueError(misfit(inputs, outputs, x.shape, swapped))
        return self._multiply(x, self.host, transpose, swapped)
