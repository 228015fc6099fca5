# SPDX-License-Identifier: Apache-2.0
"""What device operations ask of the framework that owns the arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import get_ident
from typing import Any

from .library import engine

#: Streams by device and handle; the engine's object says the same for ever.
_streams: dict[tuple[int, ...], Any] = {}

#: CUDA's handle of the default stream that each thread has for itself.
_PER_THREAD = 2

#: A dense array of a framework, in the memory of a GPU.
DeviceArray = Any


class Memory(ABC):
    """Arrays of one framework in the memory of GPUs, and the framework's current streams.

    Dtypes are passed by their NumPy names, the packed value types by the engine's. Device
    operations allocate everything through it: results, workspace and what they keep.
    """

    @abstractmethod
    def device(self, x: DeviceArray) -> int:
        """Index of the GPU that x is on."""

    @abstractmethod
    def stream_handle(self, device: int) -> int:
        """Handle of the stream that the framework works on now."""

    @abstractmethod
    def synchronize(self, device: int) -> None:
        """Wait for all streams of a GPU."""

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
    def empty_like(self, x: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
        """Return an uninitialized C-contiguous array of x's dtype and device."""

    @abstractmethod
    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> DeviceArray:
        """Return a C-contiguous array of zeros."""

    @abstractmethod
    def contiguous(self, x: DeviceArray) -> DeviceArray:
        """Return x in C order, a copy where it is not."""

    @abstractmethod
    def copy(self, x: DeviceArray) -> DeviceArray:
        """Return a copy of x."""

    @abstractmethod
    def astype(self, x: DeviceArray, dtype: str) -> DeviceArray:
        """Cast; x itself where it has the dtype already."""

    @abstractmethod
    def from_host(self, x: Any, device: int) -> DeviceArray:
        """Copy a NumPy array to a GPU."""

    @abstractmethod
    def to_host(self, x: DeviceArray) -> Any:
        """Copy to a NumPy array; waits for the stream."""

    @abstractmethod
    def scratch_dtype(self, dtype: str) -> str:
        """Dtype in which dense_matmul takes matrices whose product is to have that dtype."""

    @abstractmethod
    def dense_matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        """Product of two matrices by the framework's own library, summed and returned in float32.

        Both have a dtype of scratch_dtype.
        """

    def view(self, x: DeviceArray, swapped: bool = False) -> Any:
        """Return x as the engine takes it, with its last two axes exchanged where that is asked."""
        return engine().View(self.pointer(x), self.dtype_name(x), x.shape, self.strides(x), swapped)

    def operand(self, x: DeviceArray) -> Any:
        """Return x as products of the engine take it, for as long as x lives."""
        return self.view(x)

    def stream(self, device: int) -> Any:
        """Return the framework's current stream as the engine takes it."""
        handle = self.stream_handle(device)
        key: tuple[int, ...] = device, handle
        if handle == _PER_THREAD:
            key = *key, get_ident()
        stream = _streams.get(key)
        if stream is None:
            stream = _streams[key] = engine().Stream(device, handle)
        return stream

    def workspace(self, nbytes: int, device: int) -> tuple[DeviceArray, Any]:
        """Return that many bytes, which the caller keeps while they are used, and their handle."""
        array = self.empty((nbytes,), "uint8", device)
        return array, engine().Workspace(self.pointer(array), nbytes)
