# SPDX-License-Identifier: Apache-2.0
"""Sparse matrices on a GPU, for arrays of any framework.

What a product needs beside the positions, for rows of uneven lengths about one index a row, is made
when they are first used and kept as long as they live; so is a copy of positions that are in the
CPU's memory. That first use waits for the stream, so it cannot be captured in a graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.operands import within_rank
from ..structure import Pattern, Selection, check_values, common_index_dtype
from .library import engine
from .memory import DeviceArray, Memory
from .streams import refuse_capture, scratch_of
from .structure import DevicePattern


class PreparedPattern:
    """A pattern on a GPU, and how products deal out its rows. It does not hold the pattern.

    Attributes
    ----------
    copy
        The pattern, if it was copied from the CPU's memory.
    """

    def __init__(self, memory: Memory, pattern: Pattern, device: int) -> None:
        self.copy: DevicePattern | None = None
        if not isinstance(pattern, DevicePattern) or not pattern.is_on(memory, device):
            pattern = self.copy = DevicePattern(
                memory,
                pattern.rows,
                pattern.cols,
                memory.from_host(pattern.indptr, device),
                memory.from_host(pattern.indices, device),
                pattern.sorted,
                pattern.canonical,
            )
        self.indptr, self.indices = pattern.device_indptr, pattern.device_indices
        self.handle = pattern.view()
        stream = memory.stream(device)
        kept, workspace = memory.workspace(256, device)
        elements = self.handle.plan(workspace, stream)
        if elements:
            kept, workspace = memory.workspace(self.handle.schedule_workspace(), device)
            self._schedule = memory.empty((elements,), pattern.index_dtype.name, device)
            self.handle.schedule(memory.view(self._schedule), workspace, stream)
        memory.to_host(self.indptr[-1:])  # all of it is complete, for every stream
        del kept


class DeviceSelection:
    """A selection's index arrays on one GPU, None where it has none."""

    def __init__(self, memory: Memory, selection: Selection, device: int) -> None:
        self.index_map, self.segments = (
            memory.from_host(indices, device) if isinstance(indices, np.ndarray) else indices
            for indices in (selection.index_map, selection.segments)
        )


def on_device(memory: Memory, structure: Pattern | Selection, device: int) -> Any:
    """Return what products on a GPU need of a structure, made on the first call and kept.

    Raises
    ------
    RuntimeError
        If there is none yet and the stream is being captured in a graph.
    """
    found = structure.prepared.get((memory, device))
    if found is None:
        refuse_capture(
            memory.stream(device), "A @ x: the first product of a pattern", "make one before"
        )
        kind: Any = PreparedPattern if isinstance(structure, Pattern) else DeviceSelection
        found = structure.prepared[memory, device] = kind(memory, structure, device)
    return found


def _device_pattern(memory: Memory, pattern: Pattern, device: int) -> DevicePattern:
    """Return the same positions on the GPU."""
    copy: DevicePattern | None = on_device(memory, pattern, device).copy
    if copy is not None:
        return copy
    assert isinstance(pattern, DevicePattern)
    return pattern


def spgemm_pattern(memory: Memory, a: Pattern, b: Pattern, device: int) -> DevicePattern:
    """Pattern of A B on the GPU, in an index dtype that holds it."""
    a, b = common_index_dtype(a, b)
    left, right = (_device_pattern(memory, p, device) for p in (a, b))
    return left.spgemm(right)


def matmul(
    memory: Memory,
    values: DeviceArray,
    x: DeviceArray,
    pattern: Pattern,
    transpose: bool,
    swapped: bool,
    out: DeviceArray,
    bias: DeviceArray | None = None,
    overlap: bool | None = None,
) -> None:
    """Write Y = A X, or Aᵀ X; swapped, X and Y are the transposed ones.

    A bias, of Y's dtype, has an element for each row of A X that is added to it.
    ``overlap`` says whether it may begin while the kernel before it ends, None where that pays.
    """
    device = memory.device(values)
    if transpose:
        matrix, index_map = _transposed(memory, pattern, device)
    else:
        matrix, index_map = on_device(memory, pattern, device), None
    a, x, y = (
        memory.operand(values),
        memory.operand(within_rank(x)),
        memory.operand(within_rank(out)),
    )
    added = None if bias is None else memory.operand(bias)
    multiply, stream = matrix.handle.matmul, memory.stream(device)
    missing = multiply(a, x, y, swapped, stream, None, index_map, added, overlap)
    if missing:
        kept, workspace = scratch_of(memory, device, stream, missing)
        multiply(a, x, y, swapped, stream, workspace, index_map, added, overlap)
        del kept


def _transposed(memory: Memory, pattern: Pattern, device: int) -> tuple[PreparedPattern, Any]:
    """Transpose of a pattern on the GPU, and the index map of its values as the engine takes it."""
    key = memory, device, "transpose"
    found: Any = pattern.prepared.get(key)
    if found is None:
        transpose, index_map = _device_pattern(memory, pattern, device).transpose()
        made = on_device(memory, transpose, device), memory.view(index_map), index_map
        # Threads that come first may make one each; the view does not own the map, so all of them
        # take the one that stays.
        found = pattern.prepared.setdefault(key, made)
    matrix, index_map, _ = found
    return matrix, index_map


def sddmm(
    memory: Memory, u: DeviceArray, v: DeviceArray, pattern: Pattern, out: DeviceArray
) -> None:
    """Write the values of U Vᵀ at the positions, summed over batches."""
    device = memory.device(u)
    handle = on_device(memory, pattern, device).handle
    factors = memory.view(within_rank(u)), memory.view(within_rank(v))
    nbytes = handle.sddmm_workspace(*factors)
    kept, workspace = memory.workspace(nbytes, device) if nbytes else (None, None)
    handle.sddmm(*factors, memory.view(out), False, workspace, memory.stream(device))
    del kept


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
    left, right, product = (on_device(memory, p, device).handle for p in (a, ordered, c))
    data = memory.view(a_values), memory.view(b_values), memory.view(out)
    operands = left, data[0], right, data[1], product, data[2]
    stream = memory.stream(device)
    if c.canonical and not transpose_b:
        engine().spgemm_values(*operands, stream)
    else:
        engine().spgemm_masked(*operands, transpose_b, stream)


def segment_sum(
    memory: Memory, values: DeviceArray, selection: Selection, out: DeviceArray
) -> None:
    """Write sums of selected values."""
    check_values(values, selection.cols)
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
    positions = _device_pattern(memory, distinct, memory.device(values))
    target = out.T if transposed else out
    target[positions.device_rows(), positions.device_indices] = values


def sample(
    memory: Memory, dense: DeviceArray, pattern: Pattern, transposed: bool, out: DeviceArray
) -> None:
    """Write the elements of a dense matrix, or its transpose, at the positions."""
    positions = _device_pattern(memory, pattern, memory.device(dense))
    source = dense.T if transposed else dense
    out[...] = source[positions.device_rows(), positions.device_indices]


def _canonical(
    memory: Memory, pattern: Pattern, values: DeviceArray
) -> tuple[Pattern, DeviceArray]:
    """Pattern with sorted rows and every position once, and its values."""
    canonical, selection = pattern.canonicalize()
    if selection is None:
        return canonical, values
    summed = memory.empty((canonical.nnz,), memory.dtype_name(values), memory.device(values))
    segment_sum(memory, values, selection, summed)
    return canonical, summed


def _gather(memory: Memory, values: DeviceArray, index_map: DeviceArray, out: DeviceArray) -> None:
    views = (memory.view(x) for x in (values, index_map, out))
    engine().gather(*views, memory.stream(memory.device(values)))
