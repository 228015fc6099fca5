# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""Adapter of ``cupy.ndarray``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cupy
import cupyx

from ...cuda import sparse, structure
from ...devices import Device
from ...dtypes import VALUE_DTYPES, accumulator, check_value_dtype, promote
from ...structure import Indices, Pattern, Selection
from .. import kernels
from ..adapter import Array, ScatteringAdapter
from ..numpy import adapter as numpy_adapter
from ..operands import check_fits
from .memory import device_dtype, memory

if TYPE_CHECKING:
    from ...containers import SparseArray
    from ...packed.storage import Storage


class CuPyAdapter(ScatteringAdapter):
    """Values as CuPy arrays."""

    array_type = cupy.ndarray

    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> Array:
        if not isinstance(x, cupy.ndarray):
            raise TypeError(
                f"{argument} is a {type(x).__module__}.{type(x).__qualname__}, expected a CuPy "
                f"array; convert it with cupy.asarray"
            )
        check_value_dtype(x.dtype.name, argument, dtypes)
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

    def scatter_max(self, x: Array, positions: Any, values: Array) -> Array:
        wide = accumulator(x.dtype.name)  # CuPy scatters no 16-bit numbers
        raised = self.astype(x, wide)
        cupyx.scatter_max(raised, cupy.asarray(positions), self.astype(values, wide))
        return self.astype(raised, x.dtype.name)

    def packed_operand(self, x: Any, values: Array) -> Array:
        if not isinstance(x, cupy.ndarray):
            raise TypeError(f"x is {type(x).__name__}, expected a CuPy array")
        if x.device != values.device:
            raise ValueError(
                f"x is on GPU {x.device.id} and P on GPU {values.device.id}; move one of them"
            )
        return x

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from ...packed.dense import DenseStorage
        from .packed import CuPyStorage

        if format == "dense":
            return DenseStorage(self, parts["values"])
        return CuPyStorage(format, dtype, shape, **parts)

    # ---- operations of the engine --------------------------------------------------------------

    def matmul(
        self, a: SparseArray, x: Array, conjugate: bool = False, swapped: bool = False
    ) -> Array:
        pattern, values, transpose = a._stored()
        values, x = self._promoted(values, self.asarray(x, "x"))
        if memory.device(x) != memory.device(values):
            raise ValueError(
                f"x is on GPU {memory.device(x)} and A on GPU {memory.device(values)}; move one"
            )
        check_fits(x.shape, a.shape[::-1] if swapped else a.shape, swapped)
        y = self._made(kernels.matmul_shape(x.shape, pattern, transpose != swapped, swapped), x)
        values = self.conj(values) if conjugate else values
        sparse.matmul(memory, values, x, pattern, transpose != swapped, swapped, y)
        return y

    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        a_values, b_values = self._promoted(a_values, b_values)
        c = sparse.spgemm_pattern(memory, a, b, memory.device(a_values))
        a, b = a.astype(c.index_dtype), b.astype(c.index_dtype)
        values = self._made((c.nnz,), a_values)
        sparse.spgemm(memory, a_values, b_values, a, b, c, False, values)
        return c, values

    def sddmm(self, pattern: Pattern, u: Array, v: Array) -> Array:
        u, v = self._promoted(u, v)
        values = self._made((pattern.nnz,), u)
        sparse.sddmm(memory, u, v, pattern, values)
        return values

    def gather(self, values: Array, index_map: Indices) -> Array:
        return self.select(values, Selection(len(values), index_map))

    def segment_sum(self, values: Array, segments: Indices, index_map: Indices | None) -> Array:
        return self.select(values, Selection(len(values), index_map, segments))

    def select(self, values: Array, selection: Selection) -> Array:
        sums = self._made((selection.rows,), values)
        sparse.segment_sum(memory, values, selection, sums)
        return sums

    def todense(self, pattern: Pattern, values: Array, transposed: bool) -> Array:
        shape = pattern.rows, pattern.cols
        dense = self._made(shape[::-1] if transposed else shape, values)
        sparse.todense(memory, values, pattern, transposed, dense)
        return dense

    def _promoted(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Both in the dtype that they meet in."""
        if a.dtype == b.dtype:
            return a, b
        dtype = promote(memory.dtype_name(a), memory.dtype_name(b))
        return memory.astype(a, dtype), memory.astype(b, dtype)

    def _made(self, shape: tuple[int, ...], like: Array) -> Array:
        return memory.empty(shape, memory.dtype_name(like), memory.device(like))

    def fromdense(self, dense: Array, threshold: float) -> tuple[Pattern, Array]:
        return structure.fromdense(memory, dense, threshold)


adapter = CuPyAdapter()
