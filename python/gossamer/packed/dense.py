# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""The format "dense": what `compress` answers with where packing does not pay."""

from __future__ import annotations

from typing import Any

from ..arrays import Adapter
from ..structure import Pattern
from .storage import Storage


class DenseStorage(Storage):
    """All elements in float32, row by row, shape (rows, cols); products by the framework.

    Unlike in the packed formats a zero takes part in the sums, so that it makes NaN of an infinite
    x.
    """

    __slots__ = ("_arrays",)

    def __init__(self, arrays: Adapter, values: Any) -> None:
        super().__init__("dense", "float32", (values.shape[0], values.shape[1]), values, None)
        self._arrays = arrays

    @property
    def arrays(self) -> Adapter:
        return self._arrays

    def parts(self) -> dict[str, Any]:
        return {"values": self.values}

    def count_nonzeros(self) -> int:
        return int((self.values != 0).sum())

    def todense(self, dtype_name: str) -> Any:
        return self._arrays.astype(self._arrays.copy(self.values), dtype_name)

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        pattern, values = self._arrays.fromdense(self.values, 0.0)
        return pattern, self._arrays.astype(values, dtype_name)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        x = self._arrays.astype(self.operand(x, transpose, swapped), "float32")
        matrix = self.values.T if transpose else self.values
        if swapped and x.ndim > 1:
            return (matrix @ x.swapaxes(-1, -2)).swapaxes(-1, -2)
        return matrix @ x
