# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""Adapter of ``cupy.ndarray``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import cupy

from ...devices import Device
from ...dtypes import accumulator, check_value_dtype
from ..adapter import Adapter, Array
from ..numpy import adapter as numpy_adapter
from .memory import device_dtype, memory

if TYPE_CHECKING:
    from ...packed.storage import Storage
    from ...structure import Pattern


class CuPyAdapter(Adapter):
    """Values as CuPy arrays."""

    array_type = cupy.ndarray

    def asarray(self, x: Any, argument: str) -> Array:
        if not isinstance(x, cupy.ndarray):
            raise TypeError(
                f"{argument} is a {type(x).__module__}.{type(x).__qualname__}, expected a CuPy "
                f"array; convert it with cupy.asarray"
            )
        check_value_dtype(x.dtype.name, argument)
        return x

    def values(self, x: Any, argument: str) -> Array:
        x = self.asarray(x, argument)
        if x.ndim != 1:
            raise ValueError(f"{argument} has shape {x.shape}, expected one axis")
        return memory.contiguous(x)

    def dtype_name(self, dtype: Any) -> str:
        return numpy_adapter.dtype_name(dtype)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        return cupy.empty(shape, device_dtype(dtype))

    def concatenate(self, arrays: list[Array]) -> Array:
        return cupy.concatenate(arrays)

    def astype(self, x: Array, dtype: str) -> Array:
        return memory.astype(x, dtype)

    def copy(self, x: Array) -> Array:
        return x.copy()

    def freeze(self, x: Array) -> Array:
        return x

    def is_frozen(self, x: Array) -> bool:
        return False

    def tonumpy(self, x: Array) -> Any:
        return memory.to_host(x)

    def fromnumpy(self, x: Any) -> Array:
        return memory.from_host(x, cupy.cuda.runtime.getDevice())

    def device(self, x: Array) -> Device:
        return Device("gpu", memory.device(x))

    def to(self, x: Array, device: Device) -> Array:
        if device.type == "cpu":
            return memory.to_host(x)
        with cupy.cuda.Device(device.index):
            return cupy.asarray(x)

    def conj(self, x: Array) -> Array:
        return x.conj() if x.dtype.kind == "c" else x

    def absolute_square(self, x: Array) -> Array:
        if x.dtype.kind == "c":
            return x.real**2 + x.imag**2
        return cupy.square(self.astype(x, accumulator(x.dtype.name)))

    def sqrt(self, x: Array) -> Array:
        return cupy.sqrt(x)

    def sum(self, x: Array) -> Array:
        return cupy.sum(self.astype(x, accumulator(x.dtype.name))).astype(x.dtype)

    def take(self, x: Array, positions: Any) -> Array:
        return x[positions if isinstance(positions, slice) else cupy.asarray(positions)]

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from .packed import CuPyStorage, DenseCuPyStorage

        if format == "dense":
            return DenseCuPyStorage(parts["values"])
        return CuPyStorage(format, dtype, shape, **parts)

    def _refuse(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise TypeError(
            "sparse containers do not hold CuPy arrays; take NumPy's, as with cupy.asnumpy, or "
            "pack the matrix with gossamer.compress"
        )

    matmul = rmatmul = spgemm = sddmm = compress = _refuse
    gather = segment_sum = todense = _refuse

    def fromdense(self, dense: Array, threshold: float) -> tuple[Pattern, Array]:
        pattern, values = numpy_adapter.fromdense(memory.to_host(dense), threshold)
        return pattern, self.fromnumpy(values)


adapter = CuPyAdapter()
