# SPDX-License-Identifier: Apache-2.0
"""Sparse matrices on a GPU, for arrays of any framework.

Positions stay with the pattern in the CPU's memory, where every structural operation is done. What
a product needs of them on a GPU is copied there when it is first used, and kept with the pattern:
row offsets, indices, and for rows of uneven lengths about one index a row. That first use waits for
the stream, so it cannot be captured in a graph.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ..arrays.kernels import within_rank
from ..structure import Pattern, Selection
from .library import engine
from .memory import DeviceArray, Memory

#: Copies of structures by the kind of memory and the device.
_copies: WeakKeyDictionary[Any, dict[tuple[Memory, int], Any]] = WeakKeyDictionary()


class DevicePattern:
    """A pattern's copy on one GPU, and how products deal out its rows."""

    def __init__(self, memory: Memory, pattern: Pattern, device: int) -> None:
        self.memory, self.pattern, self.device = memory, pattern, device
        self.indptr = memory.from_host(pattern.indptr, device)
        self.indices = memory.from_host(pattern.indices, device)
        indptr, indices = memory.view(self.indptr), memory.view(self.indices)
        self.handle = engine().CsrPattern(pattern.rows, pattern.cols, indptr, indices)
        stream = memory.stream(device)
        kept, workspace = memory.workspace(256, device)
        elements = self.handle.plan(workspace, stream)
        if elements:
            kept, workspace = memory.workspace(self.handle.schedule_workspace(), device)
            self._schedule = memory.empty((elements,), pattern.index_dtype.name, device)
            self.handle.schedule(memory.view(self._schedule), workspace, stream)
        del kept
        self._rows: DeviceArray | None = None
        self._transpose: tuple[DevicePattern, DeviceArray] | None = None

    def transpose(self) -> tuple[DevicePattern, DeviceArray]:
        """Copy of the transposed pattern, and the index map of its values."""
        if self._transpose is None:
            pattern, index_map = self.pattern.transpose()
            transposed = on_device(self.memory, pattern, self.device)
            self._transpose = transposed, self.memory.from_host(index_map, self.device)
        return self._transpose

    @property
    def rows(self) -> DeviceArray:
        """Row of each stored position."""
        if self._rows is None:
            self._rows = self.memory.from_host(self.pattern.row_indices(), self.device)
        return self._rows


class DeviceSelection:
    """A selection's index arrays on one GPU, None where it has none."""

    def __init__(self, memory: Memory, selection: Selection, device: int) -> None:
        self.index_map, self.segments = (
            None if indices is None else memory.from_host(indices, device)
            for indices in (selection.index_map, selection.segments)
        )


def on_device(memory: Memory, structure: Pattern | Selection, device: int) -> Any:
    """Return a structure's copy on a GPU, made on the first call and kept as long as it lives.

    Raises
    ------
    RuntimeError
        If there is none yet and the stream is being captured in a graph.
    """
    copies = _copies.setdefault(structure, {})
    copy = copies.get((memory, device))
    if copy is None:
        if engine().capture_id(memory.stream(device)):
            raise RuntimeError(
                "A @ x: the first product of a pattern on a GPU cannot be captured in a CUDA "
                "graph; make one before"
            )
        kind: Any = DevicePattern if isinstance(structure, Pattern) else DeviceSelection
        copy = copies[memory, device] = kind(memory, structure, device)
    return copy


def matmul(
    memory: Memory,
    values: DeviceArray,
    x: DeviceArray,
    pattern: Pattern,
    transpose: bool,
    swapped: bool,
    out: DeviceArray,
) -> None:
    """Write Y = A X, or Aᵀ X; swapped, X and Y are the transposed ones."""
    device = memory.device(values)
    matrix: DevicePattern = on_device(memory, pattern, device)
    if transpose:
        matrix, index_map = matrix.transpose()
        moved = memory.empty((pattern.nnz,), memory.dtype_name(values), device)
        _gather(memory, values, index_map, moved)
        values = moved
    x, out = within_rank(x), within_rank(out)
    if swapped and x.ndim > 1:
        x, out = x.swapaxes(-1, -2), out.swapaxes(-1, -2)
    y = memory.view(out)
    kept = workspace = None
    nbytes = matrix.handle.matmul_workspace(y)
    if nbytes:
        kept, workspace = memory.workspace(nbytes, device)
    matrix.handle.matmul(
        memory.view(values), memory.view(x), y, False, workspace, memory.stream(device)
    )
    del kept


def sddmm(
    memory: Memory, u: DeviceArray, v: DeviceArray, pattern: Pattern, out: DeviceArray
) -> None:
    """Write the values of U Vᵀ at the positions, summed over batches."""
    device = memory.device(u)
    handle = on_device(memory, pattern, device).handle
    views = (memory.view(x) for x in (within_rank(u), within_rank(v), out))
    handle.sddmm(*views, False, memory.stream(device))


def spgemm(
    memory: Memory,
    a_values: DeviceArray,
    b_values: DeviceArray,
    a: Pattern,
    b: Pattern,
    c: Pattern,
    transpose_b: bool,
    out: DeviceArray,
) -> None:
    """Write the values of A B, or A Bᵀ, at c's positions."""
    device = memory.device(a_values)
    ordered, b_values = _canonical(memory, b, b_values)
    left, right, mask = (on_device(memory, p, device).handle for p in (a, ordered, c))
    engine().spgemm_masked(
        left,
        memory.view(a_values),
        right,
        memory.view(b_values),
        mask,
        memory.view(out),
        transpose_b,
        memory.stream(device),
    )


def segment_sum(
    memory: Memory, values: DeviceArray, selection: Selection, out: DeviceArray
) -> None:
    """Write sums of selected values."""
    device = memory.device(values)
    selected: DeviceSelection = on_device(memory, selection, device)
    if selected.segments is None:
        _gather(memory, values, selected.index_map, out)
        return
    engine().segment_sum(
        memory.view(values),
        None if selected.index_map is None else memory.view(selected.index_map),
        memory.view(selected.segments),
        memory.view(out),
        memory.stream(device),
    )


def todense(
    memory: Memory, values: DeviceArray, pattern: Pattern, transposed: bool, out: DeviceArray
) -> None:
    """Write the dense matrix, or its transpose; duplicates are summed."""
    distinct, values = _canonical(memory, pattern, values)
    out[...] = 0
    matrix: DevicePattern = on_device(memory, distinct, memory.device(values))
    (out.T if transposed else out)[matrix.rows, matrix.indices] = values


def sample(
    memory: Memory, dense: DeviceArray, pattern: Pattern, transposed: bool, out: DeviceArray
) -> None:
    """Write the elements of a dense matrix, or its transpose, at the positions."""
    matrix: DevicePattern = on_device(memory, pattern, memory.device(dense))
    out[...] = (dense.T if transposed else dense)[matrix.rows, matrix.indices]


def _canonical(
    memory: Memory, pattern: Pattern, values: DeviceArray
) -> tuple[Pattern, DeviceArray]:
    """Pattern with sorted rows and every position once, and its values."""
    canonical, segments, index_map = pattern.canonicalize()
    if segments is None and index_map is None:
        return canonical, values
    summed = memory.empty((canonical.nnz,), memory.dtype_name(values), memory.device(values))
    segment_sum(memory, values, Selection(pattern.nnz, index_map, segments), summed)
    return canonical, summed


def _gather(memory: Memory, values: DeviceArray, index_map: DeviceArray, out: DeviceArray) -> None:
    views = (memory.view(x) for x in (values, index_map, out))
    engine().gather(*views, memory.stream(memory.device(values)))
