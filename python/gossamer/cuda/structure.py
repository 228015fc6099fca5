# SPDX-License-Identifier: Apache-2.0
"""Stored positions in the memory of a GPU, where every structural operation on them runs.

What a host algorithm asks of them, as NumPy arrays or as the engine's handle, is copied to the CPU
when it is first asked for, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _engine
from ..structure import CooPattern, Pattern, index_dtype
from . import memory_of
from .library import engine
from .memory import DeviceArray, Memory
from .streams import refuse_capture

#: Bytes of workspace that a scan of positions needs.
_SCAN = 256


class _OnDevice:
    """Positions that are a framework's arrays on one GPU."""

    __slots__ = ()

    memory: Memory
    device: int
    on_host: Callable[[], Any]

    def is_on(self, memory: Memory, device: int) -> bool:
        """Whether the arrays are of that framework, on that GPU."""
        return self.memory is memory and self.device == device

    def beside(self, values: Any) -> Any:
        """Return the same positions where structural operations on such values take them."""
        memory = memory_of(values)
        stays = memory is not None and self.is_on(memory, memory.device(values))
        return self if stays else self.on_host()


class DevicePattern(_OnDevice, Pattern):
    """A pattern whose index arrays are a framework's, on one GPU; index maps are such arrays too.

    Attributes
    ----------
    memory, device
        Where the arrays are.
    device_indptr, device_indices
        The arrays.
    """

    __slots__ = ("_on_host", "_rows", "device", "device_indices", "device_indptr", "memory")

    def __init__(
        self,
        memory: Memory,
        rows: int,
        cols: int,
        indptr: DeviceArray,
        indices: DeviceArray,
        sorted: bool = False,
        canonical: bool = False,
    ) -> None:
        self._describe(rows, cols, sorted, canonical)
        self.memory, self.device = memory, memory.device(indices)
        self.device_indptr, self.device_indices = indptr, indices
        self._on_host: Pattern | None = None
        self._rows: DeviceArray | None = None

    def __getattr__(self, name: str) -> Any:
        """Find the CPU's arrays and handle, which are not there from the beginning."""
        if name not in ("indptr", "indices", "handle"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        host = self.on_host()
        self.indptr, self.indices, self.handle = host.indptr, host.indices, host.handle
        return getattr(self, name)

    @property
    def nnz(self) -> int:
        """Number of stored positions."""
        return len(self.device_indices)

    @property
    def index_dtype(self) -> np.dtype[Any]:
        """Dtype of the index arrays."""
        return np.dtype(self.memory.dtype_name(self.device_indices))

    @property
    def row_segments(self) -> DeviceArray:
        """Row offsets as the segments of sums over rows, where operations on values take them."""
        return self.device_indptr

    def on_host(self) -> Pattern:
        """Return the same positions in the CPU's memory, copied there on the first call."""
        if self._on_host is None:
            indptr = self.memory.to_host(self.device_indptr)
            indices = self.memory.to_host(self.device_indices)
            flags = self.sorted, self.canonical
            self._on_host = Pattern(self.rows, self.cols, indptr, indices, *flags)
        return self._on_host

    def view(self) -> Any:
        """Return the engine's view of the arrays on the GPU."""
        arrays = map(self.memory.view, (self.device_indptr, self.device_indices))
        return engine().CsrPattern(self.rows, self.cols, *arrays)

    def validate(self, csc: bool = False) -> tuple[bool, bool]:
        """Check every offset and index; return whether they are sorted, and canonical.

        Raises
        ------
        ValueError
            Naming the first that is wrong; ``csc`` makes it speak of rows.
        """
        kept, workspace = self.memory.workspace(_SCAN, self.device)
        valid, *flags = engine().scan_csr(self.view(), workspace, self._stream())
        del kept
        # Which one is wrong is the host's to say.
        return (flags[0], flags[1]) if valid else _engine.validate_csr(self.handle, csc)

    def transpose(self) -> tuple[Pattern, DeviceArray]:
        """Pattern of the transpose, sorted, and the index map of its values; kept."""
        if self._transpose is None:
            indptr, indices, index_map = map(self._made, (self.cols + 1, self.nnz, self.nnz))
            self._sort("transpose", indptr, indices, index_map)
            self.memory.to_host(indptr[-1:])  # it is complete, for every stream
            pattern = DevicePattern(
                self.memory, self.cols, self.rows, indptr, indices, True, self.canonical
            )
            self._transpose = pattern, index_map
        return self._transpose

    def _canonicalized(self) -> tuple[Pattern, Any, Any]:
        ordered, index_map = self.sort()
        assert isinstance(ordered, DevicePattern)
        view, stream = ordered.view(), self._stream()
        indptr = self._made(self.rows + 1)
        kept, workspace = self.memory.workspace(
            engine().count_distinct_workspace(view), self.device
        )
        count = engine().count_distinct(view, self.memory.view(indptr), workspace, stream)
        del kept
        if count == self.nnz:
            indices, segments = ordered.device_indices, None
        else:
            indices, segments = self._made(count), self._made(count + 1)
            outputs = map(self.memory.view, (indptr, indices, segments))
            engine().fill_distinct(view, *outputs, stream)
        self.memory.to_host(indptr[-1:])  # all of it is complete, for every stream
        pattern = DevicePattern(self.memory, self.rows, self.cols, indptr, indices, True, True)
        return pattern, segments, index_map

    def sort(self) -> tuple[Pattern, DeviceArray | None]:
        """Pattern with each row's columns in order, equal ones in stored order, and its map."""
        if self.sorted:
            return self, None
        indices, index_map = self._made(self.nnz), self._made(self.nnz)
        self._sort("sort_indices", indices, index_map)
        indptr = self.device_indptr
        return DevicePattern(self.memory, self.rows, self.cols, indptr, indices, True), index_map

    def device_rows(self) -> DeviceArray:
        """Row of each stored position, shape (nnz,); kept."""
        if self._rows is None:
            rows = self._made(self.nnz)
            engine().csr_to_coo(self.view(), self.memory.view(rows), self._stream())
            self.memory.to_host(rows[-1:])  # they are complete, for every stream
            self._rows = rows
        return self._rows

    def tocoo(self) -> CooPattern:
        """Return the same positions as rows and columns."""
        return DeviceCooPattern(
            self.memory,
            self.rows,
            self.cols,
            self.device_rows(),
            self.device_indices,
            self.sorted,
            self.canonical,
        )

    def astype(self, index_dtype: Any) -> Pattern:
        """Return the same positions in another index dtype, which must hold them."""
        if self.index_dtype == index_dtype:
            return self
        name = np.dtype(index_dtype).name
        indptr = self.memory.astype(self.device_indptr, name)
        indices = self.memory.astype(self.device_indices, name)
        flags = self.sorted, self.canonical
        return DevicePattern(self.memory, self.rows, self.cols, indptr, indices, *flags)

    def spgemm(self, other: DevicePattern) -> DevicePattern:
        """Pattern of the product with one of the same GPU and index dtype, in one that holds it.

        Between counting and filling it waits for the stream.
        """
        memory, stream = self.memory, self._stream()
        a, b = self.view(), other.view()
        offsets = memory.empty((self.rows + 1,), "int64", self.device)
        kept, workspace = memory.workspace(engine().spgemm_workspace(a, b), self.device)
        nnz = engine().spgemm_count(a, b, memory.view(offsets), workspace, stream)
        dtype = index_dtype(self.rows, other.cols, nnz, at_least=self.index_dtype).name
        indices = memory.empty((nnz,), dtype, self.device)
        engine().spgemm_fill(a, b, memory.view(offsets), memory.view(indices), workspace, stream)
        del kept
        indptr = memory.astype(offsets, dtype)
        return DevicePattern(memory, self.rows, other.cols, indptr, indices, True, True)

    def _made(self, count: int) -> DeviceArray:
        refuse_capture(self._stream(), "an operation on positions", "make it before")
        return self.memory.empty((count,), self.index_dtype.name, self.device)

    def _stream(self) -> Any:
        return self.memory.stream(self.device)

    def _sort(self, operation: str, *outputs: DeviceArray) -> None:
        indices = self.memory.view(self.device_indices)
        kept, workspace = self.memory.workspace(engine().sort_workspace(indices), self.device)
        views = map(self.memory.view, outputs)
        getattr(engine(), operation)(self.view(), *views, workspace, self._stream())
        del kept


class DeviceCooPattern(_OnDevice, CooPattern):
    """A COO pattern whose index arrays are a framework's, on one GPU."""

    __slots__ = ("_on_host", "device", "device_col", "device_row", "memory")

    def __init__(
        self,
        memory: Memory,
        rows: int,
        cols: int,
        row: DeviceArray,
        col: DeviceArray,
        sorted: bool = False,
        canonical: bool = False,
    ) -> None:
        self._describe(rows, cols, sorted, canonical)
        self.memory, self.device = memory, memory.device(row)
        self.device_row, self.device_col = row, col
        self._on_host: CooPattern | None = None

    def __getattr__(self, name: str) -> Any:
        """Find the CPU's arrays, which are not there from the beginning."""
        if name not in ("row", "col"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        host = self.on_host()
        self.row, self.col = host.row, host.col
        return getattr(self, name)

    @property
    def nnz(self) -> int:
        """Number of stored positions."""
        return len(self.device_row)

    @property
    def index_dtype(self) -> np.dtype[Any]:
        """Dtype of the index arrays."""
        return np.dtype(self.memory.dtype_name(self.device_row))

    def on_host(self) -> CooPattern:
        """Return the same positions in the CPU's memory, copied there on the first call."""
        if self._on_host is None:
            row, col = (self.memory.to_host(x) for x in (self.device_row, self.device_col))
            flags = self.sorted, self.canonical
            self._on_host = CooPattern(self.rows, self.cols, row, col, *flags)
        return self._on_host

    def validate(self) -> tuple[bool, bool]:
        """Check every index; return whether they are sorted, and canonical.

        Raises
        ------
        ValueError
            Naming the first that is wrong.
        """
        kept, workspace = self.memory.workspace(_SCAN, self.device)
        stream = self.memory.stream(self.device)
        valid, *flags = engine().scan_coo(self.rows, self.cols, *self._views(), workspace, stream)
        del kept
        if valid:
            return flags[0], flags[1]
        return _engine.validate_coo(self.rows, self.cols, self.row, self.col)

    def astype(self, index_dtype: Any) -> CooPattern:
        """Return the same positions in another index dtype, which must hold them."""
        if self.index_dtype == index_dtype:
            return self
        name = np.dtype(index_dtype).name
        row, col = (self.memory.astype(x, name) for x in (self.device_row, self.device_col))
        flags = self.sorted, self.canonical
        return DeviceCooPattern(self.memory, self.rows, self.cols, row, col, *flags)

    def _transposed(self) -> CooPattern:
        return DeviceCooPattern(self.memory, self.cols, self.rows, self.device_col, self.device_row)

    def _compress(self) -> tuple[Pattern, DeviceArray | None]:
        memory, dtype = self.memory, self.index_dtype.name
        indptr, indices, index_map = (
            memory.empty((count,), dtype, self.device)
            for count in (self.rows + 1, self.nnz, self.nnz)
        )
        row, col = self._views()
        kept, workspace = memory.workspace(engine().sort_workspace(row), self.device)
        outputs = map(memory.view, (indptr, indices, index_map))
        stream = memory.stream(self.device)
        engine().coo_to_csr(self.rows, self.cols, row, col, *outputs, workspace, stream)
        del kept
        pattern = DevicePattern(memory, self.rows, self.cols, indptr, indices, True, self.canonical)
        return pattern, None if self.sorted else index_map

    def _views(self) -> list[Any]:
        return [self.memory.view(x) for x in (self.device_row, self.device_col)]


def fromdense(
    memory: Memory, dense: DeviceArray, threshold: float
) -> tuple[DevicePattern, DeviceArray]:
    """Pattern and values of the elements whose modulus exceeds the threshold, and every NaN."""
    device, (rows, cols) = memory.device(dense), dense.shape
    stream, view = memory.stream(device), memory.view(dense)
    dtype = index_dtype(rows, cols, rows * cols).name
    indptr = memory.empty((rows + 1,), dtype, device)
    offsets = memory.view(indptr)
    nbytes = engine().count_nonzeros_workspace(view, offsets)
    kept, workspace = memory.workspace(nbytes, device)
    nnz = engine().count_nonzeros(view, threshold, offsets, workspace, stream)
    del kept
    indices = memory.empty((nnz,), dtype, device)
    values = memory.empty((nnz,), memory.dtype_name(dense), device)
    outputs = memory.view(indices), memory.view(values)
    engine().fill_nonzeros(view, threshold, offsets, *outputs, stream)
    pattern = DevicePattern(memory, rows, cols, indptr, indices, True, True)
    narrow: Any = pattern.astype(index_dtype(rows, cols, nnz))
    return narrow, values


def index_arrays_beside(
    values: Any, given: dict[str, Any], shape: tuple[int, int], copy: bool
) -> tuple[Memory, list[DeviceArray]] | None:
    """Return a caller's index arrays as they are kept on the GPU of its values.

    None unless all are there, of one axis each and int32 or int64. Their dtype and what is
    copied are what `gossamer.structure.index_arrays` says.
    """
    memory = memory_of(values)
    if memory is None:
        return None
    device = memory.device(values)
    names = []
    for x in given.values():
        if memory_of(x) is not memory or memory.device(x) != device or x.ndim != 1:
            return None
        names.append(str(x.dtype).removeprefix("torch."))
    if not set(names) <= {"int32", "int64"}:
        return None
    at_least = np.int64 if "int64" in names else np.int32
    dtype = index_dtype(*shape, len(values), at_least=at_least).name
    arrays = []
    for x, name in zip(given.values(), names, strict=True):
        kept = memory.contiguous(memory.astype(x, dtype))
        arrays.append(memory.copy(kept) if copy and kept is x and name == dtype else kept)
    return memory, arrays
