# SPDX-License-Identifier: Apache-2.0
"""Packed matrices on a GPU, for arrays of any framework: packing, unpacking, products."""

from __future__ import annotations

import math
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from .. import _engine
from ..packed.dtypes import has_scales
from ..packed.selection import PACKED_FORMATS, choose_format, offset_dtype
from .library import engine
from .memory import DeviceArray, Memory
from .streams import StreamBuffers, refuse_capture
from .tuning import BITMAP_TILES_VECTORS, delta_rows_vectors

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


class DeviceMatrix:
    """A packed matrix on a GPU, whose arrays its owner keeps, and what its products need.

    For products with one vector, or few, the matrix is laid out in a second way when the first of
    them is made, and in a third one for up to 128 vectors of 16-bit values on Hopper: about as many
    bytes as the packed matrix each, kept with it. Making them waits for the stream, so the first
    product of each kind cannot be captured in a graph.

    Once the packed arrays are given up, one of the two is kept: the one for few vectors, as soon as
    it is there. Nothing is given up that a captured graph reads. Threads may share a matrix.
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
        self._arranged: dict[str, tuple[Any, DeviceArray]] = {}
        self._density = slots / max(1, self.rows * self.cols)
        self._fits_tiles: bool = engine().has_bitmap_tiles(self._packed, self.device)
        # Whether a graph may read what would be given up: tiles, or what was unpacked.
        self._captured = False
        # Between the choice of what to read and its launch nothing is given up.
        self._lock = RLock()

    @property
    def has_tiles(self) -> bool:
        """Whether products may walk bitmap tiles."""
        return self._fits_tiles and (self._packed is not None or "bitmap_tiles" in self._arranged)

    @property
    def few(self) -> int:
        """Vectors up to which products walk delta rows."""
        return delta_rows_vectors(self._density, self.has_tiles, self.rows * self.cols)

    @property
    def nbytes(self) -> int:
        """Bytes that products keep beside the packed matrix."""
        return sum(int(arrangement.nbytes) for arrangement, _ in self._arranged.values())

    def drop_packed(self) -> bool:
        """Do without the packed arrays if a product has laid the matrix out; tell whether it does.

        Their owner may then give up all but the scales, and have them back from `packed`. They stay
        if a product by a dense copy of them was captured in a graph. Waits for the GPU once.
        """
        with self._lock:
            if self._packed is not None and self._arranged and not self._captured:
                self.memory.synchronize(self.device)  # other streams may be reading them
                self._packed = None
            return self._packed is None

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
            if engine().capture_id(stream):
                self._captured = True
            if self._packed is None:
                arrangement, _ = next(iter(self._arranged.values()))
                arrangement.unpack(self.memory.view(dense), stream, scaled)
            else:
                engine().unpack(self._packed, self.memory.view(dense), stream, scaled)
        return dense

    def matmul(
        self,
        x: DeviceArray,
        transpose: bool,
        overlap: bool | None = None,
        lays_out_for: int = BITMAP_TILES_VECTORS,
    ) -> DeviceArray:
        """Product with each vector along x's last axis, of the result's dtype.

        Up to 128 vectors are multiplied by the engine's kernels. More, and the transposed matrix,
        by the framework's dense product with an unpacked copy, made for the call. ``overlap`` says
        whether a kernel may begin while the one before it ends; None: where that pays. More than
        ``lays_out_for`` vectors walk bitmap tiles only if these are there already.
        """
        memory = self.memory
        x = memory.contiguous(x)
        inputs, outputs = (self.rows, self.cols) if transpose else (self.cols, self.rows)
        vectors = 1 if x.ndim == 1 else math.prod(x.shape[:-1])
        dtype = memory.dtype_name(x)
        shape = (*x.shape[:-1], outputs)
        with self._lock:
            tiles = vectors > 1 and vectors > self.few
            if transpose or (tiles and not self._takes_tiles(vectors, dtype, lays_out_for)):
                if x.ndim == 2:
                    return self._matmul_unpacked(x, dtype, transpose)
                flat = x.reshape(vectors, inputs)
                return self._matmul_unpacked(flat, dtype, transpose).reshape(shape)
            y = memory.empty(shape, dtype, self.device)
            if vectors == 0 or outputs == 0:
                return y
            arrangement = self._arrangement("bitmap_tiles" if tiles else "delta_rows")
            stream = memory.stream(self.device)
            if tiles and engine().capture_id(stream):
                self._captured = True
            nbytes = arrangement.workspace_bytes(vectors)
            workspace = _buffers.workspace(memory, self.device, stream, nbytes)
            views = memory.rows_view(x, vectors, inputs), memory.rows_view(y, vectors, outputs)
            arrangement.matmul(*views, workspace, stream, overlap)
        return y

    def _matmul_unpacked(self, x: DeviceArray, dtype: str, transpose: bool) -> DeviceArray:
        memory = self.memory
        scratch = memory.scratch_dtype(dtype)
        # Rounded to 16 bits a scaled value would not be what the matrix means.
        if self.scales is not None and transpose:
            scratch = "float32"
        unscaled = self.scales is not None and scratch != "float32"
        dense = self.todense(scratch, not unscaled)
        y = memory.dense_matmul(memory.astype(x, scratch), dense if transpose else dense.T)
        return memory.astype(y * self.scales if unscaled else y, dtype)

    def _takes_tiles(self, vectors: int, dtype: str, lays_out_for: int) -> bool:
        limit = BITMAP_TILES_VECTORS if "bitmap_tiles" in self._arranged else lays_out_for
        return self.has_tiles and vectors <= limit and dtype == self.dtype

    def _arrangement(self, kind: str) -> Any:
        if kind not in self._arranged:
            made = self._arrange(kind)
            if self._packed is None and not self._captured:
                self.memory.synchronize(self.device)  # other streams may be reading what goes
                self._arranged.clear()
            self._arranged[kind] = made
        return self._arranged[kind][0]

    def _arrange(self, kind: str) -> tuple[Any, DeviceArray]:
        memory, stream = self.memory, self.memory.stream(self.device)
        _refuse_capture(stream)
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
        return arrangement, array
