# SPDX-License-Identifier: Apache-2.0
"""What belongs to a stream, its workspace, and what to a graph that is captured on it."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakValueDictionary, finalize

from .library import engine
from .memory import DeviceArray, Memory

#: Bytes of a small buffer, which a product with one vector needs, and how many are made at once.
_SMALL, _STOCK = 1 << 18, 16


def refuse_capture(stream: Any, operation: str, advice: str) -> None:
    """Raise RuntimeError if the stream is being captured in a CUDA graph."""
    if engine().capture_id(stream):
        raise RuntimeError(f"{operation} cannot be captured in a CUDA graph; {advice}")


class CapturedGraph:
    """Lives as long as a CUDA graph, what was made of it and its replays, and keeps what it reads.

    Whoever captures need not know of it: CUDA itself holds it.

    Attributes
    ----------
    reads
        What is to live as long.
    """

    def __init__(self) -> None:
        self.reads: list[Any] = []


#: Graphs by the number of their capture, which no other capture has.
_graphs: WeakValueDictionary[int, CapturedGraph] = WeakValueDictionary()


def captured_graph(stream: Any, capture: int) -> CapturedGraph:
    """Return what stands for the graph in which a stream is being captured, by that number."""
    graph = _graphs.get(capture)
    if graph is None:
        graph = CapturedGraph()
        engine().keep_with_graph(stream, graph)
        _graphs[capture] = graph
    return graph


class Buffer(NamedTuple):
    """Memory that operations of a stream use in turn; whoever launches one keeps it until then."""

    workspace: Any
    nbytes: int
    array: DeviceArray


class StreamBuffers:
    """Memory of one stream: zeros at first, which operations may find and leave as zeros.

    A stream has one buffer, which grows. A graph has its own, since its replays run beside other
    work of the stream that it was captured on, and gives them back when it is gone. Small buffers
    are taken from a stock, so that none is allocated in what a framework gives a graph for its
    results.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], Buffer] = {}
        self._stock: dict[tuple[Memory, int], list[DeviceArray]] = {}
        # Outgrown by streams. In the stock others could take them before the stream is done.
        self._outgrown: list[DeviceArray] = []

    def reserve(self, memory: Memory, device: int) -> None:
        """Fill the stock if it is empty; waits for the stream, which must not be captured."""
        stock = self._stock.setdefault((memory, device), [])
        if not stock:
            array = memory.zeros((_STOCK, _SMALL), "uint8", device)
            memory.to_host(array[0, :1])  # the zeros are there, for every stream
            stock.extend(array[i] for i in range(_STOCK))

    def buffer(
        self, memory: Memory, device: int, stream: Any, capture: int, nbytes: int = _SMALL
    ) -> Buffer:
        """Return at least that many bytes.

        ``capture`` tells the graph that the stream is captured in, 0 if none.
        """
        key = memory, stream, capture
        found = self._buffers.get(key)
        if found is not None and found.nbytes >= nbytes:
            return found
        nbytes = max(nbytes, _SMALL)
        if nbytes == _SMALL and not capture:
            self.reserve(memory, device)
        stock = self._stock.get((memory, device), []) if nbytes == _SMALL else []
        try:
            array, origin = stock.pop(), stock
        except IndexError:  # also where another thread took the last one just now
            array, origin = memory.zeros((nbytes,), "uint8", device), None
        if capture:
            finalize(captured_graph(stream, capture), self._give_back, key, array, origin)
        elif found is not None and found.nbytes == _SMALL:
            self._outgrown.append(found.array)
        made = Buffer(engine().Workspace(memory.pointer(array), nbytes), nbytes, array)
        self._buffers[key] = made
        return made

    def _give_back(
        self, key: tuple[Any, ...], array: DeviceArray, stock: list[DeviceArray] | None
    ) -> None:
        """Do without a buffer of a graph that is gone."""
        self._buffers.pop(key, None)
        if stock is not None:
            stock.append(array)


#: Memory that a stream has for what its operations write and read again themselves.
_scratch = StreamBuffers()


def scratch_of(memory: Memory, device: int, stream: Any, nbytes: int) -> tuple[DeviceArray, Any]:
    """Return memory for one operation, which the caller keeps meanwhile, and its handle.

    A little is the stream's; a graph has it among its other temporary memory.
    """
    if nbytes > _SMALL or engine().capture_id(stream):
        return memory.workspace(nbytes, device)
    buffer = _scratch.buffer(memory, device, stream, 0)
    return buffer.array, buffer.workspace
