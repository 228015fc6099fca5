# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""The format "dense": what `compress` answers with where packing does not pay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _engine
from ..arrays import host_adapter
from ..structure import Pattern
from .dtypes import bits, numpy_dtype
from .storage import PackedStorage, Storage

# Bytes of float32 into which other value types are widened at once: half of a level-2 cache.
_WIDENED_BYTES = 1 << 20


class DenseStorage(Storage):
    """All elements, row by row, shape (rows, cols); products by NumPy's BLAS.

    float32 multiplies as it is. Other value types are widened to float32 a block of rows at a time.
    Unlike in the packed formats a zero takes part in the sums, so that it makes NaN of an infinite
    x.
    """

    __slots__ = ()

    def parts(self) -> dict[str, Any]:
        return {"values": self.values} | ({} if self.scales is None else {"scales": self.scales})

    def count_nonzeros(self) -> int:
        return int(np.count_nonzero(self.values))

    def todense(self, dtype_name: str) -> Any:
        dense = np.empty((self.rows, self.cols), numpy_dtype(dtype_name))
        for rows, block in self._widened():
            dense[rows] = block
        return dense

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        pattern, values = host_adapter().fromdense(self.todense(dtype_name), 0.0)
        return pattern, values

    def multiply(self, x: Any, y: Any, transpose: bool) -> None:
        x = x.astype(np.float32, copy=False)
        if transpose:
            y[...] = self._transposed_product(x)
            return
        for rows, block in self._widened():
            if x.ndim == 1:
                y[rows] = block @ x
            else:
                y[..., rows, :] = block @ x

    def _transposed_product(self, x: Any) -> Any:
        shape = (self.cols,) if x.ndim == 1 else (*x.shape[:-2], self.cols, x.shape[-1])
        total = np.zeros(shape, np.float32)
        for rows, block in self._widened():
            total += block.T @ (x[rows] if x.ndim == 1 else x[..., rows, :])
        return total

    def _widened(self) -> Iterator[tuple[slice, Any]]:
        """Blocks of rows in float32, scaled, and where they are."""
        if self.dtype_name == "float32":
            yield slice(0, self.rows), self.values
            return
        count = max(1, _WIDENED_BYTES // (4 * max(1, self.cols)))
        for start in range(0, self.rows, count):
            rows = slice(start, start + count)
            block = self.values[rows].astype(np.float32)
            if self.scales is not None:
                block *= self.scales[rows, None]
            yield rows, block


def expand(bitmap: PackedStorage) -> DenseStorage:
    """All elements of a bitmap, in its value type."""
    dense = np.zeros((bitmap.rows, bitmap.cols), bitmap.values.dtype)
    if bitmap.scales is None:
        _engine.unpack(bitmap.handle, bits(dense))
    elif dense.size:
        # Stored 8-bit values go where the bits are, unscaled.
        rows = bitmap.positions.reshape(bitmap.rows, -1)
        mask = np.unpackbits(rows, axis=1, count=bitmap.cols, bitorder="little").view(bool)
        bits(dense)[mask] = bits(bitmap.values)
    dense.flags.writeable = False
    shape = bitmap.rows, bitmap.cols
    return DenseStorage("dense", bitmap.dtype_name, shape, dense, bitmap.scales)
