# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Memory
"""CuPy's arrays and streams, as device operations take them."""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy
import numpy as np

from ...cuda.memory import Memory


@cache
def device_dtype(name: str) -> Any:
    """CuPy's dtype for a value type; where it has none, unsigned integers hold the bits."""
    if name == "bfloat16":
        import ml_dtypes

        try:
            return cupy.empty(0, ml_dtypes.bfloat16).dtype
        except TypeError:
            return np.dtype(np.uint16)
    return np.dtype("uint8" if name.startswith("float8") else name)


class CuPyMemory(Memory):
    """CuPy arrays, and CuPy's current streams."""

    def device(self, x: cupy.ndarray) -> int:
        index: int = x.device.id
        return index

    def stream_handle(self, device: int) -> int:
        handle: int = cupy.cuda.get_current_stream(device).ptr
        return handle

    def synchronize(self, device: int) -> None:
        cupy.cuda.Device(device).synchronize()

    def dtype_name(self, x: cupy.ndarray) -> str:
        name: str = x.dtype.name
        return "bfloat16" if name == "uint16" else name

    def pointer(self, x: cupy.ndarray) -> int:
        pointer: int = x.data.ptr
        return pointer

    def strides(self, x: cupy.ndarray) -> tuple[int, ...]:
        return tuple(stride // x.itemsize for stride in x.strides)

    def empty(self, shape: tuple[int, ...], dtype: str, device: int) -> cupy.ndarray:
        with cupy.cuda.Device(device):
            return cupy.empty(shape, device_dtype(dtype))

    def empty_like(self, x: cupy.ndarray, shape: tuple[int, ...]) -> cupy.ndarray:
        with x.device:
            return cupy.empty(shape, x.dtype)

    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> cupy.ndarray:
        with cupy.cuda.Device(device):
            return cupy.zeros(shape, device_dtype(dtype))

    def contiguous(self, x: cupy.ndarray) -> cupy.ndarray:
        with x.device:
            return cupy.ascontiguousarray(x)

    def copy(self, x: cupy.ndarray) -> cupy.ndarray:
        with x.device:
            return x.copy()

    def astype(self, x: cupy.ndarray, dtype: str) -> cupy.ndarray:
        with x.device:
            return x.astype(device_dtype(dtype), copy=False)

    def from_host(self, x: Any, device: int) -> cupy.ndarray:
        dtype = device_dtype(x.dtype.name)
        with cupy.cuda.Device(device):
            return cupy.asarray(x if dtype == x.dtype else x.view(dtype))

    def to_host(self, x: cupy.ndarray) -> Any:
        return cupy.asnumpy(x)

    def scratch_dtype(self, dtype: str) -> str:
        return "float32"  # products of 16-bit arrays may have partial sums of 16 bits

    def dense_matmul(self, a: cupy.ndarray, b: cupy.ndarray) -> cupy.ndarray:
        with a.device:
            return a @ b


memory = CuPyMemory()
