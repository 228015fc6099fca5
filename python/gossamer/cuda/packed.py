# SPDX-License-Identifier: Apache-2.0
"""Packed matrices on a GPU, for arrays of any framework: packing, unpacking, products."""

from __future__ import annotations

import math
from threading import RLock
from typing import Any, NamedTuple
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from .. import _engine
from ..packed.dtypes import has_scales
from ..packed.selection import PACKED_FORMATS, choose_format, offset_dtype
from .library import engine
from .memory import DeviceArray, Memory
from .streams import CapturedGraph, StreamBuffers, captured_graph, refuse_capture, scratch_of
from .tuning import BITMAP_TILES_VECTORS, PATIENCE, delta_rows_vectors

#: Zeros that products use between kernels, one buffer a stream.
_buffers = StreamBuffers()


class Parts(NamedTuple):
    """The arrays of a packed matrix."""

    values: DeviceArray
    positions: DeviceArray
    row_offsets: DeviceArray
    scales: DeviceArray | None


def pack(
    memory: Memory, W: DeviceArray, format: str, dtype: str, threshold: float, scale: Any
) -> tuple[str, Parts | DeviceArray]:
    """Pack a dense matrix on its GPU, bytes as on the CPU; waits for the stream.

    Parameters
    ----------
    format
        As `gossamer.compress` takes it.
    dtype
        Engine's name of the value type.
    scale
        Scales of the 8-bit types, a NumPy array of shape (rows,), or None to find them.

    Returns
    -------
    tuple
        The format, and the arrays; for "dense" the matrix in float32.

    Raises
    ------
    ValueError
        As `gossamer.compress` does.
    """
    device = memory.device(W)
    rows, cols = W.shape
    shape = rows, cols
    stream, dense = memory.stream(device), memory.view(W)
    counted = memory.empty((len(PACKED_FORMATS) * (rows + 1),), "int64", device)
    kept, workspace = memory.workspace(engine().packed_count_workspace(rows), device)
    engine().packed_count(dense, threshold, memory.view(counted), workspace, stream)
    del kept
    offsets = counted.reshape(len(PACKED_FORMATS), rows + 1)
    slots = dict(zip(PACKED_FORMATS, memory.to_host(offsets[:, -1]).tolist(), strict=True))
    if format == "auto":
        format = choose_format(dtype, shape, slots)
    packed_as = "bitmap" if format == "dense" else format
    count = slots[packed_as]
    index_dtype = offset_dtype(shape, count).name
    lengths = _engine.packed_layout(packed_as, rows, cols, count)
    parts = Parts(
        memory.empty((lengths[0],), dtype, device),
        memory.empty((lengths[1],), "uint8", device),
        memory.contiguous(memory.astype(offsets[PACKED_FORMATS.index(packed_as)], index_dtype)),
        _scales(memory, dense, dtype, threshold, scale, device, rows),
    )
    matrix = handle(memory, packed_as, dtype, shape, parts, count)
    engine().pack(dense, threshold, matrix, stream)
    if format != "dense":
        return format, parts
    filled = memory.empty(shape, "float32", device)
    engine().unpack(matrix, memory.view(filled), stream)
    return format, filled


def _scales(
    memory: Memory, dense: Any, dtype: str, threshold: float, given: Any, device: int, rows: int
) -> DeviceArray | None:
    if not has_scales(dtype):
        return None
    scales = memory.empty((rows,), "float32", device)
    engine().packed_scales(dense, threshold, dtype, memory.view(scales), memory.stream(device))
    infinite = np.flatnonzero(np.isnan(memory.to_host(scales)))
    if infinite.size:
        raise ValueError(
            f"W[{infinite[0]}] holds an infinite or NaN element; {dtype} takes finite values only"
        )
    return scales if given is None else memory.from_host(given, device)


def handle(
    memory: Memory, format: str, dtype: str, shape: tuple[int, int], parts: Parts, slots: int
) -> Any:
    """Return the engine's view of a packed matrix, which keeps nothing alive."""
    return engine().PackedMatrix(
        format,
        dtype,
        *shape,
        slots,
        memory.pointer(parts.values),
        memory.pointer(parts.positions),
        memory.view(parts.row_offsets),
        0 if parts.scales is None else memory.pointer(parts.scales),
    )


