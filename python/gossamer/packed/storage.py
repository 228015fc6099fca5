# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""What a packed array stores, and its products; `gossamer.packed.dense` is the other kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .. import _engine
from ..arrays import Adapter, adapter_of, host_adapter
from ..dtypes import promote
from ..structure import Indices, Pattern, index_dtype
from .dtypes import bits, check_dense_dtype, has_scales, numpy_dtype

_FLOAT32, _FLOAT16 = np.dtype(np.float32), np.dtype(np.float16)
# Axes that the engine's views have at most.
_MAX_RANK = 8


class Storage(ABC):
    """A matrix of shape (rows, cols) in one format, immutable.

    Attributes
    ----------
    format, dtype_name
        Format and value type by the engine's names.
    values, scales
        Stored values; one float32 scale a row for the 8-bit types, else None.
    """

    __slots__ = ("cols", "dtype_name", "format", "rows", "scales", "values")

    def __init__(
        self, format: str, dtype_name: str, shape: tuple[int, int], values: Any, scales: Any
    ) -> None:
        self.format = format
        self.dtype_name = dtype_name
        self.rows, self.cols = shape
        self.values = values
        self.scales = scales

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Stored arrays by name, from which `restore` makes the storage again."""

    @abstractmethod
    def count_nonzeros(self) -> int:
        """Number of stored elements that are there because the matrix has them."""

    @abstractmethod
    def todense(self, dtype_name: str) -> Any:
        """Return the matrix as float32, float16 or bfloat16."""

    @abstractmethod
    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        """Positions and values of the stored elements."""

    def result_dtype(self, x: str) -> str:
        """Dtype of the product with an operand of dtype x."""
        return x if has_scales(self.dtype_name) else promote(self.dtype_name, x)

    @property
    @abstractmethod
    def arrays(self) -> Adapter:
        """Adapter of the framework whose arrays are stored."""

    @abstractmethod
    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        """Y with Y_i = P X_i, or Pᵀ X_i, for every batch member; swapped: Y_iᵀ = P X_iᵀ."""


class HostStorage(Storage):
    """A matrix over NumPy arrays."""

    __slots__ = ()

    @property
    def arrays(self) -> Adapter:
        return host_adapter()

    @abstractmethod
    def multiply(self, x: Any, y: Any, transpose: bool) -> None:
        """Write P @ x, or P.T @ x, into y; both NumPy arrays of rank 1 or more, any strides."""

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        x = _operand(x)
        inputs, outputs = (self.rows, self.cols) if transpose else (self.cols, self.rows)
        row_axis = -1 if swapped or x.ndim == 1 else -2
        if x.ndim == 0 or x.shape[row_axis] != inputs:
            raise ValueError(misfit(inputs, outputs, x.shape, swapped))
        dtype_name = self.result_dtype(x.dtype.name)
        shape = list(x.shape)
        shape[row_axis] = outputs
        if x.ndim > _MAX_RANK:
            x = x.reshape(-1, *x.shape[-2:])
        y = np.empty((*x.shape[:-2], *shape[-2:]), numpy_dtype(dtype_name))
        if swapped and x.ndim > 1:
            self.multiply(x.swapaxes(-1, -2), y.swapaxes(-1, -2), transpose)
        else:
            self.multiply(x, y, transpose)
        return y.reshape(shape)


class PackedStorage(HostStorage):
    """A matrix in one of the engine's packed formats, over arrays that are read-only."""

    __slots__ = ("_direct", "handle", "positions", "row_offsets")

    def __init__(
        self,
        format: str,
        dtype_name: str,
        shape: tuple[int, int],
        values: Any,
        positions: Any,
        row_offsets: Indices,
        scales: Any = None,
    ) -> None:
        super().__init__(format, dtype_name, shape, values, scales)
        self.positions = positions
        self.row_offsets = row_offsets
        # Dtypes of x that are the result's too, and that the engine reads as they are.
        narrow = dtype_name not in ("float32", "bfloat16")
        self._direct = (_FLOAT32, _FLOAT16) if narrow else (_FLOAT32,)
        self.handle = _engine.PackedMatrix(
            format, dtype_name, *shape, bits(values), positions, row_offsets, scales
        )

    def parts(self) -> dict[str, Any]:
        parts = {
            "values": self.values,
            "positions": self.positions,
            "row_offsets": self.row_offsets,
        }
        return parts if self.scales is None else {**parts, "scales": self.scales}

    def count_nonzeros(self) -> int:
        return int(_engine.packed_validate(self.handle))

    def todense(self, dtype_name: str) -> Any:
        dense = np.empty((self.rows, self.cols), numpy_dtype(dtype_name))
        _engine.unpack(self.handle, bits(dense))
        return dense

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Any]:
        indices = index_dtype(self.rows, self.cols, int(self.row_offsets[-1]))
        indptr = np.empty(self.rows + 1, indices)
        nnz = _engine.unpack_count(self.handle, indptr)
        columns = np.empty(nnz, indices)
        values = np.empty(nnz, numpy_dtype(dtype_name))
        _engine.unpack_csr(self.handle, indptr, columns, bits(values))
        return Pattern(self.rows, self.cols, indptr, columns, True, True), values

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        # The shortest path: what the engine takes as it is. The long one takes every other operand,
        # and names what is wrong with it.
        if type(x) is np.ndarray and x.dtype in self._direct and (x.ndim == 1 or not swapped):
            shape = x.shape
            rows = self.cols if transpose else self.rows
            try:
                y = np.empty(rows if len(shape) == 1 else (*shape[:-2], rows, shape[-1]), x.dtype)
                _engine.packed_matmul(self.handle, x, y, transpose)
                return y
            except (IndexError, TypeError, ValueError):
                pass
        return super().matmul(x, transpose, swapped)

    def multiply(self, x: Any, y: Any, transpose: bool) -> None:
        _engine.packed_matmul(self.handle, bits(x), bits(y), transpose)


def _operand(x: Any) -> Any:
    """Return x as a NumPy array of a dtype that the engine multiplies."""
    adapter = adapter_of(x) or host_adapter()
    if adapter is not host_adapter():
        raise TypeError(
            f"x is a {type(x).__module__}.{type(x).__qualname__} and P holds NumPy arrays; convert "
            f"one of them"
        )
    x = adapter.asarray(x, "x")
    check_dense_dtype(x.dtype.name, "x")
    return x


def misfit(inputs: int, outputs: int, shape: tuple[int, ...], swapped: bool) -> str:
    """Message for a dense operand whose shape does not fit."""
    if swapped:
        return (
            f"x @ P: x has shape {shape}, expected ({inputs},), (k, {inputs}) or "
            f"(..., k, {inputs}) for P of shape ({inputs}, {outputs})"
        )
    return (
        f"P @ x: x has shape {shape}, expected ({inputs},), ({inputs}, k) or (..., {inputs}, k) "
        f"for P of shape ({outputs}, {inputs})"
    )
