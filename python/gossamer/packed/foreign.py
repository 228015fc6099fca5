# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices for frameworks whose arrays the engine does not keep: MLX's and JAX's."""

from __future__ import annotations

from typing import Any

from ..arrays.differentiable import DifferentiableAdapter
from ..structure import Pattern
from .slots import Slots
from .storage import PackedStorage, Storage


class ForeignStorage(Storage):
    """A matrix over NumPy arrays that multiplies arrays of another framework.

    Where the values have no scales, NumPy's ones are a view of ``data``.
    """

    __slots__ = ("_arrays", "_data", "host")

    def __init__(self, arrays: DifferentiableAdapter, host: PackedStorage, data: Any) -> None:
        shape = host.rows, host.cols
        super().__init__(host.format, host.dtype_name, shape, host.values, host.scales)
        self._arrays = arrays
        self._data = data
        self.host = host

    @property
    def arrays(self) -> DifferentiableAdapter:
        return self._arrays

    @property
    def data(self) -> Any:
        return self._data

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
        x = self.operand(x, transpose, swapped)
        return self._arrays.ops.packed_matmul(x, self.host, transpose, swapped)


class TrackedStorage(Storage):
    """A matrix over values that the framework may differentiate by, or trace."""

    __slots__ = ("_arrays",)

    def __init__(
        self, arrays: DifferentiableAdapter, dtype_name: str, values: Any, slots: Slots
    ) -> None:
        super().__init__(slots.format, dtype_name, slots.shape, values, None)
        self._arrays = arrays
        self._slots = slots

    @property
    def arrays(self) -> DifferentiableAdapter:
        return self._arrays

    def parts(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "positions": self.slots.positions,
            "row_offsets": self.slots.row_offsets,
        }

    def count_nonzeros(self) -> int:
        return self.slots.over(self._arrays.tonumpy(self.values)).count_nonzeros()

    def todense(self, dtype_name: str) -> Any:
        return tracked_dense(self, dtype_name)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        return tracked_csr(self, dtype_name)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        x = self.operand(x, transpose, swapped)
        multiply = self._arrays.ops.tracked_packed_matmul
        return multiply(self.values, x, self.slots, transpose, swapped)


def tracked_dense(storage: Storage, dtype_name: str) -> Any:
    """Return the matrix of a packed one, differentiable by its values."""
    pattern, values = storage.slots.pattern, storage.values
    dense = storage.arrays.todense(pattern, values[: pattern.nnz], transposed=False)
    return storage.arrays.astype(dense, dtype_name)


def tracked_csr(storage: Storage, dtype_name: str) -> tuple[Pattern, Any]:
    """Positions and values of the stored elements, these differentiable."""
    pattern, selection = storage.slots.nonzeros
    values = storage.arrays.select(storage.values, selection)
    return pattern, storage.arrays.astype(values, dtype_name)
