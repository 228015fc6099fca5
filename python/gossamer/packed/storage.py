# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""What a packed array stores, and its products; `gossamer.packed.dense` is the other kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .. import _engine
from ..arrays import Adapter, adapter_of, host_adapter, of_another_framework, to_host
from ..arrays.numpy import read
from ..arrays.operands import check_fits, within_rank
from ..structure import Indices, Pattern, Selection, index_dtype
from .dtypes import bits, check_dense_dtype, numpy_dtype, product_dtype
from .slots import Slots

_FLOAT32, _FLOAT16 = np.dtype(np.float32), np.dtype(np.float16)


class Storage(ABC):
    """A matrix of shape (rows, cols) in one format, immutable.

    Attributes
    ----------
    format, dtype_name
        Format and value type by the engine's names.
    values, scales
        Stored values; one float32 scale a row for the 8-bit types, else None.
    """

    __slots__ = ("_slots", "cols", "dtype_name", "format", "rows", "scales", "values")

    def __init__(
        self, format: str, dtype_name: str, shape: tuple[int, int], values: Any, scales: Any
    ) -> None:
        self.format = format
        self.dtype_name = dtype_name
        self.rows, self.cols = shape
        self.values = values
        self.scales = scales
        self._slots: Slots | None = None

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Stored arrays by name, from which `restore` makes the storage again."""

    def pickled(self, restore: Any, *arguments: Any) -> tuple[Any, ...]:
        """Return what pickle calls, and with what, so that ``restore`` gets these arguments."""
        return restore, arguments

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
        return product_dtype(self.dtype_name, x)

    @property
    @abstractmethod
    def arrays(self) -> Adapter:
        """Adapter of the framework whose arrays are stored."""

    @property
    def slots(self) -> Slots:
        """Where the slots are, of every format but "dense"; made on first use and kept."""
        if self._slots is None:
            host = {name: to_host(part) for name, part in self.parts().items() if name != "scales"}
            self._slots = Slots(self.format, (self.rows, self.cols), **host)
        return self._slots

    def kept_slots(self, identity: int) -> Selection | None:
        """Return `Slots.kept`; the argument is ``id(self)``."""
        return self.slots.kept

    # It is a constant of what torch.compile records, which holds for this very matrix: the compiler
    # looks at the identity before it runs what it recorded.
    kept_slots._dynamo_marked_constant = True  # type: ignore[attr-defined]

    @property
    def data(self) -> Any:
        """Values as an array of the framework."""
        return self.values

    def with_values(self, values: Any) -> Storage:
        """Return the same positions with other values of the framework, which it may track."""
        kept = None if self.format == "dense" else self.kept_slots(id(self))
        if kept is not None:
            values = self.arrays.select(values, kept)
        dtype, shape = self.arrays.dtype_name(values.dtype), (self.rows, self.cols)
        parts = {**self.parts(), "values": values}
        made = self.arrays.packed_storage(self.format, dtype, shape, parts)
        made._slots = self._slots
        return made

    def operand(self, x: Any, transpose: bool, swapped: bool) -> Any:
        """Return x as an array that fits; raise TypeError or ValueError naming what is wrong."""
        if adapter_of(x) not in (None, self.arrays):
            raise of_another_framework("x", x, "P", self.data)
        if isinstance(x, list | tuple):
            x = self._from_list(x)
        x = self.arrays.packed_operand(x, self.values)
        check_dense_dtype(self.arrays.dtype_name(x.dtype), "x")
        size = (self.cols, self.rows) if transpose else (self.rows, self.cols)
        check_fits(x.shape, size, swapped, "P")
        return x

    def _from_list(self, x: Any) -> Any:
        """Return a list of numbers, which have no dtype, as float32; another kind as it is."""
        host = host_adapter()
        if any(adapter_of(part) not in (None, host) for part in x):
            return x  # of arrays, which the framework stacks
        numbers = read(x, "x")
        return self.arrays.fromnumpy(numbers.astype("f4")) if numbers.dtype.kind in "biuf" else x

    @abstractmethod
    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Any:
        """Y with Y_i = P X_i, or Pᵀ X_i, for every batch member; swapped: Y_iᵀ = P X_iᵀ."""


class PackedStorage(Storage):
    """A matrix in one of the engine's packed formats, over NumPy arrays that are read-only."""

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

    @property
    def arrays(self) -> Adapter:
        return host_adapter()

    def parts(self) -> dict[str, Any]:
        return packed_parts(self)

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
        x = self.operand(x, transpose, swapped)
        rows = self.cols if transpose else self.rows
        shape = list(x.shape)
        shape[-1 if swapped or x.ndim == 1 else -2] = rows
        x = within_rank(x)
        y = np.empty((*x.shape[:-2], *shape[-2:]), numpy_dtype(self.result_dtype(x.dtype.name)))
        _engine.packed_matmul(self.handle, bits(x), bits(y), transpose, swapped)
        return y.reshape(shape)


def packed_parts(storage: Any) -> dict[str, Any]:
    """Stored arrays of one of the engine's formats by name."""
    parts = {
        "values": storage.values,
        "positions": storage.positions,
        "row_offsets": storage.row_offsets,
    }
    return parts if storage.scales is None else {**parts, "scales": storage.scales}
