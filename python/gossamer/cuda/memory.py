# SPDX-License-Identifier: Apache-2.0
"""What device operations ask of the framework that owns the arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

#: A dense array of a framework, in the memory of a GPU.
DeviceArray = Any


class Memory(ABC):
    """Arrays of one framework in the memory of GPUs, and the framework's current streams.

    Dtypes are passed by their NumPy names; "uint8" and "int8" are bytes. Device operations allocate
    everything through it: results, workspace and what they keep.
    """

    @abstractmethod
    def device(self, x: DeviceArray) -> int:
        """Index of the GPU that x is on."""

    @abstractmethod
    def stream(self, device: int) -> int:
        """Handle of the stream that the framework works on now."""

    @abstractmethod
    def dtype_name(self, x: DeviceArray) -> str:
        """NumPy's name of x's dtype."""

    @abstractmethod
    def pointer(self, x: DeviceArray) -> int:
        """Address of x's first element."""

    @abstractmethod
    def strides(self, x: DeviceArray) -> tuple[int, ...]:
        """Strides of x in elements."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: str, device: int) -> DeviceArray:
        """Return an uninitialized C-contiguous array."""

    @abstractmethod
    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> DeviceArray:
        """Return a C-contiguous array of zeros."""

    @abstractmethod
    def from_host(self, x: Any, device: int) -> DeviceArray:
        """Copy a NumPy array to a GPU, bytes for bytes."""

    @abstractmethod
    def to_host(self, x: DeviceArray) -> Any:
        """Copy to a NumPy array; waits for the stream."""

    @abstractmethod
    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        """Dense product of the framework's own library."""