def _slots(memory: Memory, parts: Parts) -> int:
    return int(memory.to_host(parts.row_offsets[-1:])[0])


def _refuse_capture(stream: Any) -> None:
    refuse_capture(
        stream,
        "P @ x: the first product of a packed matrix",
        "make one with the same number of vectors before",
    )


class Arrangement:
    """A matrix as kernels walk it: what the engine knows of it, its memory, and scales."""

    def __init__(self, made: Any, array: DeviceArray, scales: DeviceArray | None) -> None:
        self.made, self.array, self.scales = made, array, scales


class DeviceMatrix:
    """A packed matrix on a GPU, whose arrays its owner keeps, and what its products need.

    For products with one vector, or few, the matrix is laid out in a second way when the first of
    them is made, and in a third one for up to 128 vectors of 16-bit values on Hopper: about as many
    bytes as the packed matrix each, kept with it. Making them waits for the stream, so the first
    product of each kind cannot be captured in a graph. The first product of the transposed matrix
    with a few vectors lays that out as well, where it has no scales.

    Once the packed arrays are given up, one of the two is kept, until `lay_out` asks for the other,
    a product with one vector does, or `PATIENCE` products in turn that would be faster by tiles.
    What a captured graph walks lives on with the graph, and the packed arrays are not given up
    before one that reads them is gone. Threads may share a matrix.
    """

    def __init__(
        self, memory: Memory, format: str, dtype: str, shape: tuple[int, int], parts: Parts
    ) -> None:
        self.memory = memory
        self.format = format
        self.dtype = dtype
        self.rows, self.cols = shape
        self.device = memory.device(parts.values)
        self.scales = parts.scales
        # Arrays without elements that stand for the packed ones, also in registered operations.
        values, positions, row_offsets = (
            memory.empty((0,), memory.dtype_name(part), self.device) for part in parts[:3]
        )
        self.stand_in = Parts(values, positions, row_offsets, parts.scales)
        _refuse_capture(memory.stream(self.device))
        slots = _slots(memory, parts)
        self._packed = handle(memory, format, dtype, shape, parts, slots)
        self._arranged: dict[str, Arrangement] = {}
        # Those too that were given up and that graphs keep.
        self._alive: WeakValueDictionary[str, Arrangement] = WeakValueDictionary()
        size = self.rows * self.cols
        density = slots / max(1, size)
        # Vectors up to which products walk delta rows, without tiles and where those are fit.
        self._few = delta_rows_vectors(density, False, size)
        self._fits_tiles: bool = engine().has_bitmap_tiles(self._packed, self.device)
        self._few_beside_tiles = delta_rows_vectors(density, self._fits_tiles, size)
        # Graphs that read what its owner may write to or give up.
        self._reading_packed: WeakSet[CapturedGraph] = WeakSet()
        self._reading_scales: WeakSet[CapturedGraph] = WeakSet()
        # Products in turn that tiles would have made faster, had they been there.
        self._waited = 0
        self._transpose: DeviceMatrix | None = None
        # Between the choice of what to read and its launch nothing is given up.
        self._lock = RLock()

    @property
    def nbytes(self) -> int:
        """Bytes that products keep beside the packed matrix."""
        transpose = 0 if self._transpose is None else self._transpose.nbytes
        return transpose + sum(int(kept.made.nbytes) for kept in self._arranged.values())

    def leave_to_graphs(self, owner: Any) -> bool:
        """Let the graphs that read packed arrays or scales keep their owner; tell if any do."""
        with self._lock:  # captures of other threads add to these
            graphs = {*self._reading_packed, *self._reading_scales}
        for graph in graphs:
            graph.reads.append(owner)
        return bool(graphs)

    def drop_packed(self) -> bool:
        """Do without the packed arrays if a product has laid the matrix out; tell whether it does.

        Their owner may then give up all but the scales, and have them back from `packed`. They stay
        if a product by a dense copy of them was captured in a graph. Waits for the GPU once.
        """
        with self._lock:
            if self._packed is not None and self._arranged and not self._reading_packed:
                self.memory.synchronize(self.device)  # other streams may be reading them
                self._packed = None
            return self._packed is None

    def lay_out(self, vectors: int, dtype: str) -> None:
        """Lay the matrix out as products with that many vectors of a dtype walk it.

        Those by a dense copy walk nothing. If the packed arrays were given up, what other products
        walk goes. Waits for the stream.
        """
        with self._lock:
            kind = self._best_kind(vectors, dtype, BITMAP_TILES_VECTORS)
            if kind is not None:
                self._arrangement(kind, False)

    def packed(self) -> Parts:
        """Make the packed arrays anew, stored zeros left out; waits for the stream."""
        if self.scales is None:
            _, parts = pack(self.memory, self.todense(self.dtype), self.format, self.dtype, 0, None)
            return parts
        ones = np.ones(self.rows, np.float32)
        unscaled = self.todense("float16", scaled=False)
        _, parts = pack(self.memory, unscaled, self.format, self.dtype, 0, ones)
        return parts._replace(scales=self.scales)

    def todense(self, dtype: str, scaled: bool = True) -> DeviceArray:
        """Return the matrix as float32, float16 or bfloat16; 8-bit values also without scales."""
        dense = self.memory.empty((self.rows, self.cols), dtype, self.device)
        stream = self.memory.stream(self.device)
        with self._lock:
            kept = None if self._packed is not None else next(iter(self._arranged.values()))
            self._keep_with_graph(kept, stream, engine().capture_id(stream))
            if kept is not None:
                kept.made.unpack(self.memory.view(dense), stream, scaled)
            else:
                engine().unpack(self._packed, self.memory.view(dense), stream, scaled)
        return dense

    def matmul(
        self,
        x: DeviceArray,
        transpose: bool,
        columns: bool = False,
        bias: DeviceArray | None = None,
        overlap: bool | None = None,
        lays_out_for: int = BITMAP_TILES_VECTORS,
    ) -> DeviceArray:
        """Product with each vector along x's last axis, of the result's dtype.

        With ``columns`` the vectors lie along the last axis but one, as do those of the result. A
        bias, not with columns, is added along the result's last axis.

        Up to 128 vectors are multiplied by the engine's kernels, by the transposed matrix a few
        where it has no scales. More by the framework's dense product with an unpacked copy, made
        for the call. ``overlap`` says whether a kernel may begin while the one before it ends;
        None: where that pays. More than ``lays_out_for`` vectors walk bitmap tiles only if these
        are there already.
        """
        memory = self.memory
        inputs, outputs = (self.rows, self.cols) if transpose else (self.cols, self.rows)
        if columns:
            *batch, _, vectors = x.shape
            result = *batch, outputs, vectors
            vectors *= math.prod(batch)
        else:
            *batch, _ = x.shape
            result = *batch, outputs
            vectors = math.prod(batch)
        with self._lock:
            if transpose and self.scales is None and vectors <= self._few:
                return self._transposed().matmul(x, False, columns, bias, overlap)
            stream = memory.stream(self.device)
            capture = engine().capture_id(stream)
            kind = None
            if not transpose:
                kind = self._kind(vectors, memory.dtype_name(x), lays_out_for, bool(capture))
            if kind is None:
                return self._matmul_unpacked(x, vectors, transpose, columns, bias)
            y = memory.empty_like(x, result)
            if vectors == 0 or outputs == 0:
                return y
            arrangement = self._arrangement(kind, bool(capture))
            self._keep_with_graph(arrangement, stream, capture)
            x, out = x if columns else memory.contiguous(x), y
            if x.ndim > 3:
                x, out = (z.reshape(math.prod(z.shape[:-2]), *z.shape[-2:]) for z in (x, y))
            kept = copies = None
            if columns:
                nbytes = vectors * (inputs + outputs) * x.itemsize
                kept, copies = scratch_of(memory, self.device, stream, nbytes)
            added = None if bias is None else memory.operand(bias)
            operands = memory.operand(x), memory.operand(out)
            zeros = _buffers.buffer(memory, self.device, stream, capture)
            rest = stream, copies, added, overlap
            missing = arrangement.made.matmul(*operands, zeros.workspace, *rest)
            if missing:
                zeros = _buffers.buffer(memory, self.device, stream, capture, missing)
                arrangement.made.matmul(*operands, zeros.workspace, *rest)
            del kept, zeros
        return y

    def _kind(self, vectors: int, dtype: str, lays_out_for: int, captured: bool) -> str | None:
        """What a product walks of what there is or can be made; None: a dense copy."""
        at_hand = self._alive if captured else self._arranged
        has_tiles = "bitmap_tiles" in at_hand
        limit = BITMAP_TILES_VECTORS if has_tiles else lays_out_for
        kind = self._best_kind(vectors, dtype, limit)
        if kind != "bitmap_tiles" or has_tiles or self._packed is not None:
            self._waited = 0
            return kind
        self._waited += not captured
        if self._waited > PATIENCE and not captured:
            return kind
        return "delta_rows" if vectors <= self._few else None

    def _best_kind(self, vectors: int, dtype: str, limit: int) -> str | None:
        """What is fastest to walk for a product, tiles up to a limit; None: a dense copy."""
        if self._fits_tiles and vectors <= limit and dtype == self.dtype:
            return "delta_rows" if vectors <= self._few_beside_tiles else "bitmap_tiles"
        return "delta_rows" if vectors <= self._few else None

    def _keep_with_graph(self, walked: Arrangement | None, stream: Any, capture: int) -> None:
        """Let the graph that the stream is captured in, if any, keep what it walks.

        None: the packed arrays, which their owner keeps meanwhile.
        """
        if not capture:
            return
        graph = captured_graph(stream, capture)
        graph.reads.append(self.scales if walked is None else walked)
        if walked is None:
            self._reading_packed.add(graph)
        if self.scales is not None:
            self._reading_scales.add(graph)

    def _transposed(self) -> DeviceMatrix:
        """Return the transpose laid out for few vectors, made by the first call."""
        if self._transpose is None:
            memory = self.memory
            _refuse_capture(memory.stream(self.device))
            dense, shape = self.todense(self.dtype), (self.cols, self.rows)
            _, parts = pack(memory, dense.T, self.format, self.dtype, 0, None)
            del dense
            made = DeviceMatrix(memory, self.format, self.dtype, shape, parts)
            made._arrangement("delta_rows", False)
            made.drop_packed()
            self._transpose = made
        return self._transpose

    def _matmul_unpacked(
        self,
        x: DeviceArray,
        vectors: int,
        transpose: bool,
        columns: bool,
        bias: DeviceArray | None,
    ) -> DeviceArray:
        memory = self.memory
        dtype = memory.dtype_name(x)
        scratch = memory.scratch_dtype(dtype)
        # Rounded to 16 bits a scaled value would not be what the matrix means.
        if self.scales is not None and transpose:
            scratch = "float32"
        unscaled = self.scales is not None and scratch != "float32"
        dense = self.todense(scratch, not unscaled)
        rows = x.swapaxes(-1, -2) if columns else x
        flat = memory.contiguous(rows).reshape(vectors, rows.shape[-1])
        dense = dense if transpose else dense.T
        y = memory.dense_matmul(memory.astype(flat, scratch), dense)
        y = memory.astype(y * self.scales if unscaled else y, dtype)
        y = y.reshape(*rows.shape[:-1], y.shape[-1])
        if columns:
            y = memory.contiguous(y.swapaxes(-1, -2))
        return y if bias is None else y + bias

    def _arrangement(self, kind: str, captured: bool) -> Arrangement:
        """Return what products walk, made or taken back from a graph where it is not there."""
        found = self._arranged.get(kind)
        if found is not None:
            return found
        found = self._alive.get(kind)
        if found is not None and captured:
            return found
        _refuse_capture(self.memory.stream(self.device))
        if found is None:
            found = self._arrange(kind)
        if self._packed is None:
            self.memory.synchronize(self.device)  # other streams may be reading what goes
            self._arranged.clear()
        self._arranged[kind] = self._alive[kind] = found
        self._waited = 0
        return found

    def _arrange(self, kind: str) -> Arrangement:
        memory, stream = self.memory, self.memory.stream(self.device)
        _buffers.reserve(memory, self.device)
        packed, parts = self._packed, None
        if packed is None:
            parts = self.packed()
            shape = self.rows, self.cols
            slots = _slots(memory, parts)
            packed = handle(memory, self.format, self.dtype, shape, parts, slots)
        nbytes = getattr(engine(), f"{kind}_workspace")(packed)
        kept, workspace = memory.workspace(nbytes, self.device)
        arrangement = getattr(engine(), f"arrange_{kind}")(packed, workspace, stream)
        array = memory.empty((arrangement.nbytes,), "uint8", self.device)
        arrangement.fill(packed, memory.pointer(array), workspace, stream)
        del kept, parts
        return Arrangement(arrangement, array, self.scales)
