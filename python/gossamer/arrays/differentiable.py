# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""What the adapters of frameworks with gradients have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import promote
from ..packed.dtypes import has_scales
from ..structure import Indices, Pattern, Selection
from . import kernels, to_host
from .adapter import Array, ScatteringAdapter
from .numpy import adapter as numpy_adapter
from .operands import check_fits

if TYPE_CHECKING:
    from ..containers import SparseArray
    from ..packed.storage import Storage


class DifferentiableAdapter(ScatteringAdapter):
    """Adapter over a framework's registered operations.

    ``ops`` is what `gossamer.gradients` takes: the framework's module of operations.
    """

    ops: Any

    def values(self, x: Any, argument: str) -> Array:
        x = self.asarray(x, argument)
        if x.ndim != 1:
            raise ValueError(f"{argument} has shape {tuple(x.shape)}, expected one axis")
        return x

    def dense_operand(self, x: Any, values: Array, argument: str) -> Array:
        if isinstance(x, list | tuple):
            # Python's numbers have no dtype: they take that of the values.
            host = np.asarray(x)
            if host.dtype.kind in "biuf":
                dtype = self.dtype_name(values.dtype)
                return self.fromnumpy(numpy_adapter.astype(host, dtype))
        return self.asarray(x, argument)

    # ---- operations of the engine --------------------------------------------------------------

    def matmul(
        self, a: SparseArray, x: Array, conjugate: bool = False, swapped: bool = False
    ) -> Array:
        if a.format == "coo" and self.is_tracing():
            a = a.tocsr()
        pattern, values, transpose = a._stored()
        values = self.conj(values) if conjugate else values
        transpose = transpose != swapped
        values, x = self._operands(values, x)
        shape = pattern.rows, pattern.cols
        check_fits(x.shape, shape[::-1] if transpose else shape, swapped)
        return self.ops.matmul(values, x, pattern, transpose, swapped)

    def _operands(self, values: Array, x: Any) -> tuple[Array, Array]:
        """Values of A and a checked x, in the dtype that they meet in."""
        return self._promoted(values, self.asarray(x, "x"))

    def _promoted(self, x: Array, y: Array) -> tuple[Array, Array]:
        dtype = promote(self.dtype_name(x.dtype), self.dtype_name(y.dtype))
        return self.astype(x, dtype), self.astype(y, dtype)

    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        a_values, b_values = self._promoted(a_values, b_values)
        c = self._product_pattern(a, b, a_values)
        a, b = a.astype(c.index_dtype), b.astype(c.index_dtype)
        return c, self.ops.spgemm(a_values, b_values, a, b, c, False)

    def _product_pattern(self, a: Pattern, b: Pattern, a_values: Array) -> Pattern:
        """Pattern of the product of two matrices, of which one has those values."""
        return kernels.spgemm_pattern(a, b)

    def sddmm(self, pattern: Pattern, u: Array, v: Array) -> Array:
        return self.ops.sddmm(*self._promoted(u, v), pattern)

    def gather(self, values: Array, index_map: Indices) -> Array:
        return self.select(values, Selection(len(values), index_map))

    def segment_sum(self, values: Array, segments: Indices, index_map: Indices | None) -> Array:
        return self.select(values, Selection(len(values), index_map, segments))

    def select(self, values: Array, selection: Selection) -> Array:
        return self.ops.segment_sum(values, selection)

    def todense(self, pattern: Pattern, values: Array, transposed: bool) -> Array:
        return self.ops.todense(values, pattern, transposed)

    def fromdense(self, dense: Array, threshold: float) -> tuple[Pattern, Array]:
        pattern, _ = numpy_adapter.fromdense(self.tonumpy(dense), threshold)
        return pattern, self.ops.sample(dense, pattern, False)

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        from ..packed.dense import DenseStorage
        from ..packed.foreign import ForeignStorage, TrackedStorage
        from ..packed.slots import Slots
        from ..packed.storage import PackedStorage

        values = parts["values"]
        is_ours = not isinstance(values, np.ndarray)
        data = values if is_ours else self.fromnumpy(values)
        if format == "dense":
            return DenseStorage(self, data)
        host = {name: to_host(part) for name, part in parts.items() if name != "values"}
        if is_ours and not has_scales(dtype):
            return TrackedStorage(self, dtype, data, Slots(format, shape, data, **host))
        host["values"] = values if has_scales(dtype) and not is_ours else to_host(data)
        return ForeignStorage(self, PackedStorage(format, dtype, shape, **host), data)
