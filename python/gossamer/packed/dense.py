# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""The format "dense": what `compress` answers with where packing does not pay."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import host_adapter
from ..structure import Pattern
from .dtypes import numpy_dtype
from .storage import HostStorage


class DenseStorage(HostStorage):
    """All elements in float32, row by row, shape (rows, cols); products by NumPy's BLAS.

    Unlike in the packed formats a zero takes part in the sums, so that it makes NaN of an infinite
    x.
    """

    __slots__ = ()

    def __init__(self, values: Any) -> None:
        super().__init__("dense", "float32", values.shape, values, None)

    def parts(self) -> dict[str, Any]:
        return {"values": self.values}

    def count_nonzeros(self) -> int:
        return int(np.count_nonzero(self.values))

    def todense(self, dtype_name: str) -> Any:
        return self.values.astype(numpy_dtype(dtype_name))

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        pattern, values = host_adapter().fromdense(self.values, 0.0)
        return pattern, host_adapter().astype(values, dtype_name)

    def multiply(self, x: Any, y: Any, transpose: bool) -> None:
        matrix = self.values.T if transpose else self.values
        y[...] = matrix @ x.astype(np.float32, copy=False)
